/**
 * The addresses of one guest, of one family: those that it has spoken from, the one used last in front.
 *
 * A guest may use several addresses at once: a second one beside DHCP's, those of containers or virtual machines behind
 * it, and over IPv6 a temporary and a stable one as a matter of course (RFC 8981). Each is learnt when the guest first
 * speaks from it and forgotten when `MAX_GUEST_ADDRESSES` others were used after it. What is forgotten is learnt again
 * by the next packet from it, so that the bound costs a guest nothing but the answer to who was here first.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import { LINK_LOCAL } from "../rules/segment.ts";

/** Addresses that are remembered of a guest, for each family. */
export const MAX_GUEST_ADDRESSES = 32;

/** A bounded set of addresses in the order of their last use. */
export class GuestAddresses {
  #known: IpAddress[] = [];

  /** Count of addresses. */
  get size(): number {
    return this.#known.length;
  }

  /** The address that was used last. */
  get latest(): IpAddress | null {
    return this.#known[0] ?? null;
  }

  /** The address that was used last, one of a subnet before one that is valid on the link alone. */
  get widest(): IpAddress | null {
    return this.#known.find((address) => !LINK_LOCAL.contains(address)) ?? this.latest;
  }

  /** Whether the guest has spoken from `address`. */
  has(address: IpAddress): boolean {
    return this.#known.some((known) => known.equals(address));
  }

  /** The address from which packets with this key come, if the guest has spoken from it; else null. */
  find(key: FlowKey): IpAddress | null {
    const known = this.#known;
    for (let i = 0; i < known.length; i++) if (key.isFrom(known[i]!)) return known[i]!;
    return null;
  }

  /** The guest speaks from `address`. */
  use(address: IpAddress): void {
    const known = this.#known, found = known.findIndex((other) => other.equals(address));
    // The stalest makes room.
    const last = found >= 0 ? found : Math.min(known.length, MAX_GUEST_ADDRESSES - 1);
    if (last === known.length) known.push(address);
    known.copyWithin(1, 0, last);
    known[0] = address;
  }
}
