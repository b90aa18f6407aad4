/**
 * The lower half of an in-process guest: Ethernet, and IP of either family, of one station on a link that has one
 * other, the gateway.
 *
 * Every packet goes to the gateway, which is asked for with the first one by ARP or a neighbour solicitation, and again
 * each second while something is to be sent; any frame that it sends will do as an answer, of whichever family.
 * Questions about the guest's own addresses are answered. What differs between the families stands behind
 * `StationFamily`: `ipv4_family.ts`, `ipv6_family.ts`.
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";
import {
  checkEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetSource,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from "../net/wire/ethernet.ts";
import type { Frame } from "../net/wire/frame.ts";
import type { Link } from "../net/link/link.ts";
import { FrameSender } from "../nat/ip/frame_sender.ts";
import { NeighbourResolver } from "../nat/ip/neighbour_resolver.ts";
import { familyOf } from "../nat/rules/policy.ts";
import type { TimerWheel } from "../nat/base/timers.ts";
import type { FamilyUser, StationFamily } from "./family.ts";
import { Ipv4Family } from "./ipv4_family.ts";
import { Ipv6Family } from "./ipv6_family.ts";

/** A station's address and its gateway's, of one family. */
export interface StationAddresses {
  /** Its own. */
  readonly address: IpAddress;
  /** The gateway's. */
  readonly gateway: IpAddress;
}

/** Who a station is, and what it needs. */
export interface StationParts {
  /** Its addresses of IPv4; null: it has none. */
  readonly ipv4: StationAddresses | null;
  /** Its addresses of IPv6; null: it has none. */
  readonly ipv6: StationAddresses | null;
  /** Its MAC address as a number. */
  readonly mac: number;
  /** The guest's timers. */
  readonly timers: TimerWheel;
  /** A buffer that is used within one call. */
  readonly scratch: Uint8Array;
  /** Takes what comes. */
  readonly user: FamilyUser;
  /** Monotonic milliseconds. */
  now(): number;
}

/** One station on a link. */
export class Station {
  #out: FrameSender;
  #ipv4: Ipv4Family | null = null;
  #ipv6: Ipv6Family | null = null;
  #resolver: NeighbourResolver;

  /** A station that has sent nothing yet. */
  constructor(link: Link, parts: StationParts) {
    const { mac, timers, scratch, user, ipv4, ipv6 } = parts, foundGateway = (mac: number) => this.#foundGateway(mac);
    this.#out = new FrameSender(link, {
      sourceMac: mac,
      sent: () => {},
      unresolved: (frame, destination) => this.#resolver.hold(frame, this.familyFor(destination).gateway),
    });
    const shared = { scratch, user, foundGateway };
    if (ipv4 !== null) this.#ipv4 = new Ipv4Family(this.#out, ipv4.address, { ...shared, gateway: ipv4.gateway });
    if (ipv6 !== null) this.#ipv6 = new Ipv6Family(this.#out, ipv6.address, { ...shared, gateway: ipv6.gateway });
    this.#resolver = new NeighbourResolver({
      timers,
      dropped: () => {},
      now: () => parts.now(),
      request: (address) => this.familyFor(address).request(address),
      send: (frame) => this.#out.resume(frame),
    });
  }

  /** The family that reaches `remote`. Throws `NetworkUnreachable` if the station has no address of it. */
  familyFor(remote: IpAddress): StationFamily {
    const number = familyOf(remote), family = number === 4 ? this.#ipv4 : this.#ipv6;
    if (family !== null) return family;
    throw new Deno.errors.NetworkUnreachable(`Cannot reach ${remote}: the guest has no IPv${number} address`);
  }

  /** Takes a frame of the link. */
  receive(frame: Frame): void {
    const { bytes, start } = frame, payload = start + ETHERNET_HEADER_LENGTH;
    if (!checkEthernet(bytes, start, frame.end)) return;
    // Whoever sends frames on this link is the gateway.
    if (this.#out.destinationMac < 0) this.#foundGateway(ethernetSource(bytes, start));
    switch (ethernetType(bytes, start)) {
      case ETHERTYPE_ARP:
        return this.#ipv4?.receiveArp(frame, payload);
      case ETHERTYPE_IPV4:
        return this.#ipv4?.receive(frame, payload);
      case ETHERTYPE_IPV6:
        return this.#ipv6?.receive(frame, payload);
    }
  }

  /** The link has ended: nobody is asked any more. */
  dispose(): void {
    this.#resolver.dispose();
  }

  #foundGateway(mac: number): void {
    this.#out.destinationMac = mac;
    this.#resolver.release();
  }
}
