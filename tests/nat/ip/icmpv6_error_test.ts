import { assertEquals } from "@std/assert";
import { icmpv6ErrorFor } from "../../../nat/ip/icmpv6_error.ts";
import { PATH_MTU_MS } from "../../../nat/guest.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { noise } from "../../support/packet_bytes.ts";
import { PacketScript6, type SentPacket6 } from "../../support/packet_script6.ts";
import { icmpErrorFrame, icmpFrame, packetFrame, tcpFrame, udpFrame } from "../../support/frames.ts";
import { PROTOCOL_TCP } from "../../../net/wire/ipv4.ts";
import { TCP_ACK, TCP_SYN } from "../../../net/wire/tcp.ts";

const REMOTE = IpAddress.parse("2001:db8::7"), TOO_BIG = 2;

/** A gateway whose guest has asked a UDP server. */
function asked(): { script: PacketScript6; answer: (length: number) => SentPacket6[] } {
  const script = new PacketScript6();
  script.frame(udpFrame({ source: 4000, destination: 9 }, noise(8, 1), { destination: REMOTE }));
  const socket = script.host.udpSockets[0]!;
  return {
    script,
    answer: (length) => {
      socket.hostSends(noise(length, 2), { address: REMOTE, port: 9 });
      script.host.run();
      return script.take();
    },
  };
}

/** An error of the guest about a packet that it was sent. */
function error({ frame }: SentPacket6, fields: { type: number; code?: number; rest?: number }): Uint8Array {
  return icmpErrorFrame({ code: 0, ...fields }, frame.bytes.subarray(14, 14 + 200), { destination: REMOTE });
}

Deno.test("an ICMPv6 error about a packet too big lowers the MTU of the path for a while, and below 1280 nothing", () => {
  const { script, answer } = asked(), [whole] = answer(1400);
  script.frame(error(whole!, { type: TOO_BIG, rest: 1300 }));
  assertEquals([script.guest.ipv6.mtu, script.guest.ipv4.mtu, answer(1400).length], [1300, 1500, 2]);
  script.frame(error(whole!, { type: TOO_BIG, rest: 1279 }), error(whole!, { type: TOO_BIG, rest: 0 }));
  script.frame(error(whole!, { type: TOO_BIG, rest: 1400 }));
  assertEquals([script.guest.ipv6.mtu, script.counted], [1300, { icmpErrorSoft: 3 }]);
  script.frame(error(whole!, { type: TOO_BIG, rest: 1280 }));
  assertEquals(script.guest.ipv6.mtu, 1280);
  script.host.advance(PATH_MTU_MS);
  assertEquals(script.guest.ipv6.mtu, 1500);
  script.assertEmptyAfterClose();
});

Deno.test("an ICMPv6 error about a fragment counts for its datagram if it is the first, else for nobody", () => {
  const { script, answer } = asked(), fragments = answer(3000);
  script.frame(error(fragments[1]!, { type: TOO_BIG, rest: 1300 }));
  assertEquals([script.guest.ipv6.mtu, script.counted], [1500, { icmpErrorStray: 1 }]);
  script.frame(error(fragments[0]!, { type: TOO_BIG, rest: 1300 }));
  assertEquals(script.guest.ipv6.mtu, 1300);
  script.assertEmptyAfterClose();
});

Deno.test("ICMPv6 errors that say anything else are counted and change nothing", () => {
  const { script, answer } = asked(), [whole] = answer(100);
  for (const [type, code] of [[1, 0], [1, 4], [3, 0], [4, 1], [100, 0]] as const) {
    script.frame(error(whole!, { type, code }));
  }
  assertEquals([script.counted, answer(100).length], [{ icmpErrorSoft: 5 }, 1]);
  script.assertEmptyAfterClose();
});

Deno.test("an ICMPv6 error about a segment lowers the connection's segment size, one about an echo counts as known", () => {
  const script = new PacketScript6();
  script.frame(tcpFrame({ destination: REMOTE, seq: 5, ack: 0, flags: TCP_SYN, mss: 1440 }));
  const socket = script.host.onlyConnect();
  socket.accept();
  script.host.run();
  const [synAck] = script.take(), ack = new DataView(synAck!.payload.slice().buffer).getUint32(4) + 1;
  script.frame(tcpFrame({ destination: REMOTE, seq: 6, ack, flags: TCP_ACK }));
  socket.hostSends(noise(1440, 1));
  script.host.run();
  const [full] = script.take();
  assertEquals(full!.payload.length, 1460);
  script.frame(error(full!, { type: TOO_BIG, rest: 1280 }));
  script.host.advance(3000);
  const smaller = script.take().filter(({ header }) => header.nextHeader === PROTOCOL_TCP);
  assertEquals([smaller.length > 0, smaller.every(({ payload }) => payload.length <= 1240)], [true, true]);
  assertEquals(script.counted, {});
  script.frame(icmpFrame(128, 0, noise(60, 1), { destination: REMOTE }));
  const ping = script.host.pingSockets[0]!;
  ping.hostReplies(ping.sent[0]!);
  script.host.run();
  script.frame(error(script.take().at(-1)!, { type: 1 }));
  assertEquals(script.counted, { icmpErrorSoft: 1 });
  script.assertEmptyAfterClose();
});

Deno.test("ICMPv6 errors about what was never sent are strays, whatever they quote", () => {
  const { script, answer } = asked(), [whole] = answer(100);
  const quote = whole!.frame.bytes.slice(14),
    about = (bytes: Uint8Array) =>
      icmpErrorFrame({ type: TOO_BIG, code: 0, rest: 1300 }, bytes, { destination: REMOTE });
  const changed = (at: number, value: number) => Object.assign(quote.slice(), { [at]: value });
  // Next header, addresses, ports.
  for (const [at, value] of [[6, 6], [6, 58], [6, 132], [6, 43], [23, 9], [39, 9], [43, 1]] as const) {
    script.frame(about(changed(at, value)));
  }
  assertEquals([script.counted, script.guest.ipv6.mtu], [{ icmpErrorStray: 7 }, 1500]);
  script.frame(about(changed(0, 0x40)), about(quote.subarray(0, 47)));
  assertEquals(script.counted, { icmpErrorStray: 7, icmpMalformed: 2 });
  script.frame(packetFrame(58, new Uint8Array(8), { destination: REMOTE }));
  assertEquals(script.counted, { icmpErrorStray: 7, icmpMalformed: 2, icmpChecksum: 1 });
  script.assertEmptyAfterClose();
});

Deno.test("icmpv6ErrorFor never asks a guest for less than every path of IPv6 carries, and says nothing it does not know", () => {
  assertEquals([0, 68, 1279, 1280, 1400].map((mtu) => icmpv6ErrorFor("tooLarge", mtu)?.mtu ?? null), [
    null,
    1280,
    1280,
    1280,
    1400,
  ]);
  assertEquals((["reset", "exhausted", "other"] as const).map((error) => icmpv6ErrorFor(error, 0)), [null, null, null]);
});
