import { assert, assertEquals, assertMatch } from "@std/assert";
import { demo } from "../../cli/demo.ts";

Deno.test("demo in memory says what it is, shows the states and succeeds", async () => {
  const lines: string[] = [];
  assertEquals(await demo({ mode: "memory", print: (line) => lines.push(line) }), 0);
  const text = lines.join("\n");
  assertMatch(text, /Hawser's own TCP endpoint over a link in memory: memory mode was asked for/);
  assertMatch(text, /half-close {7}the guest said it was done \(FIN\), the answer began 1\.\d\d s later/);
  assertMatch(text, /guest to host {4}64 MiB in .* Gbit\/s, every byte as sent/);
  assertMatch(text, /host to guest {4}64 MiB in .* Gbit\/s, every byte as sent/);
  assertMatch(text, /states .*ESTABLISHED/);
  assertMatch(text, /states .*CLOSE-WAIT/);
  assertMatch(text, /Every byte arrived/);
});

Deno.test("demo fails when one byte of an answer is not what was sent", async () => {
  const lines: string[] = [];
  assertEquals(await demo({ mode: "memory", print: (line) => lines.push(line), corrupt: true }), 1);
  assert(
    lines.some((line) => line.startsWith("FAILED: the answer to a half-closed request has bytes")),
    lines.join("\n"),
  );
  assert(!lines.some((line) => line.startsWith("Every byte arrived")));
});
