/**
 * Addresses in records.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";

/** The address of `192.0.2.1:80` or `[2001:db8::1]:80`, or an address alone. */
export function hostAddressOf(endpoint: string): string {
  if (parseAddress(endpoint) !== null) return endpoint;
  return endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}

/** An address, or null if the text is none. */
export function parseAddress(text: string): IpAddress | null {
  try {
    return IpAddress.parse(text);
  } catch {
    return null;
  }
}
