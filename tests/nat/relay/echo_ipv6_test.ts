import { assertEquals } from "@std/assert";
import { ICMP_ECHO_REQUEST, icmpv4ChecksumValid } from "../../../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST, icmpv6Identifier, icmpv6Sequence } from "../../../net/wire/icmpv6.ts";
import { ask, echoFrame } from "../../support/frames.ts";
import { noise } from "../../support/packet_bytes.ts";
import { PacketScript6 } from "../../support/packet_script6.ts";

const REMOTE = "2001:db8::7";
const ECHO = { identifier: 0x1234, sequence: 77 };

Deno.test("EchoRelay over IPv6 asks with the host's identifier and gives the guest its own back, at every size", () => {
  for (const length of [0, 1, 56, 1452, 1453, 60000]) {
    const script = new PacketScript6({ mtu: 65535 }), payload = noise(length, length + 1);
    script.frame(echoFrame(ECHO, payload, { destination: REMOTE }));
    const socket = script.host.pingSockets[0]!, request = socket.sent[0]!;
    assertEquals([socket.family, `${request.to}`], [6, REMOTE]);
    assertEquals([request.bytes[0], icmpv6Identifier(request.bytes, 0), icmpv6Sequence(request.bytes, 0)], [
      ICMPV6_ECHO_REQUEST,
      socket.identifier,
      77,
    ]);
    assertEquals(request.bytes.slice(8), payload);
    socket.hostReplies(request);
    script.host.run();
    const { type, code, identifier, sequence, source, bytes } = script.takeIcmp()!;
    assertEquals([type, code, identifier, sequence, source], [ICMPV6_ECHO_REPLY, 0, 0x1234, 77, REMOTE]);
    assertEquals(bytes.slice(8), payload);
    const { protocol, target, bytesFromGuest, bytesToGuest } = script.nat.flows()[0]!;
    assertEquals([protocol, target, bytesFromGuest, bytesToGuest], ["icmp", REMOTE, length, length]);
    assertEquals(script.counted, {});
    script.assertEmptyAfterClose();
  }
});

Deno.test("EchoRelay over IPv6 asks IPv4 by NAT64 and by a map in IPv4's form, and the guest is answered in IPv6's", () => {
  const rules = { nat64: true, maps: ["fd00::9=127.0.0.1"] };
  for (const [to, target] of [["64:ff9b::c000:209", "192.0.2.9"], ["fd00::9", "127.0.0.1"]] as const) {
    const script = new PacketScript6({ rules }), payload = noise(57, 3);
    script.frame(echoFrame(ECHO, payload, { destination: to }));
    const socket = script.host.pingSockets[0]!, request = socket.sent[0]!;
    assertEquals([socket.family, `${request.to}`, request.bytes[0]], [4, target, ICMP_ECHO_REQUEST]);
    assertEquals(icmpv4ChecksumValid(request.bytes, 0, request.bytes.length), true);
    socket.hostReplies(request);
    script.host.run();
    const { type, identifier, sequence, source, bytes } = script.takeIcmp()!;
    assertEquals([type, identifier, sequence, source], [ICMPV6_ECHO_REPLY, 0x1234, 77, to]);
    assertEquals(bytes.slice(8), payload);
    script.assertEmptyAfterClose();
  }
});

Deno.test("EchoRelay over IPv6 tells what a request met by an ICMPv6 error that quotes the guest's own request", () => {
  const cases = [
    ["hostUnreachable", REMOTE, 1, 3, 0],
    ["networkUnreachable", REMOTE, 1, 0, 0],
    ["prohibited", REMOTE, 1, 1, 0],
    ["expired", REMOTE, 3, 0, 0],
    ["tooLarge", REMOTE, 2, 0, 1400],
    // A path of IPv4 that carries 1400 bytes carries 20 more with a header of IPv6.
    ["tooLarge", "64:ff9b::c000:209", 2, 0, 1420],
  ] as const;
  for (const [error, to, type, code, mtu] of cases) {
    const script = new PacketScript6({ rules: { nat64: true } });
    script.frame(echoFrame(ECHO, new Uint8Array(8), { destination: to }));
    const socket = script.host.pingSockets[0]!;
    socket.hostFails(socket.sent[0]!, error, 1400);
    script.host.run();
    const { bytes, ...message } = script.takeIcmp()!, quoted = 8 + 40;
    assertEquals([message.type, message.code, new DataView(bytes.slice().buffer).getUint32(4)], [type, code, mtu]);
    assertEquals([bytes[quoted], icmpv6Identifier(bytes, quoted), icmpv6Sequence(bytes, quoted)], [
      ICMPV6_ECHO_REQUEST,
      0x1234,
      77,
    ]);
    assertEquals(script.counted, {});
    script.assertEmptyAfterClose();
  }
});

Deno.test("EchoRelay over IPv6 takes no reply of who was not asked, and no family's socket serves the other", () => {
  const script = new PacketScript6();
  script.frame(echoFrame(ECHO, new Uint8Array(8), { destination: REMOTE }), ask("icmp", "192.0.2.7"));
  const [six, four] = script.host.pingSockets;
  assertEquals([six!.family, four!.family, script.nat.flows().length], [6, 4, 2]);
  six!.hostReplies(six!.sent[0]!, four!.sent[0]!.to);
  script.host.run();
  assertEquals([script.takeIcmp(), script.counted], [null, { echoUnasked: 1 }]);
  script.host.pingError = "prohibited";
  script.frame(echoFrame({ ...ECHO, identifier: 9 }, new Uint8Array(8), { destination: REMOTE }));
  assertEquals([script.takeIcmp(), script.counted], [null, { echoUnasked: 1, icmpNotRelayed: 1 }]);
  script.assertEmptyAfterClose();
});
