/**
 * IPv6 headers and fragments of packets to one station (RFC 8200).
 *
 * Only the sender of a packet fragments it, so that "too big" (RFC 8201) lowers the MTU for every packet that follows.
 * All fragments of one packet have an identification that the next four thousand million such packets do not have; a
 * packet that is whole has no fragment header.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { ETHERTYPE_IPV6, ipv6MulticastMac } from "../../net/wire/ethernet.ts";
import { encodePlainIpv6, IPV6_HEADER_LENGTH, IPV6_MINIMUM_MTU } from "../../net/wire/ipv6.ts";
import { encodeIpv6Fragment, IPV6_FRAGMENT_HEADER_LENGTH, PROTOCOL_FRAGMENT } from "../../net/wire/ipv6_extensions.ts";
import type { FrameSender } from "./frame_sender.ts";
import { type Ends, IpSender } from "./ip_sender.ts";

const SIZES = {
  etherType: ETHERTYPE_IPV6,
  headerLength: IPV6_HEADER_LENGTH,
  maxPayload: 65535,
  leastMtu: IPV6_MINIMUM_MTU,
};

/** Sends IPv6 packets to one station. */
export class Ipv6Sender extends IpSender {
  #identification = 0;

  /** Packets in frames of `out`. */
  constructor(out: FrameSender) {
    super(out, SIZES);
  }

  /**
   * Sends the packet that fills `bytes[ip, end)`, header and all, to `destination`: to the station, or to a group that
   * it is in (RFC 2464 section 7).
   */
  whole(bytes: Uint8Array, ip: number, end: number, { w0, w3 }: IpAddress): void {
    const mac = w0 >>> 24 === 0xff ? ipv6MulticastMac(w3) : this.out.destinationMac;
    this.out.ethernet(bytes, ip, end, ETHERTYPE_IPV6, mac);
  }

  protected override writeHeader(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void {
    encodePlainIpv6(bytes, start - IPV6_HEADER_LENGTH, end - start, protocol, ends);
  }

  protected override fragments(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void {
    // All but the last are a multiple of 8 bytes long (RFC 8200 section 4.5).
    const size = (this.mtu - IPV6_HEADER_LENGTH - IPV6_FRAGMENT_HEADER_LENGTH) & ~7;
    const identification = this.#identification = (this.#identification + 1) >>> 0;
    for (let at = start; at < end; at += size) {
      const last = Math.min(at + size, end), fragment = at - IPV6_FRAGMENT_HEADER_LENGTH;
      encodeIpv6Fragment(bytes, fragment, protocol, at - start, last < end, identification);
      this.writeHeader(bytes, fragment, last, PROTOCOL_FRAGMENT, ends);
      // Without one of them the others are of no use.
      if (!this.send(bytes, fragment - IPV6_HEADER_LENGTH, last)) return;
    }
  }
}
