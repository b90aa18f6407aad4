/**
 * What the gateway answers to one guest over IPv6 by itself: neighbour discovery (`neighbour_replies.ts`), router
 * solicitations (`router.ts`, `router_timer.ts`) and DHCPv6 (`dhcpv6.ts`). It also asks the guest's addresses for their
 * MAC address, and tells the guest when the host's default route comes or goes. Reports of groups are not answered, but
 * show that the guest speaks IPv6.
 *
 * Answers come from the router's link-local address to link-local ones, and to others from the gateway's.
 *
 * @module
 */
import { formatMac, IpAddress } from "../../net/wire/address.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import {
  checkDhcpv6,
  decodeDhcpv6,
  DHCPV6_CLIENT_PORT,
  DHCPV6_SERVER_PORT,
  dhcpv6LengthOf,
  encodeDhcpv6,
} from "../../net/wire/dhcpv6.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { icmpv6Type } from "../../net/wire/icmpv6.ts";
import { PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { encodeIpv6, IPV6_HEADER_LENGTH, ipv6Destination, ipv6Source } from "../../net/wire/ipv6.ts";
import { ALL_NODES, NDP_NEIGHBOUR_ADVERTISEMENT, NDP_ROUTER_SOLICITATION, ndpTarget } from "../../net/wire/ndp.ts";
import { encodeUdp, UDP_HEADER_LENGTH, udpSetChecksum } from "../../net/wire/udp.ts";
import type { TimerWheel } from "../base/timers.ts";
import type { Ipv6Routes } from "../host.ts";
import { isGroupAddress, LINK_LOCAL, ROUTER_LINK_LOCAL, type Segment } from "../rules/segment.ts";
import type { TranslationRules } from "../rules/translate.ts";
import type { DhcpExtras } from "./dhcp_options.ts";
import { dhcpv6Lease, Dhcpv6Server } from "./dhcpv6.ts";
import type { GuestService } from "./guest_services.ts";
import { neighbourReply, neighbourRequest, type NeighbourSegment } from "./neighbour_replies.ts";
import { routerAdvertisement, type RouterOptions, writeRouterAdvertisement } from "./router.ts";
import { RouterTimer } from "./router_timer.ts";

/** The groups of all DHCPv6 servers: on the link, and in the site (RFC 8415 section 7.1). */
const DHCP_GROUPS = ["ff02::1:2", "ff05::1:3"].map(IpAddress.parse);

/** What the answers need of the gateway. */
export interface Ipv6AnswersContext {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** The gateway's MAC address. */
  readonly mac: number;
  /** What DHCP tells beside addresses. */
  readonly dhcp: DhcpExtras;
  /** What there is not. Default nothing. */
  readonly without?: readonly GuestService[];
  /** The timers that it shares. */
  readonly timers: TimerWheel;
  /** A large buffer; used within one call. */
  readonly scratch: Uint8Array;
  /** Whether IPv6 leads anywhere beyond the gateway. */
  readonly ipv6Routes: Ipv6Routes;
  /** Monotonic milliseconds. */
  now(): number;
  /** An unpredictable unsigned 32-bit number. */
  random(): number;
}

/** What they need of the guest. */
export interface Ipv6AnswersGuest {
  /** Its network, that of the gateway's rules. */
  readonly segment: Segment;
  /** The link's MTU. */
  readonly mtu: number;
  /** Whether it has spoken from `address`. */
  has(address: IpAddress): boolean;
  /** Its MAC address, as its last frame has it. */
  guestMac(): number;
  /** Whether it was asked for `address` and has not answered yet; it has now. */
  isAnswer(address: IpAddress): boolean;
  /** Sends the packet `bytes[ip, end)` to an address of the guest or to a group that it is in. */
  send(bytes: Uint8Array, ip: number, end: number, destination: IpAddress): void;
  /** DHCPv6 has given it an address. */
  leaseGiven(address: string, mac: string): void;
}

/** A packet that was checked. */
export interface Ipv6Question {
  /** The buffer. */
  readonly bytes: Uint8Array;
  /** Offset of the IPv6 header. */
  readonly ip: number;
  /** Offset of the header of UDP or ICMPv6. */
  readonly transport: number;
  /** Offset after the last byte. */
  readonly end: number;
}

/** The answers on one guest's link. */
export class Ipv6Answers {
  readonly #context: Ipv6AnswersContext;
  readonly #guest: Ipv6AnswersGuest;
  readonly #neighbours: NeighbourSegment;
  readonly #router: RouterOptions;
  /** Null: nothing is advertised. */
  readonly #timer: RouterTimer | null;
  /** Null: nobody is answered. */
  readonly #dhcp: Dhcpv6Server | null;
  readonly #leaveRoutes: () => void;

  /** Silent until the guest speaks. */
  constructor(context: Ipv6AnswersContext, guest: Ipv6AnswersGuest) {
    const { rules, mac } = context, { segment, mtu } = guest, { gateway, subnet, hostAlias, relaysSubnet } = segment;
    const dns = rules.dnsServers === null ? null : segment.dns;
    const mapped = rules.maps.map((map) => map.guest).filter((address) => !address.isIpv4);
    this.#context = context;
    this.#guest = guest;
    const alias = hostAlias === null ? [] : [hostAlias];
    const taken = [gateway, segment.dns, ROUTER_LINK_LOCAL, ...alias, ...mapped];
    this.#neighbours = { mac, taken, relaysSubnet, own: { has: (address) => guest.has(address) } };
    this.#router = { mac, mtu, segment, dns, nat64: rules.nat64 };
    const { without = [] } = context;
    this.#timer = without.includes("router") ? null : new RouterTimer({
      timers: context.timers,
      now: () => context.now(),
      random: () => context.random(),
      advertise: (to) => this.#advertise(to),
    });
    this.#leaveRoutes = context.ipv6Routes.changed(() => this.#timer?.changed());
    const { domainSearch } = context.dhcp;
    this.#dhcp = without.includes("dhcpv6") ? null : new Dhcpv6Server({
      mac,
      subnet,
      guestAddress: segment.guest,
      dns,
      ...(domainSearch !== undefined && { domainSearch }),
    });
  }

  /**
   * Takes a router solicitation, a neighbour solicitation or a neighbour advertisement that has passed `checkNdp`,
   * `ndpFitsHeader` and its checksum. Returns why it has no effect, or null.
   */
  neighbourMessage({ bytes, ip, transport }: Ipv6Question): "ndpIgnored" | null {
    const type = icmpv6Type(bytes, transport);
    if (type === NDP_ROUTER_SOLICITATION) {
      const source = ipv6Source(bytes, ip);
      if (this.#timer === null) return "ndpIgnored";
      this.#timer.solicited(source.isUnspecified ? null : source);
      return null;
    }
    this.#timer?.begin();
    if (type === NDP_NEIGHBOUR_ADVERTISEMENT) {
      return this.#guest.isAnswer(ndpTarget(bytes, transport)) ? null : "ndpIgnored";
    }
    const into = this.#context.scratch, at = SEGMENT_HEADROOM;
    const reply = neighbourReply(this.#neighbours, bytes, { ip, icmp: transport }, into, at);
    if (reply === null) return "ndpIgnored";
    this.#guest.send(into, at, at + reply.length, reply.destination);
    return null;
  }

  /** Takes a message of multicast listener discovery that has passed its checks. */
  listenerMessage({ bytes, ip }: Ipv6Question): void {
    if (ipv6Source(bytes, ip).isUnspecified) this.#timer?.cameUp();
    else this.#timer?.begin();
  }

  /** Takes a datagram to port 547 that has passed its checks. Returns why it has no answer, or null. */
  dhcpMessage({ bytes, ip, transport, end }: Ipv6Question): "dhcpMalformed" | "dhcpIgnored" | null {
    const start = transport + UDP_HEADER_LENGTH;
    if (!checkDhcpv6(bytes, start, end)) return "dhcpMalformed";
    const { rules, scratch: into } = this.#context, { segment } = this.#guest, asked = ipv6Destination(bytes, ip);
    const isGroup = isGroupAddress(rules, asked);
    if (isGroup && !DHCP_GROUPS.some((group) => group.equals(asked))) return "dhcpIgnored";
    const destination = ipv6Source(bytes, ip), message = decodeDhcpv6(bytes, start, end);
    const answer = this.#dhcp?.answer(message, !isGroup) ?? null;
    if (answer === null) return "dhcpIgnored";
    const source = LINK_LOCAL.contains(destination) ? ROUTER_LINK_LOCAL : segment.gateway;
    const at = SEGMENT_HEADROOM, udp = at + IPV6_HEADER_LENGTH;
    const payloadLength = UDP_HEADER_LENGTH + dhcpv6LengthOf(answer);
    encodeDhcpv6(into, udp + UDP_HEADER_LENGTH, answer);
    encodeUdp(into, udp, DHCPV6_SERVER_PORT, DHCPV6_CLIENT_PORT, payloadLength);
    // Complete on every link: who has no address yet may read it from a packet socket.
    udpSetChecksum(into, udp, addressSum(source) + addressSum(destination));
    encodeIpv6(into, at, { payloadLength, nextHeader: PROTOCOL_UDP, source, destination });
    const lease = dhcpv6Lease(answer);
    if (lease !== null) this.#guest.leaseGiven(`${lease}`, formatMac(this.#guest.guestMac()));
    this.#guest.send(into, at, udp + payloadLength, destination);
    return null;
  }

  /** Asks the guest for the MAC address of `target`. */
  request(target: IpAddress): void {
    const { mac, scratch: into } = this.#context, at = SEGMENT_HEADROOM;
    const { length, destination } = neighbourRequest(mac, target, into, at);
    this.#guest.send(into, at, at + length, destination);
  }

  /** The link has ended. */
  dispose(): void {
    this.#timer?.dispose();
    this.#leaveRoutes();
  }

  #advertise(to: IpAddress | null): void {
    const { scratch: into, ipv6Routes } = this.#context, at = SEGMENT_HEADROOM;
    const message = routerAdvertisement(this.#router, ipv6Routes.has()), destination = to ?? ALL_NODES;
    const length = writeRouterAdvertisement(into, at, message, destination);
    this.#guest.send(into, at, at + length, destination);
  }
}
