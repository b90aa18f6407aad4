/**
 * Answers to echo requests of ICMP (RFC 792, RFC 1122 section 3.2.2.6) and ICMPv6 (RFC 4443 section 4.2).
 *
 * A reply is the request with another type: identifier, sequence number and data come back as they were. So it is
 * copied whole and its checksum changed by what the type changed it by (RFC 1624), which also keeps a request that was
 * damaged on its way from coming back with a checksum that says it was not. ICMPv6's counts the addresses too, which
 * makes no difference: they change places.
 *
 * @module
 */
import { readUint16, writeUint16 } from "../../net/wire/bytes.ts";
import { checksum, checksumUpdate16 } from "../../net/wire/checksum.ts";
import { checkIcmpv4, ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST } from "../../net/wire/icmpv4.ts";
import { checkIcmpv6, ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from "../../net/wire/icmpv6.ts";

const CHECKSUM = 2;

/**
 * Answers the ICMP message that fills `bytes[start, end)`: writes the reply at `into[at]` and returns its length, that
 * of the request, or returns 0 where it is no echo request or `into` has no room. `into` may be `bytes`.
 */
export function echoReply(bytes: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  if (!checkIcmpv4(bytes, start, end)) return 0;
  const updated = copyReply({ bytes, start, end, request: ICMP_ECHO_REQUEST, reply: ICMP_ECHO_REPLY }, into, at);
  // All zero, and only that, has a sum of +0 where the update makes it -0 (RFC 1624 section 3).
  if (updated === 0) writeUint16(into, at + CHECKSUM, checksum(into, at, at + end - start));
  return updated < 0 ? 0 : end - start;
}

/** The same for ICMPv6. A pseudo-header is never all zero. */
export function echoReply6(bytes: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  if (!checkIcmpv6(bytes, start, end)) return 0;
  const copy = { bytes, start, end, request: ICMPV6_ECHO_REQUEST, reply: ICMPV6_ECHO_REPLY };
  return copyReply(copy, into, at) < 0 ? 0 : end - start;
}

/** Copies a request as a reply and returns its checksum, or -1 where there is none. */
function copyReply(
  { bytes, start, end, request, reply }: {
    bytes: Uint8Array;
    start: number;
    end: number;
    request: number;
    reply: number;
  },
  into: Uint8Array,
  at: number,
): number {
  // Type and code as one word: no code but 0 is assigned to either.
  const word = readUint16(bytes, start);
  if (word !== request << 8 || end - start > into.length - at) return -1;
  const updated = checksumUpdate16(readUint16(bytes, start + CHECKSUM), word, reply << 8);
  into.set(bytes.subarray(start, end), at);
  writeUint16(into, at, reply << 8);
  writeUint16(into, at + CHECKSUM, updated);
  return updated;
}
