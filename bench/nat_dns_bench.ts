/**
 * A guest's DNS query through the gateway, from its frame to the frame of the answer: found in the cache, and asked of
 * a resolver, which a host without sockets plays here.
 *
 * @module
 */
import type { HostNetwork, HostUdpHandler } from "../nat/host.ts";
import { SILENT } from "../nat/base/logger.ts";
import { Nat } from "../nat/nat.ts";
import { createTranslationRules } from "../nat/rules/translation_options.ts";
import { IpAddress, parseIpv4 } from "../net/wire/address.ts";
import { aRecord, dnsAnswer, dnsQuery } from "../tests/support/dns_messages.ts";
import { udpFrameOfGuest } from "../tests/support/sent_datagrams.ts";

const NAMES = 4096;
const SERVER = { address: IpAddress.parse("127.0.0.53"), port: 53 };

/** Answers each query before the next one comes. */
let answered: { handler: HostUdpHandler; id: number } | undefined;
const host: HostNetwork = {
  name: "bench",
  now: () => 0,
  start() {},
  wake() {},
  connectTcp() {
    throw new Error("Cannot connect: this host has no TCP");
  },
  openUdp: (_family, handler) => ({
    send(bytes) {
      answered = { handler, id: (bytes[0]! << 8) | bytes[1]! };
      return true;
    },
    close() {},
  }),
  listenTcp: () => "other",
  bindUdp: () => "other",
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
const rules = createTranslationRules({ dnsServers: [`${SERVER.address}`] });
let random = 0;
const nat = new Nat({ host, rules, logger: SILENT, random: () => random++, maxFlows: 1 });
let sent = 0;
const guest = nat.attach({ name: "bench", mtu: 1500, offload: false, send: () => ++sent > 0, flush() {} });

function frameOf(name: string) {
  return udpFrameOfGuest({ remote: parseIpv4("10.0.2.3"), remotePort: 53, guestPort: 40_000 }, dnsQuery(`${name} A`));
}

function ask(frame: ReturnType<typeof frameOf>, answer: Uint8Array): void {
  answered = undefined;
  guest.receive(frame);
  if (answered === undefined) return;
  const { handler, id } = answered as { handler: HostUdpHandler; id: number };
  answer[0] = id >>> 8;
  answer[1] = id;
  handler.hostDatagram(answer, 0, answer.length, SERVER);
}

const hit = frameOf("hit.example.test"), hitAnswer = dnsAnswer("hit.example.test A", { answers: [aRecord(300)] });
ask(hit, hitAnswer);
const local = frameOf("host.docker.internal");
// More names than the cache holds, in a round: each has been forgotten when its turn comes.
const misses = Array.from({ length: NAMES }, (_, i) => frameOf(`n${i}.example.test`));
const answers = misses.map((_, i) => dnsAnswer(`n${i}.example.test A`, { answers: [aRecord(300)] }));
let turn = 0;

Deno.bench("dns_cache_hit", { group: "a query of a guest", baseline: true }, () => ask(hit, hitAnswer));
Deno.bench("dns_cache_miss", { group: "a query of a guest" }, () => {
  const i = turn++ % NAMES;
  ask(misses[i]!, answers[i]!);
  if (answered === undefined) throw new Error(`n${i} was kept`);
});
Deno.bench("dns_local_name", { group: "a query of a guest" }, () => ask(local, hitAnswer));
