import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip");

Deno.test({
  name: `hawser demo talks to a real kernel in a namespace, and every byte arrives${reason}`,
  ignore,
  fn: async () => {
    const began = performance.now(), { code, stdout, stderr } = await hawser(["demo"]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /The guest is a Linux kernel in a network namespace of its own/);
    assertMatch(stdout, /the answer began 1\.\d\d s later\n +and arrived whole: 1048576 bytes/);
    assertMatch(stdout, /guest to host +256 MiB .* every byte as sent\nhost to guest +256 MiB .* every byte as sent/);
    assertMatch(stdout, /states .*CLOSE-WAIT/);
    assertEquals(performance.now() - began < 15_000, true);
  },
});
