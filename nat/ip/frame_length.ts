/**
 * Frames that are shorter or longer than a link's frames are.
 *
 * Such a frame never ends a link. Too short is what has no whole Ethernet header; it is skipped. Too long is what
 * exceeds the MTU, its header and a VLAN tag. One IP packet that fills such a frame is taken nevertheless: the guest
 * has a larger MTU, or leaves segmentation to its network card, and the gateway, at which its packets end, loses
 * nothing by that. It answers within its own MTU, and its TCP asks for segments of that size. Any other frame that is
 * too long is skipped.
 *
 * What is skipped is counted. A guest is warned about once for either kind, because who gave it the wrong MTU sees it
 * nowhere else.
 *
 * @module
 */
import {
  checkEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetType,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  LONGEST_FRAME,
  VLAN_TAG_LENGTH,
} from "../../net/wire/ethernet.ts";
import { checkIpv4, ipv4TotalLength } from "../../net/wire/ipv4.ts";
import { checkIpv6, IPV6_HEADER_LENGTH, ipv6PayloadLength } from "../../net/wire/ipv6.ts";
import type { DropReason } from "../base/counters.ts";
import type { RateLimitedLog } from "../base/rate_limited_log.ts";

/** Judges the lengths of one guest's frames. */
export class FrameLength {
  readonly #log: RateLimitedLog;
  readonly #name: string;
  readonly #link: { readonly mtu: number; readonly offload: boolean };
  readonly #longest: number;
  #warnedOfShort = false;
  #warnedOfLong = false;

  /** For the guest `name`, as in `Guest 1 on tap eth0`. A link with `offload` carries frames of any length. */
  constructor(log: RateLimitedLog, name: string, link: { readonly mtu: number; readonly offload: boolean }) {
    this.#log = log;
    this.#name = name;
    this.#link = link;
    this.#longest = link.mtu + ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
  }

  /** Why the frame `bytes[start, end)` is skipped for its length, or null. */
  flaw(bytes: Uint8Array, start: number, end: number): DropReason | null {
    if (!checkEthernet(bytes, start, end)) return this.#isShort(end - start);
    return end - start <= this.#longest ? null : this.#isLong(bytes, start, end);
  }

  #isShort(length: number): DropReason {
    if (!this.#warnedOfShort) {
      this.#warnedOfShort = true;
      const least = length < ETHERNET_HEADER_LENGTH ? "an Ethernet header" : "the length in its header";
      this.#log.warn(() => `${this.#name} sent a frame of ${length} bytes, shorter than ${least}: skipped`);
    }
    return "frameTooShort";
  }

  #isLong(bytes: Uint8Array, start: number, end: number): DropReason | null {
    const { mtu, offload } = this.#link, fits = end - start <= LONGEST_FRAME;
    if (offload && fits) return null;
    const isTaken = fits && isFilledByPacket(bytes, start, end);
    if (!this.#warnedOfLong) {
      this.#warnedOfLong = true;
      this.#log.warn(() => {
        const fate = isTaken ? "taken, but answers are no longer than that" : "skipped";
        return `${this.#name} sent a frame of ${end - start} bytes, and the MTU is ${mtu} here: ${fate}; ` +
          `let the guest have that MTU, or give the link a larger one (--mtu)`;
      });
    }
    return isTaken ? null : "frameTooLong";
  }
}

function isFilledByPacket(bytes: Uint8Array, start: number, end: number): boolean {
  const ip = start + ETHERNET_HEADER_LENGTH, type = ethernetType(bytes, start);
  if (type === ETHERTYPE_IPV4) return checkIpv4(bytes, ip, end) && ip + ipv4TotalLength(bytes, ip) === end;
  return type === ETHERTYPE_IPV6 && checkIpv6(bytes, ip, end) &&
    ip + IPV6_HEADER_LENGTH + ipv6PayloadLength(bytes, ip) === end;
}
