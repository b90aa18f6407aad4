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
import { CHECKSUM_PARTIAL, Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { echoFrame, udpFrame } from "../tests/support/frames.ts";

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

function frameOf(bytes: Uint8Array): Frame {
  return new Frame().set(bytes, 0, bytes.length);
}

for (const [name, offload] of [["plain", false], ["offload", true]] as const) {
  const { nat, guest } = gateway(offload), payload = new Uint8Array(1400).fill(0x5a);
  const frame = frameOf(udpFrame({ source: 4000, destination: PORT }, payload, { destination: REMOTE }));
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
  const { nat, guest } = gateway(true), echo = { identifier: 7, sequence: 1 };
  const frame = frameOf(echoFrame(echo, new Uint8Array(56), { destination }));
  Deno.bench(`process_icmp_echo_request, ${what}`, { group: "icmp" }, () => {
    guest.receive(frame);
    nat.turn();
  });
}
