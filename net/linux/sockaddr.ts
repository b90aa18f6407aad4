/**
 * Socket addresses as the kernel wants them: `struct sockaddr_in` (16 bytes) and `struct sockaddr_in6` (28 bytes).
 *
 * The family is in the machine's byte order (little-endian on both machines Deno runs on), port and address are
 * big-endian. Flow information and scope of IPv6 are 0.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { readUint16, readUint32, writeUint16 } from "../wire/bytes.ts";
import { AF_INET, AF_INET6 } from "./libc.ts";

/** Bytes that hold an address of either family. */
export const SOCKADDR_SIZE = 28;

/** Writes an address at the start of `bytes` and returns its length: 16 for IPv4, 28 for IPv6. */
export function writeSockaddr(bytes: Uint8Array, address: IpAddress, port: number): number {
  const isIpv4 = address.isIpv4;
  bytes.fill(0, 0, isIpv4 ? 16 : 28);
  bytes[0] = isIpv4 ? AF_INET : AF_INET6;
  writeUint16(bytes, 2, port);
  address.writeTo(bytes, isIpv4 ? 4 : 8);
  return isIpv4 ? 16 : 28;
}

/** Reads the address that the kernel wrote at `offset`; `undefined` for a family other than IPv4 and IPv6. */
export function readSockaddr(bytes: Uint8Array, offset = 0): { address: IpAddress; port: number } | undefined {
  const family = bytes[offset]! | (bytes[offset + 1]! << 8), port = readUint16(bytes, offset + 2);
  if (family === AF_INET) return { address: IpAddress.fromIpv4(readUint32(bytes, offset + 4)), port };
  if (family !== AF_INET6) return undefined;
  return { address: IpAddress.fromBytes(bytes.subarray(offset + 8, offset + 24)), port };
}
