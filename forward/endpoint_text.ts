/**
 * Addresses with ports as people write them.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";

/**
 * Reads `ADDR`, `ADDR:PORT`, `[ADDR]` or `[ADDR]:PORT`; an IPv6 address with a port needs its brackets. Throws a
 * `TypeError` for what is no address, a `RangeError` for a port that is not from 1 to 65535.
 */
export function parseEndpoint(text: string, defaultPort: number): { address: IpAddress; port: number } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  const single = /^([^:]*):([^:]*)$/.exec(text);
  const [address, port] = bracketed
    ? [bracketed[1]!, bracketed[2]]
    : single
    ? [single[1]!, single[2]]
    : [text, undefined];
  if (port === undefined) return { address: IpAddress.parse(address), port: defaultPort };
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    throw new RangeError(`Cannot use port "${port}" of "${text}": it must be from 1 to 65535`);
  }
  return { address: IpAddress.parse(address), port: Number(port) };
}
