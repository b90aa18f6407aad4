/**
 * Who a guest is: its MAC address and its IPv4 addresses.
 *
 * A link has one guest, and so nobody whom it could impersonate: what it says about itself is believed.
 *
 * - **MAC address.** The newest is right: frames to the guest go to where its last packet came from. A network card is
 *   replaced, a bonding driver or a user changes its address, a virtual machine starts anew; flows go on through all of
 *   that. Only packets that are taken, DHCP and ARP count, so that other stations behind the guest's bridge, which say
 *   something else, do not draw its traffic to themselves. A guest that only listens says nothing from its new address:
 *   whoever gets no answer from it for a second asks by ARP.
 * - **IPv4 addresses.** Every address of the subnet that is free is the guest's as soon as it speaks from it, several
 *   at once too (`ip/guest_addresses.ts`). Flows belong to the address that they began from, and go on beside those of
 *   a newer one.
 *
 * **Left out**: several stations behind one link, as behind a bridge in the guest. Each may use addresses of its own,
 * but frames to all of them go to the one that spoke last.
 *
 * **Not believed** is what would cut the guest off from the gateway: the gateway's MAC address or a group's
 * (`spoofedMac`), and an address that is not of the subnet, or that is taken there: by gateway, DNS, network, broadcast
 * or a map (`spoofedAddress`). Such a packet is dropped, which nobody would see who looks from inside the guest; so a
 * warning says which address it was and what to do, once in `WARN_AGAIN_MS` for each of the two.
 *
 * @module
 */
import { formatIpv4, formatMac, IpAddress, isGroupMac } from "../net/wire/address.ts";
import type { RateLimitedLog } from "./base/rate_limited_log.ts";
import type { FrameSender } from "./ip/frame_sender.ts";
import { GuestAddresses } from "./ip/guest_addresses.ts";
import { isGuestAddress } from "./rules/segment.ts";
import type { TranslationRules } from "./rules/translate.ts";

/** Time in milliseconds after which a guest is warned about again. */
export const WARN_AGAIN_MS = 60_000;

const UNKNOWN_MAC = -1;
const NO_ADDRESS = -1;

/** What the identity of a guest needs. */
export interface GuestIdentityParts {
  /** For messages: `Guest 1 on tap eth0`. */
  readonly name: string;
  /** Frames to the guest, whose MAC address this keeps. */
  readonly out: FrameSender;
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** Where warnings go. */
  readonly log: RateLimitedLog;
  /** Monotonic milliseconds. */
  now(): number;
  /** The guest has another MAC address than before. */
  macLearnt(): void;
  /**
   * The guest has spoken from `address`, which it did not do in its packet before; or `listen` was called in between.
   */
  heard(address: number): void;
}

/** The identity of one guest, learnt from its frames. */
export class GuestIdentity {
  /** The addresses that the guest has spoken from. */
  readonly addresses: GuestAddresses = new GuestAddresses();

  #parts: GuestIdentityParts;
  #out: FrameSender;
  /** The MAC address of the frame that is being taken, where it is not the guest's yet. */
  #newMac = UNKNOWN_MAC;
  /** The address that was spoken from last, which needs no look. */
  #latest = NO_ADDRESS;
  #macWarnedAt = -Infinity;
  #addressWarnedAt = -Infinity;

  /** Of a guest that has not spoken. */
  constructor(parts: GuestIdentityParts) {
    this.#parts = parts;
    this.#out = parts.out;
  }

  /** The address that the guest spoke from last; 0 until it has spoken. */
  get address(): number {
    return this.addresses.latest;
  }

  /**
   * A frame came from `mac`. Returns whether a station can have that; it is the guest's as soon as the frame is taken.
   */
  frameFrom(mac: number): boolean {
    if (mac === this.#out.destinationMac) {
      if (this.#newMac !== UNKNOWN_MAC) this.#newMac = UNKNOWN_MAC;
      return true;
    }
    if (isGroupMac(mac) || mac === this.#out.sourceMac) {
      this.#warnOfMac(mac);
      return false;
    }
    this.#newMac = mac;
    return true;
  }

  /** The packet in the frame is from `address`. Returns whether the guest may have that, which it then has. */
  speaksFrom(address: number): boolean {
    if (address === this.#latest && this.#newMac === UNKNOWN_MAC) return true;
    return this.#learn(address);
  }

  /** The next packet is told of, from whatever address it is. */
  listen(): void {
    this.#latest = NO_ADDRESS;
  }

  /** The packet in the frame has no address yet: a guest asks by DHCP for one, or by ARP whether one is free. */
  speaksWithoutAddress(): void {
    if (this.#newMac === UNKNOWN_MAC) return;
    this.#out.destinationMac = this.#newMac;
    this.#newMac = UNKNOWN_MAC;
    this.#parts.macLearnt();
  }

  #learn(address: number): boolean {
    const isKnown = address === this.#latest || this.addresses.has(address);
    if (!isKnown && !isGuestAddress(this.#parts.rules, IpAddress.fromIpv4(address))) {
      this.#warnOfAddress(address);
      return false;
    }
    this.speaksWithoutAddress();
    if (address === this.#latest) return true;
    this.addresses.use(address);
    this.#latest = address;
    this.#parts.heard(address);
    return true;
  }

  #warnOfMac(mac: number): void {
    const { name, log, now } = this.#parts, time = now();
    if (time - this.#macWarnedAt < WARN_AGAIN_MS) return;
    this.#macWarnedAt = time;
    const whose = isGroupMac(mac) ? "a group's" : "the gateway's";
    log.warn(() =>
      `${name} uses the MAC address ${formatMac(mac)}, which is ${whose}: give its network card another one`
    );
  }

  #warnOfAddress(address: number): void {
    const { name, log, rules, now } = this.#parts, time = now();
    // 0.0.0.0 is used by who has no address yet: nothing is wrong with the guest.
    if (address === 0 || time - this.#addressWarnedAt < WARN_AGAIN_MS) return;
    this.#addressWarnedAt = time;
    log.warn(() => `${name} uses ${formatIpv4(address)}, ${problemOf(rules, address)}`);
  }
}

/** Why no guest may have `address`, and what to do. */
function problemOf({ ipv4, maps }: TranslationRules, address: number): string {
  const { subnet, gateway, dns, guest } = ipv4!;
  const isTaken = (whose: string) => `which is ${whose}: give it another address of ${subnet}, e.g. ${guest}`;
  if (address === gateway.ipv4) return isTaken("the gateway's");
  if (address === dns.ipv4) return isTaken("the DNS server's");
  const map = maps.find((map) => map.guest.isIpv4 && map.guest.ipv4 === address);
  if (map !== undefined) return isTaken(`mapped to ${map.host}`);
  if (subnet.contains(IpAddress.fromIpv4(address))) return isTaken("nobody's");
  return `which is not of ${subnet}: give it an address of that network, e.g. ${guest}, or the gateway that of the guest (--subnet)`;
}
