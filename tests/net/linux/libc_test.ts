import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cString, describeErrno, ENOENT, errno, errnoName, libc } from "../../../net/linux/libc.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "ffi");

Deno.test({
  name: `errno tells why the call before it failed${needs.reason}`,
  ignore: needs.ignore,
  fn() {
    assertEquals(libc().open(cString("/no/such/file"), 0), -1);
    assertEquals(errno(), ENOENT);
    assertEquals(libc().close(-1), -1);
    assertEquals(errnoName(errno()), "EBADF");
  },
});

Deno.test({
  name: `errno survives many compiled calls${needs.reason}`,
  ignore: needs.ignore,
  fn() {
    const { close, read } = libc(), bytes = new Uint8Array(8);
    let wrong = 0;
    for (let i = 0; i < 20000; i++) {
      if (close(-1) !== -1 || errno() !== 9) wrong++;
      if (read(-1, bytes, 8n) !== -1 || errno() !== 9) wrong++;
    }
    assertEquals(wrong, 0);
  },
});

Deno.test("describeErrno gives words and the name, and the number of an unknown error", () => {
  assertEquals(describeErrno(111), "connection refused (ECONNREFUSED)");
  assertEquals(describeErrno(4095), "error 4095");
});

Deno.test({
  name: `libc without --allow-ffi can be imported, and its use names the flag${needs.reason}`,
  ignore: needs.ignore,
  async fn() {
    const module = new URL("../../../net/linux/event_loop.ts", import.meta.url).href;
    const tap = new URL("../../../net/link/tap.ts", import.meta.url).href;
    const code = `import { EventLoop } from ${JSON.stringify(module)}; import ${JSON.stringify(tap)};
      console.log("imported"); try { new EventLoop(); } catch (error) { console.log(String(error)); }`;
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-config", "data:application/typescript," + encodeURIComponent(code)],
      stderr: "null",
    }).output();
    const lines = new TextDecoder().decode(stdout).split("\n");
    assertEquals(success, true);
    assertEquals(lines[0], "imported");
    assertMatch(lines[1]!, /^NotCapable: Cannot open the C library: /);
    assertStringIncludes(lines[1]!, "--allow-ffi");
  },
});
