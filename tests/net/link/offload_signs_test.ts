import { assertStrictEquals } from "@std/assert";
import { showsOffload } from "../../../net/link/offload_signs.ts";
import { addressSum } from "../../../net/wire/checksum.ts";
import { ETHERNET_HEADER_LENGTH } from "../../../net/wire/ethernet.ts";
import { PROTOCOL_DESTINATION_OPTIONS, PROTOCOL_ROUTING } from "../../../net/wire/ipv6_extensions.ts";
import { TCP_ACK, TCP_SYN, tcpSetPartialChecksum } from "../../../net/wire/tcp.ts";
import { udpSetPartialChecksum } from "../../../net/wire/udp.ts";
import { addressOf, fragmentWord, type TcpFields, tcpFrame, udpFrame } from "../../support/frames.ts";
import { placed } from "../../support/packet_bytes.ts";

const FAMILIES = {
  IPv4: { source: "10.0.2.15", destination: "10.0.2.2", header: 20 },
  IPv6: { source: "fd00::15", destination: "fd00::2", header: 40 },
};
const MTU = 1500;

/** Whether the frame, in the middle of a larger buffer, shows it. */
function shows(frame: Uint8Array): boolean {
  const bytes = placed(frame);
  return showsOffload(bytes, 0, bytes.length, MTU);
}

for (const [family, { header, ...ends }] of Object.entries(FAMILIES)) {
  const sum = addressSum(addressOf(ends.source)) + addressSum(addressOf(ends.destination));
  const syn: TcpFields = { flags: TCP_SYN, seq: 1, ack: 0, ...ends };

  Deno.test(`showsOffload sees a partial checksum over ${family}, and no whole or wrong one`, () => {
    const segment = tcpFrame(syn), datagram = udpFrame({ source: 9, destination: 9 }, new Uint8Array(5), ends);
    const transport = ETHERNET_HEADER_LENGTH + header;
    for (const whole of [segment, datagram]) {
      const wrong = whole.slice();
      wrong[wrong.length - 1]! ^= 1;
      assertStrictEquals(shows(whole) || shows(wrong), false);
    }
    tcpSetPartialChecksum(segment, transport, segment.length, sum);
    udpSetPartialChecksum(datagram, transport, sum);
    for (const partial of [segment, datagram]) {
      assertStrictEquals(shows(partial), true);
      for (let end = 0; end < partial.length; end++) assertStrictEquals(shows(partial.slice(0, end)), false, `${end}`);
    }
  });

  Deno.test(`showsOffload sees a segment over ${family} that the MTU is too small for, and no datagram or fragment`, () => {
    const payload = new Uint8Array(3000), long = { ...syn, flags: TCP_ACK, payload };
    assertStrictEquals(shows(tcpFrame(long)), true);
    assertStrictEquals(shows(tcpFrame({ ...long, payload: payload.subarray(0, MTU - header - 20) })), false);
    assertStrictEquals(shows(udpFrame({ source: 9, destination: 9 }, payload, ends)), false);
    const more = fragmentWord(family === "IPv4" ? 4 : 6, 0, true);
    assertStrictEquals(shows(tcpFrame({ ...long, fragment: more })), false);
  });
}

Deno.test("showsOffload looks behind extension headers, and not behind those that are refused", () => {
  const { source, destination } = FAMILIES.IPv6, bytes = Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0);
  const long = { flags: TCP_ACK, seq: 1, ack: 0, source, destination, payload: new Uint8Array(3000) };
  const behind = (type: number) => shows(tcpFrame({ ...long, extensions: [{ type, bytes }] }));
  assertStrictEquals(behind(PROTOCOL_DESTINATION_OPTIONS), true);
  assertStrictEquals(behind(PROTOCOL_ROUTING), false, "four segments are left");
});
