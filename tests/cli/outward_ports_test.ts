import { assertEquals, assertThrows } from "@std/assert";
import { hostPortOf, mergeOutward, parseOutward } from "../../cli/outward_ports.ts";

/** `PORT>HOSTPORT` each, and `auto` with those of some ports that it leaves out. */
function ports(text: string): string {
  const { named, auto } = parseOutward("tcp", text);
  const followed = auto.map(({ isExcluded }) => ["auto", ...[22, 5432].filter(isExcluded)].join("~"));
  return [...named.map(({ port, hostPort }) => `${port}>${hostPort}`), ...followed].join(" ");
}

Deno.test("parseOutward reads ports, pairs, ranges and lists, auto and none", () => {
  for (
    const [text, expected] of [
      ["5432", "5432>5432"],
      ["5432:15432", "5432>15432"],
      ["80,8000-8002:9000-9002", "80>80 8000>9000 8001>9001 8002>9002"],
      ["8000-8002,~8001", "8000>8000 8002>8002"],
      ["none", ""],
      ["auto", "auto"],
      ["auto,~22,5432:15432", "5432>15432 auto~22"],
      ["~5000-5999,auto", "auto~5432"],
    ] as const
  ) assertEquals(ports(text), expected, text);
});

Deno.test("parseOutward refuses addresses, interfaces, free ports, what nobody named, and too many", () => {
  for (
    const text of ["127.0.0.1/80", "80:10.0.2.15:80", "%lo/80", "0:80", "80:0", "all", "all,auto", "~80", ""]
  ) {
    assertThrows(() => parseOutward("tcp", text), Error, undefined, text);
  }
  assertThrows(() => parseOutward("udp", "1-2000"), RangeError, "it names 2000 ports, 1024 are the most");
});

Deno.test("mergeOutward puts together what several SPECs ask for, and is nothing where they ask for nothing", () => {
  const merged = mergeOutward([
    parseOutward("tcp", "80:90,auto"),
    parseOutward("udp", "53"),
    parseOutward("udp", "none"),
  ]);
  assertEquals(merged?.named.map(hostPortOf), ["tcp:90", "udp:53"]);
  assertEquals(merged?.auto.map(({ protocol }) => protocol), ["tcp"]);
  assertEquals(mergeOutward([]), undefined);
  assertEquals(mergeOutward([parseOutward("tcp", "none")]), undefined);
});
