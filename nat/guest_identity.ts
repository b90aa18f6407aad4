/**
 * Who a guest is: its MAC address and its addresses of both families.
 *
 * A link has one guest, and so nobody whom it could impersonate: what it says about itself is believed.
 *
 * - **MAC address.** The newest is right: frames to the guest go to where its last packet came from. A network card is
 *   replaced, a bonding driver or a user changes its address, a virtual machine starts anew; flows go on through all of
 *   that. Only packets that are taken, DHCP and ARP count, so that other stations behind the guest's bridge, which say
 *   something else, do not draw its traffic to themselves. A guest that only listens says nothing from its new address:
 *   whoever gets no answer from it for a second asks by ARP.
 * - **Addresses.** Every address of the subnet that is free is the guest's as soon as it speaks from it, several at
 *   once too (`ip/guest_addresses.ts`). Flows belong to the address that they began from, and go on beside those of a
 *   newer one.
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
import { formatMac, type IpAddress, isGroupMac } from "../net/wire/address.ts";
import type { RateLimitedLog } from "./base/rate_limited_log.ts";
import type { FlowKey } from "./flow/flow_key.ts";
import type { FrameSender } from "./ip/frame_sender.ts";
import { GuestAddresses } from "./ip/guest_addresses.ts";
import { familyOf, type IpFamily } from "./rules/policy.ts";
import { isGuestAddress, segmentOf } from "./rules/segment.ts";
import type { TranslationRules } from "./rules/translate.ts";

/** Time in milliseconds after which a guest is warned about again. */
export const WARN_AGAIN_MS = 60_000;

const UNKNOWN_MAC = -1;

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
   * The guest has spoken from `address`, which it did not do in its packet of that family before; or `listen` was
   * called in between.
   */
  heard(address: IpAddress): void;
}

/** The identity of one guest, learnt from its frames. */
export class GuestIdentity {
  readonly #ipv4 = new GuestAddresses();
  readonly #ipv6 = new GuestAddresses();
  #parts: GuestIdentityParts;
  #out: FrameSender;
  /** The MAC address of the frame that is being taken, where it is not the guest's yet. */
  #newMac = UNKNOWN_MAC;
  /** The address of each family that was spoken from last, which needs no look. */
  #latestIpv4: IpAddress | null = null;
  #latestIpv6: IpAddress | null = null;
  #macWarnedAt = -Infinity;
  #addressWarnedAt = -Infinity;

  /** Of a guest that has not spoken. */
  constructor(parts: GuestIdentityParts) {
    this.#parts = parts;
    this.#out = parts.out;
  }

  /** The addresses of a family that the guest has spoken from. */
  addresses(family: IpFamily): GuestAddresses {
    return family === 6 ? this.#ipv6 : this.#ipv4;
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

  /** The packet in the frame has this key. Returns whether the guest may have its source address, which it then has. */
  speaksFrom(key: FlowKey): boolean {
    const latest = key.family === 6 ? this.#latestIpv6 : this.#latestIpv4;
    if (latest !== null && this.#newMac === UNKNOWN_MAC && key.isFrom(latest)) return true;
    return this.#learn(key);
  }

  /** The next packet is told of, from whatever address it is. */
  listen(): void {
    this.#latestIpv4 = null;
    this.#latestIpv6 = null;
  }

  /** The packet in the frame has no address yet: a guest asks by DHCP for one, or by ARP whether one is free. */
  speaksWithoutAddress(): void {
    if (this.#newMac === UNKNOWN_MAC) return;
    this.#out.destinationMac = this.#newMac;
    this.#newMac = UNKNOWN_MAC;
    this.#parts.macLearnt();
  }

  #learn(key: FlowKey): boolean {
    const { family } = key, addresses = this.addresses(family), known = addresses.find(key);
    const address = known ?? key.guestAddress;
    if (known === null && !isGuestAddress(this.#parts.rules, address)) {
      this.#warnOfAddress(address);
      return false;
    }
    this.speaksWithoutAddress();
    if (address === (family === 6 ? this.#latestIpv6 : this.#latestIpv4)) return true;
    addresses.use(address);
    if (family === 6) this.#latestIpv6 = address;
    else this.#latestIpv4 = address;
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

  #warnOfAddress(address: IpAddress): void {
    const { name, log, rules, now } = this.#parts, time = now();
    // The unspecified address is used by who has no address yet: nothing is wrong with the guest.
    if (address.w3 === 0 || time - this.#addressWarnedAt < WARN_AGAIN_MS) return;
    this.#addressWarnedAt = time;
    log.warn(() => `${name} uses ${address}, ${problemOf(rules, address)}`);
  }
}

/** Why no guest may have `address`, and what to do. */
function problemOf(rules: TranslationRules, address: IpAddress): string {
  const segment = segmentOf(rules, familyOf(address));
  if (segment === null) return "of a family that is switched off here";
  const { family, subnet, gateway, dns, hostAlias, guest } = segment, option = family === 6 ? "--subnet6" : "--subnet";
  const isTaken = (whose: string) => `which is ${whose}: give it another address of ${subnet}, e.g. ${guest}`;
  if (address.equals(gateway)) return isTaken("the gateway's");
  if (address.equals(dns)) return isTaken("the DNS server's");
  if (hostAlias?.equals(address)) return isTaken("the host's");
  const map = rules.maps.find((map) => map.guest.equals(address));
  if (map !== undefined) return isTaken(`mapped to ${map.host}`);
  if (subnet.contains(address)) return isTaken("nobody's");
  return `which is not of ${subnet}: give it an address of that network, e.g. ${guest}, or the gateway that of the guest (${option})`;
}
