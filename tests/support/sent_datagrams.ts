/**
 * UDP datagrams of a guest at 10.0.2.15, to send and as it gets them.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ipv4AddressSum } from "../../net/wire/checksum.ts";
import { Frame } from "../../net/wire/frame.ts";
import { decodeIpv4, encodeIpv4, Ipv4Header, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { decodeUdp, udpChecksumValid } from "../../net/wire/udp.ts";
import { GUEST_IP, udpFrame } from "./frames.ts";

/** The other end of a datagram of the guest's, and the guest's own port. */
export interface UdpEnds {
  /** The address the guest talks to, as a 32-bit number. */
  remote: number;
  /** The port the guest talks to. */
  remotePort: number;
  /** The guest's port. */
  guestPort: number;
}

/** A frame of the guest. */
export function udpFrameOfGuest(ends: UdpEnds, payload: Uint8Array): Frame {
  const ports = { source: ends.guestPort, destination: ends.remotePort };
  const bytes = udpFrame(ports, payload, { destination: ends.remote });
  return new Frame().set(bytes, 0, bytes.length);
}

/** What a frame to the guest holds; it must be a UDP datagram with a right checksum. */
export function readUdpFrameToGuest(frame: Frame): UdpEnds & { payload: Uint8Array } {
  const bytes = frame.bytes.slice(frame.start, frame.end), ip = decodeIpv4(bytes, 14, bytes.length);
  assertEquals([ip.protocol, ip.destination], [PROTOCOL_UDP, GUEST_IP]);
  assert(udpChecksumValid(bytes, ip.payloadStart, ipv4AddressSum(ip.source, GUEST_IP)));
  const udp = decodeUdp(bytes, ip.payloadStart, ip.payloadEnd);
  return {
    remote: ip.source,
    remotePort: udp.sourcePort,
    guestPort: udp.destinationPort,
    payload: bytes.slice(udp.payloadStart, udp.payloadEnd),
  };
}

/** Puts fragments together that come in order, of one packet after another. */
export class FragmentsInOrder {
  /** How many fragments came. */
  count = 0;
  #bytes: number[] = [];

  /** The frame of the packet that `frame` makes whole, or null while something is missing. */
  add(frame: Frame): Frame | null {
    const bytes = frame.bytes.slice(frame.start, frame.end), ip = decodeIpv4(bytes, 14, bytes.length);
    if (!ip.moreFragments && ip.fragmentOffset === 0) return new Frame().set(bytes, 0, bytes.length);
    this.count++;
    assertEquals(ip.fragmentOffset, Math.max(0, this.#bytes.length - ip.payloadStart));
    this.#bytes = this.#bytes.concat([...bytes.subarray(ip.fragmentOffset === 0 ? 0 : ip.payloadStart)]);
    if (ip.moreFragments) return null;
    const whole = Uint8Array.from(this.#bytes), header = new Ipv4Header();
    this.#bytes = [];
    const { source, destination, protocol } = ip, totalLength = whole.length - 14;
    encodeIpv4(whole, 14, Object.assign(header, { source, destination, protocol, totalLength }));
    return new Frame().set(whole, 0, whole.length);
  }
}
