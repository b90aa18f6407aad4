/**
 * Frames of one station to one other on a link: Ethernet written in front of a packet, in place, and the frame given to
 * the link.
 *
 * A packet for which no MAC address is known yet is given to whoever finds that out (`neighbour_resolver.ts`) and comes
 * back by `resume`.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import {
  encodeEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetType,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import { ipv4Destination } from "../../net/wire/ipv4.ts";
import { ipv6Destination } from "../../net/wire/ipv6.ts";

/** What is needed of a link; `Link` of `net/link` is one. */
export interface FrameSink {
  /** For messages. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** Whether partial checksums and 64 KiB segments may be sent. */
  readonly offload: boolean;
  /** Whose time the work for the guest takes; handed on to the host with every socket (`HostSocketOwner`). */
  readonly payer?: object | undefined;
  /** Sends a frame or drops it. */
  send(frame: Frame): boolean;
  /** Sends what was held back. */
  flush(): void;
}

/** Who sends, and who is told. */
export interface FrameSenderParts {
  /** The sender's MAC address. */
  readonly sourceMac: number;
  /** Called after each frame with whether the link took it. */
  readonly sent: (taken: boolean) => void;
  /**
   * Given the frame of a packet for which no MAC address is known, with the packet's destination; valid until it
   * returns.
   */
  readonly unresolved: (frame: Frame, destination: IpAddress) => void;
}

/** Sends frames of one station to one other on a link. */
export class FrameSender {
  /** The link. */
  readonly link: FrameSink;
  /** The sender's MAC address. */
  readonly sourceMac: number;
  /** The other station's MAC address; -1 until it is known. */
  destinationMac: number = -1;

  #sent: (taken: boolean) => void;
  #unresolved: (frame: Frame, destination: IpAddress) => void;
  #frame = new Frame();

  /** Frames on `link`. */
  constructor(link: FrameSink, { sourceMac, sent, unresolved }: FrameSenderParts) {
    this.link = link;
    this.sourceMac = sourceMac;
    this.#sent = sent;
    this.#unresolved = unresolved;
  }

  /** Sends `bytes[start, end)` as the payload of a frame, to `mac`. */
  ethernet(bytes: Uint8Array, start: number, end: number, type: number, mac: number = this.destinationMac): void {
    this.give(this.#frame.set(bytes, start - ETHERNET_HEADER_LENGTH, end), mac, type);
  }

  /** Sends a frame that `unresolved` was given, or a copy of it, now that the MAC address is known. */
  resume(frame: Frame): void {
    this.give(frame, this.destinationMac, ethernetType(frame.bytes, frame.start));
  }

  /**
   * Writes Ethernet to the beginning of `frame`, where there is room for it, and gives the frame to the link. Returns
   * whether it is on its way.
   */
  give(frame: Frame, mac: number, type: number): boolean {
    if (mac < 0) {
      encodeEthernet(frame.bytes, frame.start, 0, this.sourceMac, type);
      const destination = destinationOf(frame, type);
      if (destination !== null) this.#unresolved(frame, destination);
      return true;
    }
    encodeEthernet(frame.bytes, frame.start, mac, this.sourceMac, type);
    const taken = this.link.send(frame);
    this.#sent(taken);
    return taken;
  }
}

/** Where the packet in a frame goes; null: there is none in it. */
function destinationOf({ bytes, start }: Frame, type: number): IpAddress | null {
  const ip = start + ETHERNET_HEADER_LENGTH;
  if (type === ETHERTYPE_IPV4) return IpAddress.fromIpv4(ipv4Destination(bytes, ip));
  return type === ETHERTYPE_IPV6 ? ipv6Destination(bytes, ip) : null;
}
