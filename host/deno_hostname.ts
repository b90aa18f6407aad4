/**
 * Addresses as Deno takes them.
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";

/** The text of an address, with its zone if it has one, which the system's resolver understands. */
export function hostnameOf(address: IpAddress, zone: string | undefined): string {
  return zone === undefined ? `${address}` : `${address}%${zone}`;
}
