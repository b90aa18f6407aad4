/**
 * IPv4 headers and fragments of packets to one station (RFC 791).
 *
 * All fragments of one packet have an identification that the next 65,535 such packets do not have; packets that are
 * whole need none (RFC 6864 section 4.1), are not to be fragmented on the way, and so tell us when a path has become
 * narrower.
 *
 * @module
 */
import { ETHERTYPE_IPV4 } from "../../net/wire/ethernet.ts";
import { encodeIpv4, encodePlainIpv4, IPV4_HEADER_LENGTH, Ipv4Header } from "../../net/wire/ipv4.ts";
import type { FrameSender } from "./frame_sender.ts";
import { type Ends, IpSender } from "./ip_sender.ts";

/** The least MTU that a path is taken to have: what every IPv4 host can receive whole (RFC 791 section 3.1). */
export const MIN_IPV4_PATH_MTU = 576;

const SIZES = {
  etherType: ETHERTYPE_IPV4,
  headerLength: IPV4_HEADER_LENGTH,
  maxPayload: 65535 - IPV4_HEADER_LENGTH,
  leastMtu: MIN_IPV4_PATH_MTU,
};

/** Sends IPv4 packets to one station. */
export class Ipv4Sender extends IpSender {
  #fragment = Object.assign(new Ipv4Header(), { dontFragment: false });

  /** Packets in frames of `out`. */
  constructor(out: FrameSender) {
    super(out, SIZES);
  }

  protected override writeHeader(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void {
    const ip = start - IPV4_HEADER_LENGTH;
    encodePlainIpv4(bytes, ip, end - ip, protocol, ends);
  }

  protected override fragments(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void {
    // All but the last are a multiple of 8 bytes long (RFC 791 section 3.2).
    const header = this.#fragment, size = (this.mtu - IPV4_HEADER_LENGTH) & ~7;
    header.protocol = protocol;
    header.source = ends.source.ipv4;
    header.destination = ends.destination.ipv4;
    header.identification = (header.identification + 1) & 0xffff;
    for (let at = start; at < end; at += size) {
      const last = Math.min(at + size, end);
      header.fragmentOffset = at - start;
      header.moreFragments = last < end;
      header.totalLength = last - at + IPV4_HEADER_LENGTH;
      encodeIpv4(bytes, at - IPV4_HEADER_LENGTH, header);
      // Without one of them the others are of no use.
      if (!this.send(bytes, at - IPV4_HEADER_LENGTH, last)) return;
    }
  }
}
