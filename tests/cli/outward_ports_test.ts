import { assertEquals, assertThrows } from "@std/assert";
import { hostPortsOf, parseOutward } from "../../cli/outward_ports.ts";

/** `PORT>HOSTPORT` each. */
function ports(text: string): string {
  return parseOutward("tcp", text).map(({ port, hostPort }) => `${port}>${hostPort}`).join(" ");
}

Deno.test("parseOutward reads ports, pairs, ranges and lists, and none", () => {
  for (
    const [text, expected] of [
      ["5432", "5432>5432"],
      ["5432:15432", "5432>15432"],
      ["80,8000-8002:9000-9002", "80>80 8000>9000 8001>9001 8002>9002"],
      ["8000-8002,~8001", "8000>8000 8002>8002"],
      ["none", ""],
    ] as const
  ) assertEquals(ports(text), expected, text);
});

Deno.test("parseOutward refuses addresses, interfaces, free ports, what nobody named, and too many", () => {
  for (
    const text of ["127.0.0.1/80", "80:10.0.2.15:80", "%lo/80", "0:80", "80:0", "all", "auto", "80,auto", "~80", ""]
  ) {
    assertThrows(() => parseOutward("tcp", text), Error, undefined, text);
  }
  assertThrows(() => parseOutward("udp", "1-2000"), RangeError, "it names 2000 ports, 1024 are the most");
});

Deno.test("hostPortsOf names each port of the host once", () => {
  const both = [...parseOutward("tcp", "80:90,81:90"), ...parseOutward("udp", "80:90")];
  assertEquals(hostPortsOf(both), ["tcp:90", "udp:90"]);
});
