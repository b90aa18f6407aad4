import { assertEquals, assertNotEquals } from "@std/assert";
import { LinuxHostAddresses } from "../../../net/linux/host_addresses.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "ffi");

Deno.test({
  name:
    `LinuxHostAddresses knows loopback, whole and of both families, and every address of an interface${needs.reason}`,
  ignore: needs.ignore,
  fn: () =>
    assertNoDescriptorLeft(() => {
      using host = new LinuxHostAddresses();
      const has = (text: string) => host.has(IpAddress.parse(text));
      assertEquals(["127.0.0.1", "127.9.9.9"].map(has), [true, true]);
      for (const { address } of Deno.networkInterfaces()) {
        if (!address.includes("%") && !address.startsWith("fe80")) assertEquals(has(address), true, address);
      }
      // Documentation addresses: of no host, whether there is a route to them or none.
      assertEquals(["192.0.2.77", "198.51.100.7", "2001:db8::77"].map(has), [false, false, false]);
      assertEquals(host.version(), host.version());
    }),
});

const inNamespace = requires("linux", "root", "unshare", "ip");

Deno.test({
  name: `LinuxHostAddresses follows addresses and local routes that come and go${inNamespace.reason}`,
  ignore: inNamespace.ignore,
  fn: async () => {
    // The namespace is that of the program which asks, so that is started in one of its own.
    const program = new URL("./host_addresses_program.ts", import.meta.url);
    const { stdout, stderr, code } = await new Deno.Command("unshare", {
      args: [
        "-n",
        Deno.execPath(),
        "run",
        "--no-check",
        "--allow-ffi",
        "--allow-read",
        "--allow-sys=networkInterfaces",
        "--allow-run=ip",
        program.pathname,
      ],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals([code, text(stderr)], [0, ""]);
    const lines = text(stdout).trim().split("\n").map((line) => JSON.parse(line));
    const own = lines.map(({ step, own }) => `${step}: ${own.join(" ")}`);
    assertEquals(own, [
      "before: ",
      "addresses: 192.0.2.9 2001:db8::9",
      "a local route: 192.0.2.9 2001:db8::9 198.51.100.7",
      "without one: 2001:db8::9 198.51.100.7",
      "after: ",
    ]);
    for (let i = 1; i < lines.length; i++) assertNotEquals(lines[i].version, lines[i - 1].version, lines[i].step);
    // What Deno lists are the addresses of interfaces, without routes.
    assertEquals(lines.map(({ listed }) => listed.join(" ")), [
      "",
      "192.0.2.9 2001:db8::9",
      "192.0.2.9 2001:db8::9",
      "2001:db8::9",
      "",
    ]);
  },
});
