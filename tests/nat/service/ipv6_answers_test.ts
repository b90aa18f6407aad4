import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { IpAddress, parseMac } from "../../../net/wire/address.ts";
import { addressSum } from "../../../net/wire/checksum.ts";
import { decodeDhcpv6, type Dhcpv6Fields, encodeDhcpv6, formatDhcpv6 } from "../../../net/wire/dhcpv6.ts";
import { decodeIpv6, encodeIpv6, ipv6AddressSum, PROTOCOL_ICMPV6 } from "../../../net/wire/ipv6.ts";
import {
  ALL_NODES,
  decodeNdp,
  encodeNdp,
  formatNdp,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_SOLICITATION,
  NDP_ROUTER_SOLICITATION,
  type NdpMessage,
  solicitedNode,
} from "../../../net/wire/ndp.ts";
import { decodeUdp, encodeUdp, udpChecksumValid } from "../../../net/wire/udp.ts";
import { TimerWheel } from "../../../nat/base/timers.ts";
import { createTranslationRules, type TranslationOptions } from "../../../nat/rules/translation_options.ts";
import type { GuestService } from "../../../nat/service/guest_services.ts";
import { Ipv6Answers, type Ipv6AnswersContext, type Ipv6Question } from "../../../nat/service/ipv6_answers.ts";

const ip = IpAddress.parse, NOBODY = "::", LINK_LOCAL = "fe80::5054:ff:fe12:3456", GROUP = "ff02::1:2";
const CLIENT = Uint8Array.of(0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56);

/** The answers on a link, on a virtual clock. */
class Script {
  now = 0;
  hasRoute = true;
  readonly listeners = new Set<() => void>();
  readonly timers = new TimerWheel(0);
  /** What was sent since the last look, in words: `source > destination: message`. */
  readonly sent: string[] = [];
  readonly leases: string[] = [];
  /** What the guest is asked for. */
  asked: string | null = null;
  /** The address of the guest. */
  speaksFrom = LINK_LOCAL;
  readonly answers: Ipv6Answers;

  constructor(options: TranslationOptions = {}, without: readonly GuestService[] = []) {
    const rules = createTranslationRules(options);
    const context: Ipv6AnswersContext = {
      rules,
      mac: parseMac("52:55:0a:00:02:02"),
      dhcp: { domainSearch: ["example.org"] },
      without,
      timers: this.timers,
      scratch: new Uint8Array(4000),
      ipv6Routes: {
        has: () => this.hasRoute,
        changed: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
      },
      now: () => this.now,
      random: () => 0,
    };
    this.answers = new Ipv6Answers(context, {
      segment: rules.ipv6!,
      mtu: 1500,
      has: (address) => `${address}` === this.speaksFrom,
      guestMac: () => parseMac("52:54:00:12:34:56"),
      isAnswer: (address) => `${address}` === this.asked,
      send: (bytes, start, end, destination) => void this.sent.push(describe(bytes, start, end, destination)),
      leaseGiven: (address, mac) => void this.leases.push(`${address} ${mac}`),
    });
  }

  /** Gives the answers a neighbour discovery message; returns what came of it at once. */
  neighbour(from: string, to: string | IpAddress, message: NdpMessage): (string | null)[] {
    const ends = { source: ip(from), destination: ip(`${to}`) }, bytes = new Uint8Array(300);
    const sum = addressSum(ends.source) + addressSum(ends.destination);
    const payloadLength = encodeNdp(bytes, 54, message, sum);
    encodeIpv6(bytes, 14, { payloadLength, nextHeader: PROTOCOL_ICMPV6, hopLimit: 255, ...ends });
    const refusal = this.answers.neighbourMessage(question(bytes, payloadLength));
    return [refusal, ...this.sent.splice(0)];
  }

  /** The same of a report that it listens to the group of its address. */
  report(from: string): string[] {
    const bytes = new Uint8Array(300), ends = { source: ip(from), destination: ip("ff02::16") };
    // Of the messages only their header is looked at here.
    encodeIpv6(bytes, 14, { payloadLength: 8, nextHeader: PROTOCOL_ICMPV6, hopLimit: 1, ...ends });
    this.answers.listenerMessage(question(bytes, 8));
    return this.sent.splice(0);
  }

  /** The same of a DHCPv6 message. */
  dhcp(fields: Partial<Dhcpv6Fields>, { from = LINK_LOCAL, to = GROUP, cut = 0 } = {}): (string | null)[] {
    const ends = { source: ip(from), destination: ip(to) }, bytes = new Uint8Array(3000);
    const message = { messageType: 1, transactionId: 7, clientId: CLIENT, ...fields };
    const payloadLength = 8 + encodeDhcpv6(bytes, 62, message) - cut;
    encodeUdp(bytes, 54, 546, 547, payloadLength);
    encodeIpv6(bytes, 14, { payloadLength, nextHeader: 17, ...ends });
    return [this.answers.dhcpMessage(question(bytes, payloadLength)), ...this.sent.splice(0)];
  }

  /** The host's route comes or goes. */
  setRoute(hasRoute: boolean): void {
    this.hasRoute = hasRoute;
    for (const listener of this.listeners) listener();
  }

  /** Goes on by some milliseconds; returns what was sent. */
  wait(ms: number): string[] {
    this.now += ms;
    this.timers.advance(this.now);
    return this.sent.splice(0);
  }
}

function question(bytes: Uint8Array, payloadLength: number): Ipv6Question {
  return { bytes, ip: 14, transport: 54, end: 54 + payloadLength };
}

/** Reads a packet as its receiver does. */
function describe(bytes: Uint8Array, start: number, end: number, to: IpAddress): string {
  const { source, destination, nextHeader, payloadStart, payloadEnd } = decodeIpv6(bytes, start, end);
  assert(payloadEnd === end && destination.equals(to));
  if (nextHeader === PROTOCOL_ICMPV6) {
    const message = decodeNdp(bytes, payloadStart, end);
    const lifetime = "lifetime" in message ? ` for ${message.lifetime} s` : "";
    return `${source} > ${destination}: ${formatNdp(message).replace(/ICMP6, |, length.*/g, "")}${lifetime}`;
  }
  assert(udpChecksumValid(bytes, payloadStart, ipv6AddressSum(bytes, start)));
  const { sourcePort, destinationPort } = decodeUdp(bytes, payloadStart, end);
  const message = formatDhcpv6(decodeDhcpv6(bytes, payloadStart + 8, end)).split(", ");
  return `${source}.${sourcePort} > ${destination}.${destinationPort}: ${message[0]}, ${message.slice(4).join(", ")}`;
}

function solicit(target: string): NdpMessage {
  return { type: NDP_NEIGHBOUR_SOLICITATION, target: ip(target) };
}

const ROUTER_SOLICITATION: NdpMessage = { type: NDP_ROUTER_SOLICITATION };
const ADVERTISED = "fe80::2 > ff02::1: router advertisement for";
const IA = { iaid: 1, renewalSeconds: 0, rebindingSeconds: 0, addresses: [] };

Deno.test("a guest that asks whether its address is free has no answer, and is told of the router at once", () => {
  const script = new Script();
  assertEquals(script.neighbour(NOBODY, solicitedNode(ip(LINK_LOCAL)), solicit(LINK_LOCAL)), ["ndpIgnored"]);
  assertEquals(script.wait(0), [`${ADVERTISED} 1800 s`]);
});

Deno.test("a guest that would have an address of ours is told so", () => {
  const script = new Script({ maps: ["fd00::100=127.0.0.1", "10.0.2.9=::1"] });
  for (const target of ["fd00::2", "fd00::3", "fe80::2", "fd00::100"]) {
    const answer = `${target} > ff02::1: neighbor advertisement, tgt is ${target}`;
    assertEquals(script.neighbour(NOBODY, solicitedNode(ip(target)), solicit(target)), [null, answer]);
  }
});

Deno.test("who asks for the gateway's MAC address is answered", () => {
  const script = new Script();
  const answer = "fd00::2 > fd00::15: neighbor advertisement, tgt is fd00::2";
  assertEquals(script.neighbour("fd00::15", solicitedNode(ip("fd00::2")), solicit("fd00::2")), [null, answer]);
  assertEquals(script.neighbour("fd00::15", solicitedNode(ip("fd00::9")), solicit("fd00::9")), ["ndpIgnored"]);
});

Deno.test("a neighbour advertisement that was asked for is an answer, any other has no effect", () => {
  const script = new Script(), message: NdpMessage = { type: NDP_NEIGHBOUR_ADVERTISEMENT, target: ip("fd00::15") };
  assertEquals(script.neighbour("fd00::15", "fe80::2", message), ["ndpIgnored"]);
  script.answers.request(ip("fd00::15"));
  assertEquals(script.sent.splice(0), ["fe80::2 > ff02::1:ff00:15: neighbor solicitation, who has fd00::15"]);
  script.asked = "fd00::15";
  assertEquals(script.neighbour("fd00::15", "fe80::2", message), [null]);
});

Deno.test("without a router nothing is advertised, whoever asks and whatever changes, and neighbours are answered", () => {
  const script = new Script({}, ["router"]);
  assertEquals(script.neighbour(NOBODY, solicitedNode(ip(LINK_LOCAL)), solicit(LINK_LOCAL)), ["ndpIgnored"]);
  assertEquals(script.neighbour(LINK_LOCAL, "ff02::2", ROUTER_SOLICITATION), ["ndpIgnored"]);
  assertEquals([script.report(NOBODY), script.report(LINK_LOCAL)], [[], []]);
  script.setRoute(false);
  assertEquals(script.wait(1_000_000), []);
  const answer = "fd00::2 > fd00::15: neighbor advertisement, tgt is fd00::2";
  assertEquals(script.neighbour("fd00::15", solicitedNode(ip("fd00::2")), solicit("fd00::2")), [null, answer]);
  assertEquals(script.dhcp({ associations: [IA] }).length, 2);
  script.answers.dispose();
});

Deno.test("without DHCPv6 nobody is answered, and routers are advertised", () => {
  const script = new Script({}, ["dhcpv6", "dhcp"]);
  assertEquals(script.dhcp({ associations: [IA] }), ["dhcpIgnored"]);
  assertEquals(script.dhcp({}, { cut: 3 }), ["dhcpMalformed"]);
  assertEquals(script.leases, []);
  assertEquals(script.neighbour(LINK_LOCAL, "ff02::2", ROUTER_SOLICITATION), [null]);
  assertEquals(script.wait(0), [`${ADVERTISED} 1800 s`]);
});

Deno.test("who asks for a router is answered: first with everyone, then alone, without an address with everyone", () => {
  const script = new Script();
  assertEquals(script.neighbour(LINK_LOCAL, "ff02::2", ROUTER_SOLICITATION), [null]);
  assertEquals(script.wait(0), [`${ADVERTISED} 1800 s`]);
  const alone = `fe80::2 > ${LINK_LOCAL}: router advertisement for 1800 s`;
  assertEquals(script.neighbour(LINK_LOCAL, "ff02::2", ROUTER_SOLICITATION), [null, alone]);
  assertEquals(script.neighbour(NOBODY, "ff02::2", ROUTER_SOLICITATION), [null]);
  assertEquals(script.wait(2999), []);
  assertEquals(script.wait(1), [`${ADVERTISED} 1800 s`]);
});

Deno.test("a guest that reports a group is told of the router at once, and again each time that it has just come up", () => {
  for (const from of [NOBODY, LINK_LOCAL]) {
    const script = new Script();
    assertEquals(script.report(from), []);
    assertEquals(script.wait(0), [`${ADVERTISED} 1800 s`], from);
    script.wait(5000);
    script.report(from);
    assertEquals(script.wait(0), from === NOBODY ? [`${ADVERTISED} 1800 s`] : [], from);
  }
});

Deno.test("a route that goes and comes back is told within a second", () => {
  const script = new Script();
  script.setRoute(true);
  assertEquals(script.wait(10_000), [], "the guest does not speak IPv6");
  script.neighbour(LINK_LOCAL, "ff02::2", ROUTER_SOLICITATION);
  script.wait(0);
  for (const [hasRoute, lifetime] of [[false, 0], [true, 1800]] as const) {
    script.setRoute(hasRoute);
    assertEquals(script.wait(1000), [`${ADVERTISED} ${lifetime} s`]);
  }
});

Deno.test("nothing is said when the link has ended", () => {
  const script = new Script();
  script.neighbour(LINK_LOCAL, "ff02::2", ROUTER_SOLICITATION);
  script.answers.dispose();
  script.setRoute(false);
  assertEquals(script.wait(1_000_000), []);
  assertEquals([script.timers.size, script.listeners.size], [0, 0]);
});

Deno.test("DHCPv6 gives the address, from the router's port 547 to the client's 546, and says so", () => {
  const script = new Script();
  const head = `fe80::2.547 > ${LINK_LOCAL}.546: DHCPv6`;
  assertEquals(script.dhcp({ associations: [IA] }), [null, `${head} Advertise, IA_NA 1 fd00::15 86400 s`]);
  assertEquals(script.leases, []);
  const answer = `${head} Reply, rapid commit, IA_NA 1 fd00::15 86400 s`;
  assertEquals(script.dhcp({ associations: [IA], rapidCommit: true }), [null, answer]);
  assertEquals(script.leases, ["fd00::15 52:54:00:12:34:56"]);
  script.dhcp({ associations: [IA], rapidCommit: true });
  assertStrictEquals(script.leases.length, 2, "each time it is given");
});

Deno.test("DHCPv6 tells the DNS server, unless there is none", () => {
  const to = `fe80::2.547 > ${LINK_LOCAL}.546: DHCPv6 Reply`, dnsServers = ["127.0.0.1"];
  assertEquals(new Script().dhcp({ messageType: 11 }), [null, `${to}, `]);
  assertEquals(new Script({ dnsServers }).dhcp({ messageType: 11 }), [null, `${to}, DNS fd00::3`]);
});

Deno.test("DHCPv6 to a group of servers is answered, to another group not, to the gateway refused", () => {
  const script = new Script();
  assertStrictEquals(script.dhcp({}, { to: "ff05::1:3" })[0], null);
  for (const to of ["ff02::1", "ff02::2", "ff05::1:2", "ff02::1:3"]) {
    assertEquals(script.dhcp({}, { to }), ["dhcpIgnored"], to);
  }
  assertEquals(script.dhcp({}, { to: "fd00::2" }), ["dhcpIgnored"], "SOLICIT may not");
  const request = {
    messageType: 3,
    serverId: Uint8Array.of(0, 3, 0, 1, 0x52, 0x55, 0x0a, 0, 2, 2),
    associations: [IA],
  };
  assertEquals(script.dhcp(request, { from: "fd00::15", to: "fd00::2" }), [
    null,
    'fd00::2.547 > fd00::15.546: DHCPv6 Reply, status 5 "send to ff02::1:2"',
  ]);
  assertEquals(script.leases, []);
});

Deno.test("DHCPv6 that is cut off, a relay's, or for another server has no answer", () => {
  const script = new Script();
  for (let cut = 1; cut < 4; cut++) assertEquals(script.dhcp({}, { cut }), ["dhcpMalformed"]);
  assertEquals(script.dhcp({}, { cut: 18 }), ["dhcpMalformed"], "an empty datagram");
  assertEquals(script.dhcp({ messageType: 12 }), ["dhcpMalformed"]);
  assertEquals(script.dhcp({ messageType: 3, serverId: CLIENT }), ["dhcpIgnored"]);
  assertEquals([script.leases, script.timers.size], [[], 0]);
});

Deno.test("another subnet has another gateway, DNS server and lease", () => {
  const script = new Script({ subnet6: "2001:db8:0:7::/64" }), to = ALL_NODES;
  const [, answer] = script.dhcp({ associations: [IA], rapidCommit: true });
  assert(answer!.endsWith("IA_NA 1 2001:db8:0:7::15 86400 s"), answer!);
  assertStrictEquals(script.neighbour("2001:db8:0:7::15", to, solicit("2001:db8:0:7::2"))[0], null);
  assertEquals(script.neighbour("2001:db8:0:7::15", to, solicit("fd00::2")), ["ndpIgnored"]);
});
