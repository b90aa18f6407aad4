/**
 * What the gateway answers to one guest by itself: ARP, DHCP, ICMP echo.
 *
 * @module
 */
import { checkBootp, checkDhcpv4, decodeBootp, decodeDhcpv4, DHCP_OFFER, encodeDhcpv4 } from "../../net/wire/dhcpv4.ts";
import type { DropReason } from "../base/counters.ts";
import { Cidr } from "../../net/wire/address.ts";
import { DEFAULT_SUBNET, ipv4Mask, segmentIn } from "../rules/segment.ts";
import { answeredAddresses, type TranslationRules } from "../rules/translate.ts";
import { type AddressSet, arpReply, arpRequest, type ArpSegment } from "./arp_replies.ts";
import { type DhcpDestination, DhcpServer } from "./dhcp.ts";
import type { DhcpExtras } from "./dhcp_options.ts";
import { echoReply } from "./echo.ts";
import type { GuestService } from "./guest_services.ts";

/** A DHCP answer that was written: how long it is and where it goes. */
export interface DhcpAnswer {
  /** Bytes written. */
  readonly length: number;
  /** Where it goes. */
  readonly destination: DhcpDestination;
  /** The address that the guest has by it, as a 32-bit number; 0: none. */
  readonly lease: number;
}

/** The services of one guest's segment. */
export class Services {
  #segment: ArpSegment;
  /** The addresses at which echo is answered. */
  #answered: AddressSet;
  /** Null: nobody is answered. */
  #dhcp: DhcpServer | null;

  /**
   * For a guest under `rules`, on a link of `mtu`; the gateway's MAC address is `mac`, `extras` is what else DHCP
   * tells, and `without` what there is not.
   */
  constructor(
    rules: TranslationRules,
    link: { mac: number; mtu: number; extras?: DhcpExtras; without?: readonly GuestService[] },
  ) {
    // Without IPv4 no frame of it comes here.
    const segment = rules.ipv4 ?? segmentIn(Cidr.parse(DEFAULT_SUBNET)), { subnet, relaysSubnet } = segment;
    const mask = ipv4Mask(subnet.prefix), gateway = segment.gateway.ipv4, dns = segment.dns.ipv4;
    const taken = new Set([gateway, dns]);
    if (segment.hostAlias !== null) taken.add(segment.hostAlias.ipv4);
    for (const map of rules.maps) if (map.guest.isIpv4) taken.add(map.guest.ipv4);
    this.#answered = new Set(answeredAddresses(rules, segment).map((address) => address.ipv4));
    this.#segment = { mac: link.mac, network: subnet.address.ipv4, mask, gateway, taken, relaysSubnet };
    this.#dhcp = link.without?.includes("dhcp") ? null : new DhcpServer({
      serverAddress: gateway,
      guestAddress: segment.guest.ipv4,
      mask,
      router: gateway,
      dns: rules.dnsServers === null ? null : dns,
      mtu: link.mtu,
      ...(link.extras && { extras: link.extras }),
    });
  }

  /** Writes the request for the MAC address of `target` to `into[at]`; returns its length. */
  arpRequest(target: number, into: Uint8Array, at: number): number {
    return arpRequest(this.#segment, target, into, at);
  }

  /**
   * Writes the answer to the ARP message at `bytes[arp]` to `into[at]`; returns its length, 0 if there is none. `own`
   * has the guest's addresses.
   */
  arp(own: AddressSet, bytes: Uint8Array, arp: number, into: Uint8Array, at: number): number {
    return arpReply(this.#segment, own, bytes, arp, into, at);
  }

  /**
   * Writes the answer to the ICMP message `bytes[icmp, end)` for `destination` to `into[at]`; returns its length, 0
   * where there is none.
   */
  echo(destination: number, bytes: Uint8Array, icmp: number, end: number, into: Uint8Array, at: number): number {
    if (!this.#answered.has(destination)) return 0;
    return echoReply(bytes, icmp, end, into, at);
  }

  /**
   * Writes the answer to the DHCP message `bytes[start, end)` from `senderMac` to `into[at]`; returns why there is none
   * otherwise.
   */
  dhcp(
    bytes: Uint8Array,
    start: number,
    end: number,
    reply: { senderMac: number; into: Uint8Array; at: number },
  ): DhcpAnswer | DropReason {
    let message;
    if (checkDhcpv4(bytes, start, end)) message = decodeDhcpv4(bytes, start, end);
    else if (checkBootp(bytes, start, end)) message = decodeBootp(bytes, start, end);
    else return "dhcpMalformed";
    const answer = this.#dhcp?.answer(message, reply.senderMac) ?? null;
    if (answer === null) return "dhcpIgnored";
    const { message: fields, destination } = answer;
    const lease = fields.messageType === DHCP_OFFER ? 0 : fields.yourAddress ?? 0;
    return { length: encodeDhcpv4(reply.into, reply.at, fields), destination, lease };
  }
}
