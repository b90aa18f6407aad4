/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit big-endian words.
 *
 * **Sums travel unfolded.** A running sum is an ordinary non-negative number below 2³² to which carries have not been
 * added back; `checksumAdd` takes one and returns one, so header, pseudo-header and payload are summed piece by piece
 * wherever they lie. `checksumFinish` adds the carries and complements, once.
 *
 * **Long pieces go by 32-bit words.** One's complement addition does not care for byte order (RFC 1071 section 2.B):
 * the sum of byte-swapped words is the byte-swapped sum. So the bulk of a piece is read through a `Uint32Array` over
 * the same `ArrayBuffer`, four bytes a load, both halves added to accumulators of their own, and the folded result is
 * swapped at the end. A piece may begin at any address: the bytes in front of the first word boundary and after the
 * last one are added singly, each with the weight that its address gives it. When the piece begins at an odd address
 * the words' order and the piece's order disagree by a byte, which cancels the swap.
 *
 * The word views are kept by buffer, so that a link which uses the same buffers again allocates nothing. Short pieces,
 * and machines that are big-endian, take the plain byte loop.
 *
 * **A pseudo-header** is a number too. The transports take the sum of both addresses (`addressSum`, `ipv4AddressSum`,
 * `ipv6AddressSum` of `ipv6.ts`) and add protocol and length, so that they do not know the family.
 *
 * **Changing a word** of a summed header does not need the rest of it (RFC 1624): `checksumUpdate16`,
 * `checksumUpdate32`.
 *
 * @module
 */
import type { IpAddress } from "./address.ts";

/** Below this many bytes the byte loop wins over looking the word view up. */
const WORDS_FROM = 96;
/** Words after which a 32-bit accumulator of 16-bit halves could overflow. */
const BLOCK_WORDS = 0x10000;

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

const viewsByBuffer = new WeakMap<ArrayBufferLike, Uint32Array>();
let recentBuffer: ArrayBufferLike = new ArrayBuffer(0);
let recentView = new Uint32Array(recentBuffer);

/**
 * Adds `bytes[start, end)` to a running sum and returns the new one.
 *
 * An odd last byte counts as if a zero byte followed, so every piece but the last must be of even length.
 */
export function checksumAdd(bytes: Uint8Array, start: number, end: number, sum: number = 0): number {
  if (end - start >= WORDS_FROM && LITTLE_ENDIAN) return sum + sumWords(bytes, start, end);
  let words = 0, i = start;
  for (const pairsEnd = end - 1; i < pairsEnd; i += 2) words += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) words += bytes[i]! << 8;
  return sum + words;
}

/** Folds a running sum below 2³² to 16 bits without complementing it: what a partial checksum field holds. */
export function checksumFold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Folds and complements a running sum: the value of a checksum field. */
export function checksumFinish(sum: number): number {
  return checksumFold(sum) ^ 0xffff;
}

/** The checksum of `bytes[start, end)`; 0 when the range holds a correct checksum (RFC 1071 section 1). */
export function checksum(bytes: Uint8Array, start: number, end: number): number {
  return checksumFinish(checksumAdd(bytes, start, end));
}

/**
 * The running sum of one address's 16-bit words: its share of a pseudo-header of its family. A path adds those of its
 * two addresses once.
 */
export function addressSum(address: IpAddress): number {
  const last = (address.w3 >>> 16) + (address.w3 & 0xffff);
  if (address.isIpv4) return last;
  return (address.w0 >>> 16) + (address.w0 & 0xffff) + (address.w1 >>> 16) + (address.w1 & 0xffff) +
    (address.w2 >>> 16) + (address.w2 & 0xffff) + last;
}

/** The running sum of two IPv4 addresses as numbers: their share of a pseudo-header. */
export function ipv4AddressSum(source: number, destination: number): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
}

/**
 * The running sum of a pseudo-header of either family (RFC 9293 section 3.1, RFC 8200 section 8.1): the sum of both
 * addresses, the protocol, and the length of the transport header and data.
 */
export function pseudoHeaderSum(addressSum: number, protocol: number, length: number): number {
  // A length of more than 16 bits is two words, whose sum folds to the same as the whole number does.
  return addressSum + protocol + length;
}

/** The checksum after a 16-bit word that it covers has changed (RFC 1624 section 3, equation 3). */
export function checksumUpdate16(checksum: number, oldWord: number, newWord: number): number {
  return checksumFinish((checksum ^ 0xffff) + (oldWord ^ 0xffff) + newWord);
}

/** The checksum after a 32-bit word at an even distance has changed, such as an IPv4 address (RFC 1624 section 3). */
export function checksumUpdate32(checksum: number, oldWord: number, newWord: number): number {
  const removed = ((oldWord >>> 16) ^ 0xffff) + ((oldWord & 0xffff) ^ 0xffff);
  return checksumFinish((checksum ^ 0xffff) + removed + (newWord >>> 16) + (newWord & 0xffff));
}

function sumWords(bytes: Uint8Array, start: number, end: number): number {
  const buffer = bytes.buffer;
  const words = buffer === recentBuffer ? recentView : wordView(buffer);
  // Positions in the buffer, not in the view: the weight of a byte depends on its address.
  const from = bytes.byteOffset + start, to = bytes.byteOffset + end;
  const firstWord = (from + 3) >>> 2, wordsEnd = to >>> 2;
  let sum = 0;
  for (let i = start, address = from; address < firstWord * 4; i++, address++) sum += bytes[i]! << ((address & 1) << 3);
  for (let i = end - (to & 3), address = wordsEnd * 4; address < to; i++, address++) {
    sum += bytes[i]! << ((address & 1) << 3);
  }
  for (let i = firstWord; i < wordsEnd;) {
    const blockEnd = Math.min(i + BLOCK_WORDS, wordsEnd);
    let low = 0, high = 0;
    for (const fourEnd = blockEnd - 3; i < fourEnd; i += 4) {
      const a = words[i]!, b = words[i + 1]!, c = words[i + 2]!, d = words[i + 3]!;
      low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
      high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
    }
    for (; i < blockEnd; i++) {
      const a = words[i]!;
      low = (low + (a & 0xffff)) | 0;
      high = (high + (a >>> 16)) | 0;
    }
    sum += checksumFold(low >>> 0) + checksumFold(high >>> 0);
  }
  const folded = checksumFold(sum);
  return (from & 1) === 1 ? folded : ((folded & 0xff) << 8) | (folded >>> 8);
}

function wordView(buffer: ArrayBufferLike): Uint32Array<ArrayBufferLike> {
  let view = viewsByBuffer.get(buffer);
  if (view === undefined) {
    view = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
    viewsByBuffer.set(buffer, view);
  }
  recentBuffer = buffer;
  recentView = view as typeof recentView;
  return view;
}
