import { assertEquals, assertLess } from "@std/assert";
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { LinuxIpv6Routes } from "../../../net/linux/ipv6_routes.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "root", "ffi", "unshare", "ip");

Deno.test({
  name: `LinuxIpv6Routes follows default routes that come and go, and tells of nothing else${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    // The namespace is that of the program which asks, so that is started in one of its own.
    const program = new URL("./ipv6_routes_program.ts", import.meta.url), folder = await Deno.makeTempDir();
    try {
      const { stdout, stderr, code } = await new Deno.Command("unshare", {
        args: [
          "-n",
          Deno.execPath(),
          "run",
          "--no-check",
          "--allow-ffi",
          `--allow-read=${folder}`,
          `--allow-write=${folder}`,
          "--allow-run=ip",
          program.pathname,
          folder,
        ],
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertEquals([code, text(stderr)], [0, ""]);
      const lines = text(stdout).trim().split("\n").map((line) => JSON.parse(line));
      const { turns } = lines.find(({ name }) => name === "quiet")!;
      assertLess(turns, 5, "turns of the loop while nothing happens");
      assertEquals(lines.filter(({ name }) => name !== "quiet"), [
        { name: "nothing", has: false, heard: [] },
        { name: "a network", has: false, heard: [] },
        { name: "a default route", has: true, heard: [true] },
        { name: "a second one", has: true, heard: [] },
        { name: "one less", has: true, heard: [] },
        { name: "none", has: false, heard: [false] },
        { name: "one that rejects", has: false, heard: [] },
        { name: "all that is assigned", has: true, heard: [true] },
        { name: "the interface is down", has: false, heard: [false] },
        { name: "up again", has: true, heard: [true] },
        { name: "nobody listens", has: false, heard: [] },
        { name: "somebody again", has: true, heard: [true] },
        { name: "a storm", has: false, heard: [false] },
      ]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: `LinuxIpv6Routes opens nothing before it is asked, and closes what it has opened${needs.reason}`,
  ignore: needs.ignore,
  fn: () =>
    assertNoDescriptorLeft(async () => {
      await using loop = new EventLoop();
      const routes = new LinuxIpv6Routes(loop);
      const end = routes.changed(() => {});
      assertEquals(routes.has(), routes.has());
      end();
      end();
      routes.changed(() => {});
      routes[Symbol.dispose]();
      routes[Symbol.dispose]();
    }),
});
