import { assert, assertEquals } from "@std/assert";
import { parseStat, readProcesses, treeOf } from "../../../bench/peers/processes.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux");

function stat(pid: number, parent: number, name = "x"): string {
  return `${pid} (${name}) S ${parent} 1 1 0 -1 4194560 10 0 0 0 150 50 25 75 20 0 1 0 99 1000000 256 18446744073709551615`;
}

Deno.test("parseStat adds the time of ended children and reads past a name with spaces and parentheses", () => {
  const expected = { pid: 12, parent: 7, name: "a) (b c", cpuSeconds: 3, residentBytes: 1048576 };
  assertEquals(parseStat(stat(12, 7, "a) (b c")), expected);
});

Deno.test("treeOf finds all below a root, in whatever order they are listed, and none beside it", () => {
  const all = [stat(5, 4), stat(4, 2), stat(2, 1), stat(3, 1), stat(6, 5)].map(parseStat);
  assertEquals(treeOf(2, all).map(({ pid }) => pid), [2, 4, 5, 6]);
  assertEquals(treeOf(99, all), []);
});

Deno.test({
  name: `readProcesses finds this process with memory and time of its own${needs.reason}`,
  ignore: needs.ignore,
  async fn() {
    const own = (await readProcesses()).find(({ pid }) => pid === Deno.pid);
    assert(own !== undefined && own.residentBytes > 10e6 && own.cpuSeconds > 0);
  },
});
