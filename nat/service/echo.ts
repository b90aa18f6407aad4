/**
 * Answers to ICMP echo requests (RFC 792, RFC 1122 section 3.2.2.6).
 *
 * A reply is the request with another type: identifier, sequence number and data come back as they were. So it is
 * copied whole and its checksum changed by what the type changed it by (RFC 1624), which also keeps a request that was
 * damaged on its way from coming back with a checksum that says it was not.
 *
 * @module
 */
import { readUint16, writeUint16 } from "../../net/wire/bytes.ts";
import { checksum, checksumUpdate16 } from "../../net/wire/checksum.ts";
import { checkIcmpv4, ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, icmpv4Checksum } from "../../net/wire/icmpv4.ts";

const CHECKSUM = 2;

/**
 * Answers the ICMP message that fills `bytes[start, end)`: writes the reply at `into[at]` and returns its length, that
 * of the request, or returns 0 where it is no echo request or `into` has no room. `into` may be `bytes`.
 */
export function echoReply(bytes: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  if (!checkIcmpv4(bytes, start, end)) return 0;
  // Type and code as one word: no code but 0 is assigned to either.
  const request = readUint16(bytes, start), reply = ICMP_ECHO_REPLY << 8;
  if (request !== ICMP_ECHO_REQUEST << 8 || end - start > into.length - at) return 0;
  const updated = checksumUpdate16(icmpv4Checksum(bytes, start), request, reply);
  into.set(bytes.subarray(start, end), at);
  writeUint16(into, at, reply);
  // All zero, and only that, has a sum of +0 where the update makes it -0 (RFC 1624 section 3).
  writeUint16(into, at + CHECKSUM, 0);
  writeUint16(into, at + CHECKSUM, updated === 0 ? checksum(into, at, at + end - start) : updated);
  return end - start;
}
