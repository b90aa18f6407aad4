/**
 * Ports of an in-process guest.
 *
 * @module
 */

/** The first dynamic port (RFC 6335 section 6). */
const FIRST = 49152;
const COUNT = 65536 - FIRST;

/** `port`, which is from `least` to 65535. Throws a `RangeError`. */
export function checkPort(port: number, least: 0 | 1): number {
  if (Number.isInteger(port) && port >= least && port <= 65535) return port;
  throw new RangeError(`Cannot use port ${port}: it is not from ${least} to 65535`);
}

/** The dynamic ports of one guest, in their order. */
export class DynamicPorts {
  #next = 0;

  /** A port that is not taken, another one each time while there are others. Throws `AddrNotAvailable`. */
  take(isTaken: (port: number) => boolean): number {
    for (let tried = 0; tried < COUNT; tried++) {
      const port = FIRST + this.#next;
      this.#next = (this.#next + 1) % COUNT;
      if (!isTaken(port)) return port;
    }
    throw new Deno.errors.AddrNotAvailable("Cannot take a port: every dynamic one is in use");
  }
}
