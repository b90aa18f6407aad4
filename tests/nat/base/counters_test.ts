import { assertEquals } from "@std/assert";
import { createCounters, type DropReason } from "../../../nat/base/counters.ts";
import { MAX_CONNECTING } from "../../../nat/flow/quota.ts";
import { Nat } from "../../../nat/nat.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { DHCP_BOOT_REQUEST, DHCP_RELEASE, encodeDhcpv4 } from "../../../net/wire/dhcpv4.ts";
import { PROTOCOL_ICMP, PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";
import { TCP_ACK, TCP_SYN } from "../../../net/wire/tcp.ts";
import { createTranslationRules } from "../../../nat/rules/translation_options.ts";
import { arpFrame, ask } from "../../support/frames.ts";
import { GUEST_MAC, NatScript } from "../../support/nat_script.ts";
import { ScriptHost } from "../../support/script_host.ts";

const GUEST = 0x0a00020f, GATEWAY = 0x0a000202, ELSEWHERE = 0xc0000201;
const LOOPBACK = { address: IpAddress.parse("127.0.0.1"), port: 4000 };

function arp(script: NatScript, targetIp: number): Uint8Array {
  return arpFrame({ operation: 1, senderIp: GUEST, targetIp }, { toMac: script.nat.mac });
}

/** A message that has no answer. */
function dhcpRelease(): Uint8Array {
  const bytes = new Uint8Array(600);
  const fields = { operation: DHCP_BOOT_REQUEST, transactionId: 1, clientMac: GUEST_MAC, messageType: DHCP_RELEASE };
  return bytes.subarray(0, encodeDhcpv4(bytes, 0, fields));
}

/** A mapping with a host socket. */
function mapping(script: NatScript) {
  script.frame(script.datagram("question", { port: LOOPBACK.port }));
  return script.host.udpSockets[0]!;
}

/** Drops that a frame which is merely malformed does not show; those are in `guest_test.ts`. Each happens twice. */
const DROPS: readonly [DropReason, (script: NatScript) => void][] = [
  ["arpIgnored", (script) => script.frame(arp(script, GUEST))],
  ["icmpMalformed", (script) => script.frame(script.ipv4(new Uint8Array(7), PROTOCOL_ICMP, GATEWAY))],
  ["icmpNotRelayed", (script) => {
    script.host.pingError = "prohibited";
    script.frame(ask("icmp", ELSEWHERE));
  }],
  ["udpMalformed", (script) => script.frame(script.ipv4(new Uint8Array(7), PROTOCOL_UDP, GATEWAY))],
  ["dhcpMalformed", (script) => script.frame(script.datagram("no dhcp", { port: 67, from: 68 }))],
  ["dhcpIgnored", (script) => script.frame(script.datagram(dhcpRelease(), { port: 67, from: 68 }))],
  ["udpNotSent", (script) => {
    const socket = mapping(script);
    socket.takes = false;
    script.frame(script.datagram("question", { port: LOOPBACK.port }));
    socket.takes = true;
  }],
  ["udpNotSent", (script) => {
    mapping(script).hostRefuses(LOOPBACK, "other");
    script.host.run();
  }],
  ["udpUnasked", (script) => {
    mapping(script).hostSends("unasked", { ...LOOPBACK, address: IpAddress.parse("127.0.0.2") });
    script.host.run();
  }],
  ["udpTooLarge", (script) => {
    mapping(script).hostSends(new Uint8Array(65508), LOOPBACK);
    script.host.run();
  }],
  ["tcpStray", (script) => script.send({ flags: TCP_ACK })],
  ["flowLimit", (script) => {
    for (let port = 1; script.nat.flowCount < 8; port++) script.send({ flags: TCP_SYN, ack: 0, port, seq: 1 });
    script.send({ flags: TCP_SYN, ack: 0, port: 5000, seq: 1 });
  }],
  ["hostExhausted", (script) => {
    script.send({ flags: TCP_SYN, ack: 0, seq: 1 });
    script.host.onlyConnect().refuse("exhausted");
    script.host.run();
  }],
  ["hostExhausted", (script) => {
    script.host.udpError = "exhausted";
    script.frame(script.datagram("question", { port: LOOPBACK.port }));
  }],
];

for (const [reason, play] of DROPS) {
  Deno.test(`Nat counts ${reason} as often as it happens, and nothing else`, () => {
    const script = new NatScript();
    for (const times of [1, 2]) {
      play(script);
      assertEquals({ ...script.nat.counters }, { ...createCounters(), [reason]: times });
    }
    script.nat.close();
    script.take();
    script.assertEmpty();
  });
}

Deno.test("Nat counts connectLimit once as many connects are under way as may be", () => {
  const host = new ScriptHost(), logger = { debug() {}, info() {}, warn() {}, error() {} };
  const nat = new Nat({ host, rules: createTranslationRules(), logger, random: () => 7, maxFlows: 5000 });
  host.start(() => nat.turn());
  const guest = nat.attach({ name: "script", mtu: 1500, offload: false, send: () => true, flush() {} });
  const script = new NatScript();
  for (let i = 0; i < MAX_CONNECTING + 3; i++) {
    guest.receive(script.pointAt(script.segment({ flags: TCP_SYN, ack: 0, port: 1024 + i })));
  }
  assertEquals({ ...nat.counters }, { ...createCounters(), connectLimit: 3 });
  nat.close();
  assertEquals([nat.flowCount, nat.endings.gatewayClosed], [0, MAX_CONNECTING]);
});

Deno.test("Nat counts linkFull for each frame that the link does not take", () => {
  const host = new ScriptHost(), logger = { debug() {}, info() {}, warn() {}, error() {} };
  const nat = new Nat({ host, rules: createTranslationRules(), logger, random: () => 7, maxFlows: 8 });
  host.start(() => nat.turn());
  const guest = nat.attach({ name: "full", mtu: 1500, offload: false, send: () => false, flush() {} });
  const script = new NatScript();
  guest.receive(script.pointAt(ask("icmp", GATEWAY)));
  guest.receive(script.pointAt(arp(script, GATEWAY)));
  assertEquals({ ...nat.counters }, { ...createCounters(), linkFull: 2 });
});
