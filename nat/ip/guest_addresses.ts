/**
 * The addresses of one guest, of one family: those that it has spoken from, the one used last in front.
 *
 * A guest may use several addresses at once: a second one beside DHCP's, those of containers or virtual machines behind
 * it. Each is learnt when the guest first speaks from it and forgotten when `MAX_GUEST_ADDRESSES` others were used
 * after it. What is forgotten is learnt again by the next packet from it, so that the bound costs a guest nothing but
 * the answer to who was here first.
 *
 * @module
 */

/** Addresses that are remembered of a guest. */
export const MAX_GUEST_ADDRESSES = 32;

/** A bounded set of IPv4 addresses, 32-bit numbers, in the order of their last use. */
export class GuestAddresses {
  readonly #known = new Uint32Array(MAX_GUEST_ADDRESSES);
  #size = 0;

  /** Count of addresses. */
  get size(): number {
    return this.#size;
  }

  /** The address that was used last; 0: none yet. */
  get latest(): number {
    return this.#size === 0 ? 0 : this.#known[0]!;
  }

  /** Whether the guest has spoken from `address`. */
  has(address: number): boolean {
    return this.#find(address) >= 0;
  }

  /** The guest speaks from `address`. Returns whether that is new. */
  use(address: number): boolean {
    const known = this.#known, found = this.#find(address);
    // The stalest makes room.
    const last = found >= 0 ? found : Math.min(this.#size++, MAX_GUEST_ADDRESSES - 1);
    if (this.#size > MAX_GUEST_ADDRESSES) this.#size = MAX_GUEST_ADDRESSES;
    known.copyWithin(1, 0, last);
    known[0] = address;
    return found < 0;
  }

  #find(address: number): number {
    for (let i = 0; i < this.#size; i++) if (this.#known[i] === address) return i;
    return -1;
  }
}
