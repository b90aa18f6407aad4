/**
 * Socket addresses as the kernel wants them: `struct sockaddr_in` (16 bytes), `struct sockaddr_in6` (28 bytes) and
 * `struct sockaddr_un` (a family and a path).
 *
 * The family and the scope of IPv6, which is the number of an interface, are in the machine's byte order (little-endian
 * on both machines Deno runs on), port and address are big-endian. Flow information of IPv6 is 0.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { readUint16, readUint32, writeUint16 } from "../wire/bytes.ts";
import { AF_INET, AF_INET6, AF_UNIX, cString, libc } from "./libc.ts";

/** Bytes that hold an address of either family. */
export const SOCKADDR_SIZE = 28;

const SCOPE = 24;

/** Bytes that hold the address of a unix socket. */
export const SOCKADDR_UN_SIZE = 110;
/** Bytes of the longest path of a unix socket; a zero byte follows it. */
export const LONGEST_SOCKET_PATH = 107;

/**
 * Writes an address at the start of `bytes` and returns its length: 16 for IPv4, 28 for IPv6. `scope` is the interface
 * of a link-local address.
 */
export function writeSockaddr(bytes: Uint8Array, address: IpAddress, port: number, scope: number = 0): number {
  const isIpv4 = address.isIpv4;
  bytes.fill(0, 0, isIpv4 ? 16 : 28);
  bytes[0] = isIpv4 ? AF_INET : AF_INET6;
  writeUint16(bytes, 2, port);
  address.writeTo(bytes, isIpv4 ? 4 : 8);
  if (isIpv4) return 16;
  for (let i = 0; i < 4; i++) bytes[SCOPE + i] = scope >>> (8 * i);
  return 28;
}

/** The number of the interface that a zone names, by name or number; 0 if there is none. */
export function scopeOf(zone: string): number {
  return /^\d+$/.test(zone) ? Number(zone) >>> 0 : libc().interfaceIndex(cString(zone));
}

/**
 * Reads the address that the kernel wrote at `offset`, with the interface of a link-local one; `undefined` for a family
 * other than IPv4 and IPv6.
 */
export function readSockaddr(
  bytes: Uint8Array,
  offset = 0,
): { address: IpAddress; port: number; zone?: string } | undefined {
  const family = bytes[offset]! | (bytes[offset + 1]! << 8), port = readUint16(bytes, offset + 2);
  if (family === AF_INET) return { address: IpAddress.fromIpv4(readUint32(bytes, offset + 4)), port };
  if (family !== AF_INET6) return undefined;
  const address = IpAddress.fromBytes(bytes.subarray(offset + 8, offset + 24));
  let scope = 0;
  for (let i = 3; i >= 0; i--) scope = scope * 256 + bytes[offset + SCOPE + i]!;
  return scope === 0 ? { address, port } : { address, port, zone: `${scope}` };
}

/** The address of a unix socket. Throws a `RangeError` for a path that is empty, too long or holds a zero byte. */
export function unixSockaddr(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length === 0 || bytes.length > LONGEST_SOCKET_PATH || bytes.includes(0)) {
    throw new RangeError(`Cannot use socket path ${path}: it has 1 to ${LONGEST_SOCKET_PATH} bytes`);
  }
  const address = new Uint8Array(2 + bytes.length + 1);
  address[0] = AF_UNIX;
  address.set(bytes, 2);
  return address;
}

/** The path in an address of `length` bytes; empty for a socket without one. */
export function unixSockaddrPath(bytes: Uint8Array, length: number): string {
  let end = 2;
  while (end < length && bytes[end] !== 0) end++;
  return new TextDecoder().decode(bytes.subarray(2, end));
}
