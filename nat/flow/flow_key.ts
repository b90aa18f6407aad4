/**
 * What tells flows apart: guest, protocol, both ports, both addresses.
 *
 * A key is a row of ten unsigned 32-bit words, so that looking a flow up makes no string and no object. Both families
 * have the same form: an IPv4 address is its IPv4-mapped IPv6 form (RFC 4291 section 2.5.5.2).
 *
 * ```
 * word 0     guest number << 9 | 256 for IPv6 | protocol number
 * word 1     guest port << 16 | remote port
 * words 2–5  guest address
 * words 6–9  remote address, as the guest sees it
 * ```
 *
 * The family is part of the key: an IPv6 packet between IPv4-mapped addresses never meets the IPv4 flow of the same
 * numbers.
 *
 * The gateway keeps one key, fills it from the headers of each packet and looks up with it. Protocols without ports put
 * what plays their part there: ICMP echo its identifier as the guest port (RFC 5508 section 3.1).
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { ipv6DestinationWord, ipv6SourceWord, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";

/** Words of a key. */
export const FLOW_KEY_WORDS = 10;

const IPV4_MAPPED = 0xffff;
const GUEST_SHIFT = 9;
const IPV6 = 1 << 8;

/** The key of a flow, to be filled again and again. */
export class FlowKey {
  /** The ten words; whoever looks flows up reads them, `set` and `setIpv4` write them. */
  readonly words: Uint32Array = new Uint32Array(FLOW_KEY_WORDS);

  /**
   * Fills the key of an IPv4 flow from 32-bit addresses. `guest` is below 2²³, `protocol` below 2⁸, ports below 2¹⁶.
   */
  setIpv4(
    guest: number,
    protocol: number,
    guestAddress: number,
    guestPort: number,
    remoteAddress: number,
    remotePort: number,
  ): this {
    const words = this.words;
    words[0] = (guest << GUEST_SHIFT) | protocol;
    words[1] = (guestPort << 16) | remotePort;
    words[2] = 0;
    words[3] = 0;
    words[4] = IPV4_MAPPED;
    words[5] = guestAddress;
    words[6] = 0;
    words[7] = 0;
    words[8] = IPV4_MAPPED;
    words[9] = remoteAddress;
    return this;
  }

  /**
   * Fills the key of an IPv6 flow, but for its ports, from the header at `bytes[ip]` of a packet to the guest or, as a
   * rule, from it. The numbers have the ranges of `setIpv4`.
   */
  setIpv6(guest: number, protocol: number, bytes: Uint8Array, ip: number, isToGuest: boolean = false): this {
    const words = this.words, source = isToGuest ? 6 : 2, destination = isToGuest ? 2 : 6;
    words[0] = (guest << GUEST_SHIFT) | IPV6 | protocol;
    words[1] = 0;
    for (let i = 0; i < 4; i++) {
      words[source + i] = ipv6SourceWord(bytes, ip, i);
      words[destination + i] = ipv6DestinationWord(bytes, ip, i);
    }
    return this;
  }

  /** Whether one of the addresses is the IPv4-mapped form of one, which in a packet of IPv6 is a forgery. */
  get isMapped(): boolean {
    const words = this.words;
    return (words[4] === IPV4_MAPPED && words[3] === 0 && words[2] === 0) ||
      (words[8] === IPV4_MAPPED && words[7] === 0 && words[6] === 0);
  }

  /** Whether the guest's address is the unspecified one. */
  get isFromNobody(): boolean {
    const words = this.words;
    return words[5] === 0 && words[4] === 0 && words[3] === 0 && words[2] === 0;
  }

  /**
   * Fills the key of a flow of either family, which is the guest address's own unless told otherwise. The numbers have
   * the ranges of `setIpv4`.
   */
  set(
    guest: number,
    protocol: number,
    guestAddress: IpAddress,
    guestPort: number,
    remoteAddress: IpAddress,
    remotePort: number,
    family: 4 | 6 = guestAddress.isIpv4 ? 4 : 6,
  ): this {
    const words = this.words;
    words[0] = (guest << GUEST_SHIFT) | (family === 6 ? IPV6 : 0) | protocol;
    words[1] = (guestPort << 16) | remotePort;
    words[2] = guestAddress.w0;
    words[3] = guestAddress.w1;
    words[4] = guestAddress.w2;
    words[5] = guestAddress.w3;
    words[6] = remoteAddress.w0;
    words[7] = remoteAddress.w1;
    words[8] = remoteAddress.w2;
    words[9] = remoteAddress.w3;
    return this;
  }

  /** Fills in the protocol alone. */
  setProtocol(protocol: number): this {
    this.words[0] = (this.words[0]! & ~0xff) | protocol;
    return this;
  }

  /** Fills in the ports alone. */
  setPorts(guestPort: number, remotePort: number): this {
    this.words[1] = (guestPort << 16) | remotePort;
    return this;
  }

  /** Fills the key from ten words at `offset` of a larger array. */
  copyFrom(words: Uint32Array, offset: number): this {
    for (let i = 0; i < FLOW_KEY_WORDS; i++) this.words[i] = words[offset + i]!;
    return this;
  }

  /** Fills the key of the mapping that `flow` belongs to: its guest's side alone (RFC 4787 REQ-1). */
  setMapping(flow: FlowKey): this {
    const words = this.words, of = flow.words;
    words[0] = of[0]!;
    words[1] = of[1]! & 0xffff0000;
    for (let i = 2; i < 6; i++) words[i] = of[i]!;
    words.fill(0, 6);
    return this;
  }

  /** Whether packets of the guest with this key come from this address. */
  isFrom(address: IpAddress): boolean {
    const words = this.words;
    return words[5] === address.w3 && words[4] === address.w2 && words[3] === address.w1 && words[2] === address.w0;
  }

  /** Whether the guest talks to this address. */
  isTo(address: IpAddress): boolean {
    const words = this.words;
    return words[9] === address.w3 && words[8] === address.w2 && words[7] === address.w1 && words[6] === address.w0;
  }

  /** A key of its own with the same words. */
  clone(): FlowKey {
    return new FlowKey().copyFrom(this.words, 0);
  }

  /** Whether both name the same flow. */
  equals(other: FlowKey): boolean {
    for (let i = 0; i < FLOW_KEY_WORDS; i++) if (this.words[i] !== other.words[i]) return false;
    return true;
  }

  /** Number of the guest. */
  get guest(): number {
    return this.words[0]! >>> GUEST_SHIFT;
  }

  /** The version of the flow's packets. */
  get family(): 4 | 6 {
    return this.words[0]! & IPV6 ? 6 : 4;
  }

  /** Protocol number. */
  get protocol(): number {
    return this.words[0]! & 0xff;
  }

  /** Port of the guest. */
  get guestPort(): number {
    return this.words[1]! >>> 16;
  }

  /** Port that the guest talks to. */
  get remotePort(): number {
    return this.words[1]! & 0xffff;
  }

  /** Address of the guest. */
  get guestAddress(): IpAddress {
    return this.#address(2);
  }

  /** Address that the guest talks to, before translation. */
  get remoteAddress(): IpAddress {
    return this.#address(6);
  }

  /** Its parts as text: the protocol's name, and both ends as `10.0.2.15:40000`. */
  describe(): { protocol: string; guest: string; target: string } {
    return {
      protocol: protocolName(this.protocol),
      guest: formatEndpoint(this.guestAddress, this.guestPort),
      target: formatEndpoint(this.remoteAddress, this.remotePort),
    };
  }

  /** For logs, without the guest's number: `tcp 10.0.2.15:40000 > 10.0.2.2:80`. */
  toString(): string {
    const { protocol, guest, target } = this.describe();
    return `${protocol} ${guest} > ${target}`;
  }

  #address(at: number): IpAddress {
    return new IpAddress(this.words[at]!, this.words[at + 1]!, this.words[at + 2]!, this.words[at + 3]!);
  }
}

function protocolName(protocol: number): string {
  switch (protocol) {
    case PROTOCOL_TCP:
      return "tcp";
    case PROTOCOL_UDP:
      return "udp";
    case PROTOCOL_ICMP:
      return "icmp";
    case PROTOCOL_ICMPV6:
      return "icmpv6";
    default:
      return `protocol ${protocol}`;
  }
}
