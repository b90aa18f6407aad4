/**
 * Addresses in records.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";

/** The address of `192.0.2.1:80` or `[2001:db8::1]:80`, or an address alone. */
export function hostAddressOf(endpoint: string): string {
  if (IpAddress.tryParse(endpoint) !== undefined) return endpoint;
  return endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}
