/**
 * What waits for guests on one address: the options and the bounds that every kind of listener has.
 *
 * @module
 */
import type { Link } from "./link.ts";

/** Guests that one listener serves at once. */
export const MOST_GUESTS = 256;

/** What every listener is told. */
export interface ListenerOptions {
  /** Largest IP packet of the links in bytes; 1500 unless given. */
  readonly mtu?: number;
  /**
   * Whether guests leave checksums and segmentation to this end, without a virtio-net header that says so, as those of
   * libkrun do: whole frames of up to 64 KiB go both ways, and no checksum of theirs is looked at. Default false; for
   * datagrams the default is that a guest which greets as vfkit does shows it by what it sends.
   */
  readonly offload?: boolean;
  /** Takes each new link, which has not been started; `gateway.attach` does. */
  readonly attach: (link: Link) => unknown;
  /**
   * Told in a sentence why a guest was turned away, as often as that happens; `isExhausted`: for want of descriptors or
   * memory. `gateway.refused` counts and logs it.
   */
  readonly refused?: (message: string, isExhausted: boolean) => void;
}

/** Waits for guests and makes a link for each. Its end does not end the links. */
export interface LinkListener extends AsyncDisposable {
  /** Where it listens, with the real port: `unix:/run/vm.sock`, `tcp:127.0.0.1:40123`. */
  readonly address: string;
}

/** Counts guests, and says in a sentence that there is no room for another one. */
export class GuestCount {
  readonly #options: ListenerOptions;
  readonly #address: string;
  #count = 0;
  /** Called once for each guest that has gone. */
  readonly gone = (): void => void this.#count--;

  /** Counts the guests of a listener at `address`. */
  constructor(address: string, options: ListenerOptions) {
    this.#address = address;
    this.#options = options;
  }

  /** Whether one more guest is served; it is counted then, until `gone` is called for it. */
  take(): boolean {
    if (this.#count < MOST_GUESTS) {
      this.#count++;
      return true;
    }
    this.#options.refused?.(
      `Refused a guest on ${this.#address}: ${MOST_GUESTS} guests are the limit of a listener`,
      false,
    );
    return false;
  }
}
