import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ECHO_MS } from "../../../nat/relay/echo_relay.ts";
import { formatIpv4, IpAddress } from "../../../net/wire/address.ts";
import {
  decodeIcmpv4,
  encodeIcmpv4Echo,
  ICMP_ADMIN_PROHIBITED,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_UNREACHABLE,
  icmpv4ChecksumValid,
  icmpv4Identifier,
  icmpv4Quoted,
  icmpv4Sequence,
} from "../../../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REQUEST } from "../../../net/wire/icmpv6.ts";
import { PROTOCOL_ICMP } from "../../../net/wire/ipv4.ts";
import { DatagramScript, GUEST } from "../../support/datagram_script.ts";
import { noise } from "../../support/packet_bytes.ts";

const FLOOD = noise(60000, 5);

Deno.test("EchoRelay asks with the host's identifier and gives the guest its own back, at every size", () => {
  for (const payload of [new Uint8Array(0), noise(56, 1), noise(1472, 2), noise(1473, 3)]) {
    for (const front of [7, 300]) {
      const script = new DatagramScript();
      for (const sequence of [1, 2]) {
        const bytes = new Uint8Array(8 + payload.length);
        script.echo(0x1234, sequence, payload);
        const socket = script.host.pingSockets[0]!, request = socket.sent.at(-1)!;
        socket.front = front;
        assertEquals([`${request.to}`, icmpv4Identifier(request.bytes, 0)], ["192.0.2.7", socket.identifier]);
        assertEquals([icmpv4Sequence(request.bytes, 0), request.bytes.length], [sequence, bytes.length]);
        assert(icmpv4ChecksumValid(request.bytes, 0, request.bytes.length));
        socket.hostReplies(request);
        script.host.run();
        const [{ header, payload: reply, frames }] = script.take() as [ReturnType<DatagramScript["take"]>[0]];
        const message = decodeIcmpv4(reply);
        assertEquals([formatIpv4(header.source), header.destination], ["192.0.2.7", GUEST]);
        assertEquals([message.type, message.identifier, message.sequence], [ICMP_ECHO_REPLY, 0x1234, sequence]);
        assertEquals([message.checksumValid, reply.slice(8), frames], [true, payload, payload.length > 1472 ? 2 : 1]);
      }
      const { protocol, guest, target, host, state, bytesFromGuest, bytesToGuest } = script.nat.flows()[0]!;
      assertEquals([protocol, guest, target, host, state], [
        "icmp",
        "10.0.2.15:4660",
        "192.0.2.7",
        "192.0.2.7",
        "open",
      ]);
      assertEquals([bytesFromGuest, bytesToGuest, script.counted], [2 * payload.length, 2 * payload.length, {}]);
      script.assertEmptyAfterClose();
    }
  }
});

Deno.test("EchoRelay carries a request that comes in fragments", () => {
  const script = new DatagramScript();
  const whole = new Uint8Array(8 + FLOOD.length);
  encodeIcmpv4Echo(whole, 0, { type: ICMP_ECHO_REQUEST, identifier: 7, sequence: 1, payload: FLOOD });
  for (const frame of script.fragments(whole, 1480, { to: "192.0.2.8" })) {
    script.frame(frame.fill(PROTOCOL_ICMP, 23, 24));
  }
  assertEquals(script.counted, { ipv4Checksum: Math.ceil(whole.length / 1480) });
  for (const frame of script.fragments(whole, 1480, { to: "192.0.2.8", protocol: PROTOCOL_ICMP })) script.frame(frame);
  const request = script.host.pingSockets[0]!.sent[0]!;
  assertEquals([`${request.to}`, request.bytes.slice(8)], ["192.0.2.8", FLOOD]);
  script.host.pingSockets[0]!.hostReplies(request);
  script.host.run();
  assertEquals(script.take()[0]!.frames, Math.ceil(whole.length / 1480));
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay opens a socket for each identifier of the guest, whatever it asks with it", () => {
  const script = new DatagramScript();
  script.echo(1, 1, new Uint8Array(8));
  script.echo(1, 2, new Uint8Array(8), { to: "192.0.2.8" });
  script.echo(2, 1, new Uint8Array(8));
  assertEquals(script.host.pingSockets.map(({ sent }) => sent.length), [2, 1]);
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay translates as everything else, and leaves the gateway's own addresses to the gateway", () => {
  const script = new DatagramScript({ rules: { maps: ["10.0.2.9=127.0.0.1"] } });
  script.echo(1, 1, new Uint8Array(8), { to: "10.0.2.9" });
  const socket = script.host.pingSockets[0]!;
  assertEquals(`${socket.sent[0]!.to}`, "127.0.0.1");
  socket.hostReplies(socket.sent[0]!);
  script.host.run();
  assertEquals(formatIpv4(script.take()[0]!.header.source), "10.0.2.9");
  for (const to of ["10.0.2.2", "10.0.2.3"]) script.echo(1, 1, new Uint8Array(8), { to });
  assertEquals([script.take().length, script.host.pingSockets.length, socket.sent.length], [2, 1, 1]);
  for (const to of ["127.0.0.1", "0.0.0.0", "10.0.2.77"]) {
    script.echo(1, 1, new Uint8Array(8), { to });
    script.echo(3, 1, new Uint8Array(8), { to });
  }
  const errors = script.take().map(({ payload }) => decodeIcmpv4(payload)).map(({ type, code }) => [type, code]);
  assertEquals(errors, Array(6).fill([ICMP_UNREACHABLE, ICMP_ADMIN_PROHIBITED]));
  assertEquals([script.host.pingSockets.length, script.counted], [1, { neverRelayed: 6 }]);
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay takes no reply from an address the guest has not asked", () => {
  const script = new DatagramScript();
  script.echo(1, 1, new Uint8Array(8));
  const socket = script.host.pingSockets[0]!;
  socket.hostReplies(socket.sent[0]!, IpAddress.parse("192.0.2.8"));
  script.host.run();
  assertEquals([script.take(), script.counted], [[], { echoUnasked: 1 }]);
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay lives 60 s after its last message", () => {
  const script = new DatagramScript();
  script.echo(1, 1, new Uint8Array(8));
  script.host.advance(ECHO_MS - 1);
  script.echo(1, 2, new Uint8Array(8));
  script.host.advance(ECHO_MS - 1);
  assertEquals([script.nat.flows().length, script.nat.flows()[0]!.ageMs], [1, 2 * ECHO_MS - 2]);
  script.host.advance(1);
  assertEquals([script.nat.flows(), script.host.pingSockets[0]!.closed, script.nat.endings.idle], [[], true, 1]);
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay tells what a request met by an ICMP error that quotes the guest's own request", () => {
  for (const [error, type, code] of [["hostUnreachable", 3, 1], ["expired", 11, 0], ["tooLarge", 3, 4]] as const) {
    const script = new DatagramScript();
    script.echo(0x1234, 77, new Uint8Array(8));
    const socket = script.host.pingSockets[0]!;
    socket.hostFails(socket.sent[0]!, error, 1400);
    script.host.run();
    const [{ payload }] = script.take() as [ReturnType<DatagramScript["take"]>[0]];
    const message = decodeIcmpv4(payload), at = icmpv4Quoted(payload, 0, payload.length);
    assertEquals([message.type, message.code, message.sequence], [type, code, error === "tooLarge" ? 1400 : 0]);
    assertEquals([icmpv4Identifier(payload, at + 20), icmpv4Sequence(payload, at + 20)], [0x1234, 77]);
    assertEquals(script.counted, {});
    script.assertEmptyAfterClose();
  }
});

Deno.test("EchoRelay counts what the host does not take", () => {
  const script = new DatagramScript();
  script.echo(1, 1, new Uint8Array(8));
  const socket = script.host.pingSockets[0]!;
  socket.takes = false;
  script.echo(1, 2, new Uint8Array(8));
  socket.hostFails(socket.sent[0]!, "other");
  script.host.run();
  assertEquals([script.take(), script.counted], [[], { echoNotSent: 2 }]);
  script.assertEmptyAfterClose();
});

Deno.test("Nat without ping sockets drops echo requests, asks the host once, says so once and forges nothing", () => {
  const script = new DatagramScript();
  script.host.pingError = "prohibited";
  for (let i = 0; i < 5; i++) script.echo(i, 1, new Uint8Array(8));
  script.host.advance(100_000);
  script.echo(1, 2, new Uint8Array(8));
  assertEquals([script.take(), script.counted, script.nat.flows()], [[], { icmpNotRelayed: 6 }, []]);
  assertEquals([script.host.pingOpens, script.warnings.length], [1, 1]);
  assertStringIncludes(script.warnings[0]!, "the host (script) has no ping socket");
  script.assertEmptyAfterClose();
});

Deno.test("Nat whose host has run out of descriptors asks again for the next echo request", () => {
  const script = new DatagramScript();
  script.host.pingError = "exhausted";
  script.echo(1, 1, new Uint8Array(8));
  script.host.pingError = undefined;
  script.echo(1, 2, new Uint8Array(8));
  assertEquals([script.counted, script.host.pingSockets.length, script.warnings], [{ hostExhausted: 1 }, 1, []]);
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay asks a target of the other family by a socket of that family, in that family's form", () => {
  const script = new DatagramScript({ rules: { maps: ["10.0.2.9=::1", "10.0.2.10=192.0.2.9"] } });
  for (const to of ["10.0.2.9", "10.0.2.10", "10.0.2.9"]) script.echo(7, 1, noise(56, 1), { to });
  const [six, four] = script.host.pingSockets;
  assertEquals([six!.family, six!.sent.length, four!.family, four!.sent.length], [6, 2, 4, 1]);
  assertEquals([`${six!.sent[0]!.to}`, six!.sent[0]!.bytes[0]], ["::1", ICMPV6_ECHO_REQUEST]);
  six!.hostReplies(six!.sent[0]!);
  four!.hostReplies(four!.sent[0]!);
  script.host.run();
  const replies = script.take().map(({ header, payload }) => ({ from: formatIpv4(header.source), payload }));
  assertEquals(replies.map(({ from }) => from), ["10.0.2.9", "10.0.2.10"]);
  for (const { payload } of replies) {
    const { type, identifier, sequence, checksumValid } = decodeIcmpv4(payload);
    assertEquals([type, identifier, sequence, checksumValid], [ICMP_ECHO_REPLY, 7, 1, true]);
    assertEquals(payload.slice(8), noise(56, 1));
  }
  assertEquals(script.nat.flows().length, 1);
  script.assertEmptyAfterClose();
});

Deno.test("EchoRelay tells the MTU of an IPv6 path as IPv4 has it, and of an IPv4 path as it is", () => {
  for (const [to, mtu] of [["10.0.2.9", 1260], ["10.0.2.10", 1280]] as const) {
    const script = new DatagramScript({ rules: { maps: ["10.0.2.9=::1", "10.0.2.10=192.0.2.9"] } });
    script.echo(7, 1, noise(1400, 1), { to });
    const socket = script.host.pingSockets[0]!;
    socket.hostFails(socket.sent[0]!, "tooLarge", 1280);
    script.host.run();
    assertEquals(script.take().map(({ payload }) => decodeIcmpv4(payload).sequence), [mtu]);
    script.assertEmptyAfterClose();
  }
});

Deno.test("Nat whose host has no ping sockets of one family drops what leads there alone", () => {
  const script = new DatagramScript({ rules: { maps: ["10.0.2.9=::1"] } });
  script.echo(1, 1, new Uint8Array(8));
  script.host.pingError = "prohibited";
  for (let i = 0; i < 3; i++) script.echo(1, 2, new Uint8Array(8), { to: "10.0.2.9" });
  script.echo(1, 3, new Uint8Array(8));
  assertEquals([script.counted, script.host.pingOpens, script.warnings.length], [{ icmpNotRelayed: 3 }, 2, 1]);
  assertStringIncludes(script.warnings[0]!, "no ping socket of IPv6");
  assertEquals(script.host.pingSockets.map(({ sent }) => sent.length), [2]);
  script.host.pingError = "exhausted";
  script.echo(9, 1, new Uint8Array(8), { to: "10.0.2.9" });
  assertEquals(script.nat.flows().length, 1);
  script.assertEmptyAfterClose();
});
