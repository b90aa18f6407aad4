/**
 * The chain of IPv6 extension headers (RFC 8200 section 4): from the fixed header to the header of the upper layer.
 *
 * `walkIpv6` follows the chain of a packet that has passed `checkIpv6` and fills a reused `Ipv6Chain`. It does what an
 * end node must do:
 *
 * - **Hop-by-hop and destination options** are skipped. An option that is not padding is unknown here; the first two
 *   bits of its type say whether it is ignored, drops the packet, or is answered too (section 4.2).
 * - **Routing**: no type is known, type 0 least of all (RFC 5095). The header is skipped if no segments are left, and
 *   refused otherwise (section 4.4).
 * - **Fragment**: the walk ends at a fragment that is not the first. The first one must hold all headers up to that of
 *   the upper layer, whole (RFC 7112). A fragment that is the whole packet counts as none (RFC 6946).
 * - Everything else ends the chain and is the upper layer's protocol: ESP, authentication and "no next header" too.
 *
 * A chain has at most `IPV6_LONGEST_CHAIN` headers (RFC 8504 section 5.3, RFC 8883), so a walk is short.
 *
 * @module
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.ts";
import { IPV6_HEADER_LENGTH, IPV6_NEXT_HEADER, ipv6NextHeader, PROTOCOL_ICMPV6 } from "./ipv6.ts";

/** The protocol number of hop-by-hop options. */
export const PROTOCOL_HOP_BY_HOP = 0;
/** The protocol number of a routing header. */
export const PROTOCOL_ROUTING = 43;
/** The protocol number of a fragment header. */
export const PROTOCOL_FRAGMENT = 44;
/** The protocol number that says that nothing follows. */
export const PROTOCOL_NO_NEXT_HEADER = 59;
/** The protocol number of destination options. */
export const PROTOCOL_DESTINATION_OPTIONS = 60;

/** Bytes of a fragment header. */
export const IPV6_FRAGMENT_HEADER_LENGTH = 8;
/** The most extension headers that a packet may have. */
export const IPV6_LONGEST_CHAIN = 8;

/** Code of a parameter problem: a header field makes no sense (RFC 4443 section 3.4). */
export const ICMPV6_BAD_FIELD = 0;
/** Code of a parameter problem: the next header is of a kind that is not known. */
export const ICMPV6_UNKNOWN_NEXT_HEADER = 1;
/** Code of a parameter problem: an option is not known. */
export const ICMPV6_UNKNOWN_OPTION = 2;
/** Code of a parameter problem: the first fragment does not hold all headers (RFC 7112 section 5). */
export const ICMPV6_INCOMPLETE_CHAIN = 3;
/** Code of a parameter problem: there are more extension headers than the receiver follows (RFC 8883 section 2). */
export const ICMPV6_TOO_MANY_HEADERS = 6;

/** The chain is whole, or ends at a fragment. */
export const IPV6_CHAIN_OK = 0;
/** The packet is to be dropped without an answer. */
export const IPV6_CHAIN_DROP = 1;
/** The packet is to be dropped and answered with a parameter problem. */
export const IPV6_CHAIN_PROBLEM = 2;

/** What became of a walk. */
export type Ipv6ChainVerdict = typeof IPV6_CHAIN_OK | typeof IPV6_CHAIN_DROP | typeof IPV6_CHAIN_PROBLEM;

const PAYLOAD_LENGTH_FIELD = 4;
const ROUTING_TYPE = 2;
const SEGMENTS_LEFT = 3;
const FRAGMENT_OFFSET = 2;
const IDENTIFICATION = 4;
const MORE_FRAGMENTS = 1;
const LONGEST_PAYLOAD = 0xffff;

const OPTION_PAD1 = 0;
const OPTION_PADN = 1;
/** The first two bits of an option's type: what to do where it is not known. */
const ACTION_SKIP = 0, ACTION_DROP = 1, ACTION_ANSWER = 2;

/** What a walk found, to be filled again and again. Offsets are in the array, but for `pointer`. */
export class Ipv6Chain {
  /** Protocol number of the upper layer; of a fragment that is not the first, what its header says. */
  protocol = 0;
  /** Offset of the upper layer's header; of a fragment that is not the first, of its data. */
  transport = 0;
  /** Offset of the fragment header; -1 if the packet is whole. */
  fragment: number = -1;
  /** Whether there is a fragment header, that of a packet which is whole included (RFC 6946). */
  hasFragmentHeader = false;
  /**
   * Distance from the packet's beginning to the field that a parameter problem points to. After a walk without a
   * problem that is the field that names `protocol`, for the answer to a protocol that is not known.
   */
  pointer = 0;
  /** Code of the parameter problem; -1 without one. */
  code: number = -1;
  /** Whether the problem is told although the packet went to a group (RFC 4443 section 2.4 e.3). */
  answersGroup = false;
}

/** Whether the fragment header at `offset` says that more follow. */
export function ipv6MoreFragments(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset + 3]! & MORE_FRAGMENTS) !== 0;
}

/** Position of a fragment's data in that of the packet, in bytes. */
export function ipv6FragmentOffset(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + FRAGMENT_OFFSET) & 0xfff8;
}

/** Identification of the packet that a fragment belongs to. */
export function ipv6FragmentIdentification(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + IDENTIFICATION);
}

/** Protocol number of the header that the data of a packet in fragments begins with. */
export function ipv6FragmentNextHeader(bytes: Uint8Array, offset: number): number {
  return bytes[offset]!;
}

/** Writes a fragment header at `offset` and returns 8. `fragmentOffset` is in bytes, a multiple of 8. */
export function encodeIpv6Fragment(
  bytes: Uint8Array,
  offset: number,
  nextHeader: number,
  fragmentOffset: number,
  moreFragments: boolean,
  identification: number,
): number {
  bytes[offset] = nextHeader;
  bytes[offset + 1] = 0;
  writeUint16(bytes, offset + FRAGMENT_OFFSET, fragmentOffset | (moreFragments ? MORE_FRAGMENTS : 0));
  writeUint32(bytes, offset + IDENTIFICATION, identification);
  return IPV6_FRAGMENT_HEADER_LENGTH;
}

/**
 * Follows the chain of the packet at `bytes[start, end)`, which has passed `checkIpv6` and whose payload ends at `end`,
 * and fills `chain`. Nothing is allocated.
 */
export function walkIpv6(bytes: Uint8Array, start: number, end: number, chain: Ipv6Chain): Ipv6ChainVerdict {
  chain.fragment = -1;
  chain.code = -1;
  chain.answersGroup = false;
  chain.hasFragmentHeader = false;
  let protocol = ipv6NextHeader(bytes, start), at = start + IPV6_HEADER_LENGTH, named = IPV6_NEXT_HEADER, headers = 0;
  while (isExtension(protocol)) {
    // Hop-by-hop options stand first or nowhere (RFC 8200 section 4.1).
    if (protocol === PROTOCOL_HOP_BY_HOP && headers > 0) return problem(chain, ICMPV6_UNKNOWN_NEXT_HEADER, named);
    if (++headers > IPV6_LONGEST_CHAIN) return problem(chain, ICMPV6_TOO_MANY_HEADERS, at - start);
    // The second byte of a fragment header is reserved: its length is always 8.
    const length = protocol === PROTOCOL_FRAGMENT ? IPV6_FRAGMENT_HEADER_LENGTH : (bytes[at + 1]! + 1) << 3;
    if (at + 2 > end || at + length > end) return cutOff(chain);
    if (protocol === PROTOCOL_FRAGMENT) {
      // One packet is not fragmented twice; Linux refuses that too.
      if (chain.hasFragmentHeader) return problem(chain, ICMPV6_BAD_FIELD, at - start);
      chain.hasFragmentHeader = true;
      const verdict = takeFragment(bytes, start, at, end, chain);
      if (verdict !== IPV6_CHAIN_OK) return verdict;
      if (ipv6FragmentOffset(bytes, at) > 0) return finish(chain, bytes[at]!, at + length, at - start);
    } else if (protocol === PROTOCOL_ROUTING) {
      if (bytes[at + SEGMENTS_LEFT]! > 0) return problem(chain, ICMPV6_BAD_FIELD, at + ROUTING_TYPE - start);
    } else {
      const verdict = readOptions(bytes, start, at + 2, at + length, chain);
      if (verdict !== IPV6_CHAIN_OK) return verdict;
    }
    protocol = bytes[at]!;
    named = at - start;
    at += length;
  }
  if (chain.fragment >= 0 && at + upperHeaderLength(bytes, at, end, protocol) > end) return cutOff(chain);
  return finish(chain, protocol, at, named);
}

function isExtension(protocol: number): boolean {
  return protocol === PROTOCOL_HOP_BY_HOP || protocol === PROTOCOL_ROUTING || protocol === PROTOCOL_FRAGMENT ||
    protocol === PROTOCOL_DESTINATION_OPTIONS;
}

function finish(chain: Ipv6Chain, protocol: number, transport: number, pointer: number): Ipv6ChainVerdict {
  chain.protocol = protocol;
  chain.transport = transport;
  chain.pointer = pointer;
  return IPV6_CHAIN_OK;
}

function problem(chain: Ipv6Chain, code: number, pointer: number): Ipv6ChainVerdict {
  chain.code = code;
  chain.pointer = pointer;
  return IPV6_CHAIN_PROBLEM;
}

/** The chain ends before the upper layer's header: in a first fragment that is a fault of its own. */
function cutOff(chain: Ipv6Chain): Ipv6ChainVerdict {
  return chain.fragment < 0 ? IPV6_CHAIN_DROP : problem(chain, ICMPV6_INCOMPLETE_CHAIN, 0);
}

/** Looks at the lengths of a fragment (RFC 8200 section 4.5), and notes its header unless it is the whole packet. */
function takeFragment(
  bytes: Uint8Array,
  start: number,
  at: number,
  end: number,
  chain: Ipv6Chain,
): Ipv6ChainVerdict {
  const more = ipv6MoreFragments(bytes, at), offset = ipv6FragmentOffset(bytes, at);
  if (!more && offset === 0) return IPV6_CHAIN_OK;
  chain.fragment = at;
  const length = end - at - IPV6_FRAGMENT_HEADER_LENGTH, before = at - start - IPV6_HEADER_LENGTH;
  if (more && (length & 7) !== 0) return problem(chain, ICMPV6_BAD_FIELD, PAYLOAD_LENGTH_FIELD);
  if (before + offset + length > LONGEST_PAYLOAD) return problem(chain, ICMPV6_BAD_FIELD, at + FRAGMENT_OFFSET - start);
  return IPV6_CHAIN_OK;
}

/** Looks through the options in `bytes[at, end)` (RFC 8200 section 4.2). */
function readOptions(
  bytes: Uint8Array,
  start: number,
  at: number,
  end: number,
  chain: Ipv6Chain,
): Ipv6ChainVerdict {
  while (at < end) {
    const type = bytes[at]!;
    if (type === OPTION_PAD1) {
      at++;
      continue;
    }
    if (at + 2 > end || at + 2 + bytes[at + 1]! > end) return IPV6_CHAIN_DROP;
    const action = type >>> 6;
    if (type !== OPTION_PADN && action !== ACTION_SKIP) {
      if (action === ACTION_DROP) return IPV6_CHAIN_DROP;
      chain.answersGroup = action === ACTION_ANSWER;
      return problem(chain, ICMPV6_UNKNOWN_OPTION, at - start);
    }
    at += 2 + bytes[at + 1]!;
  }
  return IPV6_CHAIN_OK;
}

/** Bytes of the upper layer's header, as far as the protocol is known; more than there are if it is cut off. */
function upperHeaderLength(bytes: Uint8Array, at: number, end: number, protocol: number): number {
  if (protocol === PROTOCOL_UDP || protocol === PROTOCOL_ICMPV6) return 8;
  if (protocol !== PROTOCOL_TCP) return 0;
  return at + 20 > end ? 20 : (bytes[at + 12]! >>> 4) << 2;
}
