import { assertEquals, assertThrows } from "@std/assert";
import { HostPorts } from "../../../nat/rules/host_ports.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";

Deno.test("HostPorts has the ports that were opened and not closed, each of its protocol", () => {
  const ports = new HostPorts(), isOpen = (protocol: number, port: number) => ports.isOpen({ protocol, port });
  assertEquals(isOpen(PROTOCOL_TCP, 5432), false);
  ports.open("tcp:5432");
  ports.open("udp:65535");
  assertEquals([isOpen(PROTOCOL_TCP, 5432), isOpen(PROTOCOL_UDP, 5432), isOpen(PROTOCOL_UDP, 65535)], [
    true,
    false,
    true,
  ]);
  ports.close("tcp:5432");
  ports.close("tcp:5433");
  assertEquals([isOpen(PROTOCOL_TCP, 5432), isOpen(PROTOCOL_UDP, 65535)], [false, true]);
});

Deno.test("HostPorts refuses what is no port, and all where none may ever be open", () => {
  const ports = new HostPorts();
  for (const text of ["5432", "tcp:", "sctp:1", "tcp:80-81", "tcp:all"]) {
    assertThrows(() => ports.open(text), TypeError, `Cannot use host port ${text}: it is tcp:PORT or udp:PORT`);
  }
  assertThrows(() => ports.open("tcp:0"), RangeError, "from 1 to 65535");
  assertThrows(() => ports.close("tcp:65536"), RangeError, "from 1 to 65535");
  assertThrows(() => new HostPorts("not here").open("tcp:80"), RangeError, "Cannot use host port tcp:80: not here");
});
