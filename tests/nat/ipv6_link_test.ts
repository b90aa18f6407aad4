import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { GatewayEvent } from "../../nat/flow/events.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import { decodeDhcpv6, type Dhcpv6Fields, encodeDhcpv6, formatDhcpv6 } from "../../net/wire/dhcpv6.ts";
import { ipv6MulticastMac } from "../../net/wire/ethernet.ts";
import { PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import {
  decodeNdp,
  encodeNdp,
  formatNdp,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_SOLICITATION,
  NDP_ROUTER_SOLICITATION,
  type NdpMessage,
  solicitedNode,
} from "../../net/wire/ndp.ts";
import { GUEST_MAC, packetFrame, udpFrame } from "../support/frames.ts";
import { PacketScript6 } from "../support/packet_script6.ts";

const LINK_LOCAL = "fe80::5054:ff:fe12:3456";
const ALL_NODES_MAC = 0x333300000001;

/** A neighbour discovery message in a frame, to the MAC address that its destination has. */
function neighbour(source: string, destination: string, message: NdpMessage): Uint8Array {
  const to = IpAddress.parse(destination), payload = new Uint8Array(200);
  const length = encodeNdp(payload, 0, message, addressSum(IpAddress.parse(source)) + addressSum(to));
  const isGroup = to.w0 >>> 24 === 0xff, toMac = isGroup ? { toMac: ipv6MulticastMac(to.w3) } : {};
  return packetFrame(PROTOCOL_ICMPV6, payload.slice(0, length), { source, destination, ttl: 255, ...toMac });
}

function solicitation(source: string, target: string): Uint8Array {
  const address = IpAddress.parse(target);
  return neighbour(source, `${solicitedNode(address)}`, { type: NDP_NEIGHBOUR_SOLICITATION, target: address });
}

/** What the gateway sent of neighbour discovery since the last look: `destination, MAC address, message`. */
function heard(script: PacketScript6): string[] {
  return script.take().map(({ header, payload, mac }) => {
    const message = decodeNdp(payload, 0, payload.length);
    const lifetime = "lifetime" in message ? ` for ${message.lifetime} s` : "";
    return `${header.destination}, ${mac.toString(16)}, ${
      formatNdp(message).replace(/ICMP6, |, length.*/g, "")
    }${lifetime}`;
  });
}

const ADVERTISED = `ff02::1, ${ALL_NODES_MAC.toString(16)}, router advertisement for`;

/** A host whose route comes and goes. */
class Routes {
  now = true;
  readonly listeners = new Set<() => void>();

  has(): boolean {
    return this.now;
  }

  changed(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  set(now: boolean): void {
    this.now = now;
    for (const listener of this.listeners) listener();
  }
}

Deno.test("a guest that comes up finds its address free and the router there, in the same turn", () => {
  const script = new PacketScript6();
  script.frame(solicitation("::", LINK_LOCAL));
  assertEquals(heard(script), [`${ADVERTISED} 0 s`]);
  assertEquals(script.counted, { ndpIgnored: 1 });
  assertEquals([script.guest.mac, script.guest.address(6)], [GUEST_MAC, null], "asking is not having");
  script.frame(neighbour(LINK_LOCAL, "ff02::2", { type: NDP_ROUTER_SOLICITATION }));
  assertEquals(heard(script), [`${LINK_LOCAL}, ${GUEST_MAC.toString(16)}, router advertisement for 0 s`]);
  assertEquals([`${script.guest.address(6)}`, script.counted], [LINK_LOCAL, { ndpIgnored: 1 }]);
  script.assertEmptyAfterClose();
});

Deno.test("a guest that would be the gateway is told not to be, and is not believed", () => {
  const script = new PacketScript6();
  script.frame(solicitation("::", "fd00::2"));
  assertEquals(heard(script), [
    `ff02::1, ${ALL_NODES_MAC.toString(16)}, neighbor advertisement, tgt is fd00::2`,
    `${ADVERTISED} 0 s`,
  ]);
  script.frame(solicitation("fd00::2", "fd00::3"));
  assertEquals([heard(script), script.counted], [[], { spoofedAddress: 1 }]);
});

Deno.test("unreachability detection of a guest is answered, and its own answers to ours are no noise", () => {
  const script = new PacketScript6(), target = IpAddress.parse("fd00::15");
  script.frame(
    neighbour("fd00::15", "fd00::2", { type: NDP_NEIGHBOUR_SOLICITATION, target: IpAddress.parse("fd00::2") }),
  );
  assertEquals(heard(script)[0], `fd00::15, ${GUEST_MAC.toString(16)}, neighbor advertisement, tgt is fd00::2`);
  script.guest.ask(target);
  assertEquals(heard(script), ["ff02::1:ff00:15, 3333ff000015, neighbor solicitation, who has fd00::15"]);
  const answer = neighbour("fd00::15", "fe80::2", { type: NDP_NEIGHBOUR_ADVERTISEMENT, target, solicited: true });
  script.frame(answer);
  assertEquals(script.counted, {});
  script.frame(answer);
  assertEquals(script.counted, { ndpIgnored: 1 });
});

Deno.test("the router follows the host's route, and speaks to nobody who has left or does not know IPv6", () => {
  const routes = new Routes(), script = new PacketScript6({ routes });
  routes.set(false);
  script.host.advance(1_000_000);
  assertEquals(heard(script), []);
  script.frame(neighbour(LINK_LOCAL, "ff02::2", { type: NDP_ROUTER_SOLICITATION }));
  assertEquals(heard(script), [`${ADVERTISED} 0 s`]);
  routes.set(true);
  script.frame();
  script.host.advance(1000);
  assertEquals(heard(script), [`${ADVERTISED} 1800 s`]);
  script.host.advance(16_000);
  assertEquals(heard(script), [`${ADVERTISED} 1800 s`], "unasked");
  script.nat.detach(script.guest);
  assertStrictEquals(routes.listeners.size, 0);
  routes.set(false);
  script.frame();
  script.host.advance(1_000_000);
  assertEquals(heard(script), []);
  script.assertEmptyAfterClose();
});

Deno.test("with IPv4 alone there is no router, whatever the guest says", () => {
  const script = new PacketScript6({ rules: { families: "ipv4" } });
  script.frame(solicitation("::", LINK_LOCAL), neighbour(LINK_LOCAL, "ff02::2", { type: NDP_ROUTER_SOLICITATION }));
  script.host.advance(1_000_000);
  assertEquals([heard(script), script.counted], [[], { ipv6Disabled: 2 }]);
});

/** A DHCPv6 message in a frame. */
function dhcp(fields: Partial<Dhcpv6Fields>, destination = "ff02::1:2"): Uint8Array {
  const message = { messageType: 1, transactionId: 7, clientId: Uint8Array.of(0, 3, 0, 1), ...fields };
  const payload = new Uint8Array(500), length = encodeDhcpv6(payload, 0, message), group = IpAddress.parse(destination);
  const toMac = group.w0 >>> 24 === 0xff ? { toMac: ipv6MulticastMac(group.w3) } : {};
  const ends = { source: LINK_LOCAL, destination, ...toMac };
  return udpFrame({ source: 546, destination: 547 }, payload.slice(0, length), ends);
}

Deno.test("a lease of DHCPv6 is an event, what is malformed or not answered one counter each", () => {
  const script = new PacketScript6(), events: GatewayEvent[] = [];
  script.nat.events.listen((_, make) => void events.push(make()));
  const associations = [{ iaid: 1, renewalSeconds: 0, rebindingSeconds: 0, addresses: [] }];
  script.frame(dhcp({ associations, rapidCommit: true }));
  const [answer] = script.take();
  assertEquals([`${answer!.header.source}`, `${answer!.header.destination}`], ["fe80::2", LINK_LOCAL]);
  const text = formatDhcpv6(decodeDhcpv6(answer!.payload, 8));
  assert(text.endsWith("rapid commit, IA_NA 1 fd00::15 86400 s"), text);
  const lease = { guestNumber: 1, address: "fd00::15", mac: "52:54:00:12:34:56" };
  assertEquals(events, [{ type: "leaseGiven", ...lease }]);
  script.frame(dhcp({ associations }), dhcp({ messageType: 99 }), dhcp({ associations }, "ff02::1"));
  assertEquals([script.take().length, script.counted], [1, { dhcpIgnored: 2 }]);
  script.frame(dhcp({ messageType: 12 }));
  assertEquals([script.take(), script.counted], [[], { dhcpIgnored: 2, dhcpMalformed: 1 }]);
  assertEquals(events.length, 1);
  script.assertEmptyAfterClose();
});
