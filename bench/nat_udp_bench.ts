/**
 * A datagram and an echo request on their way from the guest's frame to the host's socket and back to the guest's link:
 * everything but the system calls.
 *
 * @module
 */
import type { HostNetwork, HostUdpHandler } from "../nat/host.ts";
import { Nat } from "../nat/nat.ts";
import { SILENT } from "../nat/base/logger.ts";
import { createTranslationRules } from "../nat/rules/translation_options.ts";
import { IpAddress } from "../net/wire/address.ts";
import { ipv4AddressSum } from "../net/wire/checksum.ts";
import { encodeEthernet, ETHERTYPE_IPV4 } from "../net/wire/ethernet.ts";
import { CHECKSUM_PARTIAL, Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { encodeIcmpv4Echo, ICMP_ECHO_REQUEST } from "../net/wire/icmpv4.ts";
import { encodeIpv4, Ipv4Header, PROTOCOL_ICMP, PROTOCOL_UDP } from "../net/wire/ipv4.ts";
import { encodeUdp, udpSetChecksum } from "../net/wire/udp.ts";

const GUEST = 0x0a00020f, GUEST_MAC = 0x525400123456;
const REMOTE = IpAddress.parse("192.0.2.7"), PORT = 9;

let udp: HostUdpHandler | undefined;
const host: HostNetwork = {
  name: "bench",
  now: () => 1000,
  start() {},
  wake() {},
  connectTcp: () => {
    throw new Error("Cannot connect: this bench has no TCP");
  },
  openUdp: (_family, handler) => {
    udp = handler;
    return { send: () => true, close() {} };
  },
  listenTcp: () => "other",
  bindUdp: () => "other",
  openPing: () => ({ send: () => true, close() {} }),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

function gateway(offload: boolean, mtu = 1500) {
  const nat = new Nat({ host, rules: createTranslationRules(), logger: SILENT, random: () => 7, maxFlows: 8 });
  const guest = nat.attach({ name: "bench", mtu, offload, send: () => true, flush() {} });
  return { nat, guest };
}

function frameOf(protocol: number, payload: Uint8Array, destination: number): Frame {
  const bytes = new Uint8Array(34 + payload.length), ip = new Ipv4Header();
  ip.protocol = protocol;
  ip.source = GUEST;
  ip.destination = destination;
  ip.totalLength = 20 + payload.length;
  encodeIpv4(bytes, 14, ip);
  bytes.set(payload, 34);
  return new Frame().set(bytes, 0, bytes.length);
}

function datagram(length: number): Uint8Array {
  const bytes = new Uint8Array(8 + length).fill(0x5a);
  encodeUdp(bytes, 0, 4000, PORT, bytes.length);
  udpSetChecksum(bytes, 0, ipv4AddressSum(GUEST, REMOTE.ipv4));
  return bytes;
}

function echo(length: number): Uint8Array {
  const bytes = new Uint8Array(8 + length), payload = new Uint8Array(length);
  encodeIcmpv4Echo(bytes, 0, { type: ICMP_ECHO_REQUEST, identifier: 7, sequence: 1, payload });
  return bytes;
}

for (const [name, offload] of [["plain", false], ["offload", true]] as const) {
  const { nat, guest } = gateway(offload), frame = frameOf(PROTOCOL_UDP, datagram(1400), REMOTE.ipv4);
  encodeEthernet(frame.bytes, 0, nat.mac, GUEST_MAC, ETHERTYPE_IPV4);
  if (offload) frame.checksum = CHECKSUM_PARTIAL;
  guest.receive(frame);
  const handler = udp!, from = { address: REMOTE, port: PORT };
  Deno.bench(`process_udp_frame, 1400 B from the guest, ${name}`, { group: "udp" }, () => guest.receive(frame));
  const answer = new Uint8Array(SEGMENT_HEADROOM + 1400);
  Deno.bench(`process_udp_frame, 1400 B to the guest, ${name}`, { group: "udp" }, () => {
    handler.hostDatagram(answer, SEGMENT_HEADROOM, answer.length, from);
    nat.turn();
  });
  const large = new Uint8Array(SEGMENT_HEADROOM + 60000);
  Deno.bench(`process_udp_frame, 60000 B in fragments to the guest, ${name}`, { group: "udp large" }, () => {
    handler.hostDatagram(large, SEGMENT_HEADROOM, large.length, from);
    nat.turn();
  });
}

for (const [what, destination] of [["gateway", 0x0a000202], ["beyond", REMOTE.ipv4]] as const) {
  const { nat, guest } = gateway(true), frame = frameOf(PROTOCOL_ICMP, echo(56), destination);
  encodeEthernet(frame.bytes, 0, nat.mac, GUEST_MAC, ETHERTYPE_IPV4);
  Deno.bench(`process_icmp_echo_request, ${what}`, { group: "icmp" }, () => {
    guest.receive(frame);
    nat.turn();
  });
}
