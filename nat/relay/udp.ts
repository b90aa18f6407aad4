/**
 * UDP: one host socket for each address and port of a guest, whatever it talks to (RFC 4787 REQ-1: endpoint-independent mapping).
 *
 * A guest's datagram goes out of the mapping's socket to the translated address, up to 65,507 bytes; what came in fragments is put together before. A reply is taken as
 * `peers.ts` says, and cut up where the guest's link demands it. DNS at the gateway's own address does not come here (`service/dns.ts`).
 *
 * **Time.** A mapping lives 30 s after its last datagram while it has seen no more than one question and one answer, 120 s once it is a stream (RFC 4787 REQ-5 is
 * for streams).
 *
 * **Errors.** A refused port, an unreachable host and a path that is too narrow are told to the guest where the host learns of them (`datagram.ts`).
 *
 * **Sockets.** One of each family that the guest's targets need. Where the host has none left, a mapping that never had one is gone again at once.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { encodeUdp, UDP_HEADER_LENGTH } from "../../net/wire/udp.ts";
import { copyBytes } from "../base/buffers.ts";
import type { DropReason } from "../base/counters.ts";
import type { RelayContext } from "../flow/context.ts";
import type { FlowInfo, GuestSide } from "../flow/flow.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import { UDP_MAX_PAYLOAD, type UdpPath } from "../ip/frame_sender.ts";
import type { HostEndpoint, HostError, HostUdpHandler, HostUdpSocket } from "../host.ts";
import type { Target } from "../rules/translate.ts";
import { DatagramRelay } from "./datagram.ts";
import type { Peer } from "./peers.ts";

/** Life of a mapping with one question and one answer, in milliseconds. */
export const UDP_QUERY_MS = 30_000;
/** Life of a mapping that carries a stream, in milliseconds. */
export const UDP_STREAM_MS = 120_000;

/** How long a flow of so many questions and answers lives after the last of them, in milliseconds. */
export function udpLifeMs(asked: number, answered: number): number {
  return asked <= 1 && answered <= 1 ? UDP_QUERY_MS : UDP_STREAM_MS;
}

/** A datagram of a guest, filled again for each: the payload `bytes[start, end)` and where it is to go. */
export class GuestDatagram {
  /** The buffer; valid during the call. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the payload. */
  start = 0;
  /** Offset after the payload. */
  end = 0;
  /** The address asked, as a 32-bit number. */
  destination = 0;
  /** The port asked. */
  port = 0;
}

/** One guest address and port, and its host socket. */
export class UdpRelay extends DatagramRelay implements HostUdpHandler {
  #sockets: { 4: HostUdpSocket | null; 6: HostUdpSocket | null } = { 4: null, 6: null };
  #path: UdpPath;
  #sent = 0;
  #received = 0;

  /** A mapping without a socket. */
  constructor(context: RelayContext, flow: { guest: GuestSide; key: FlowKey }) {
    super(context, flow);
    const { key } = flow;
    this.#path = { source: 0, sourcePort: 0, destination: this.guestAddress, destinationPort: key.guestPort };
  }

  /** Sends a datagram of the guest to a peer. Returns why not, or null. */
  send(datagram: GuestDatagram, peer: Peer): DropReason | null {
    const target = peer.target, socket = this.#socketFor(target);
    if (socket === null) {
      if (this.#sockets[4] === null && this.#sockets[6] === null) this.abort("hostExhausted");
      return "hostExhausted";
    }
    this.#sent++;
    this.used();
    if (!socket.send(datagram.bytes, datagram.start, datagram.end, target)) return "udpNotSent";
    this.bytesFromGuest += datagram.end - datagram.start;
    return null;
  }

  /** A datagram came to the host socket. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    const exact = this.peers.answering(from.address, from.port), peer = exact ?? this.peers.at(from.address);
    if (peer === undefined) {
      this.context.counters.udpUnasked++;
      return;
    }
    this.#received++;
    this.used();
    const path = this.#path;
    path.source = peer.address;
    path.sourcePort = exact === undefined ? from.port : peer.port;
    this.bytesToGuest += sendToGuest(this.context, this.guest, bytes, start, end, path);
  }

  /** The host has learnt that a datagram did not arrive. */
  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void {
    this.failed(error, to, { mtu, sequence: 0 });
  }

  /** How long it lives after its last datagram. */
  protected override get lifeMs(): number {
    return udpLifeMs(this.#sent, this.#received);
  }

  /** The counter of what fails and cannot be told. */
  protected override get notSent(): DropReason {
    return "udpNotSent";
  }

  /** What is its own in `flows()`. */
  protected override describe(): Pick<FlowInfo, "protocol" | "target" | "host"> {
    const peer = this.peers.latest;
    return {
      protocol: "udp",
      target: peer === undefined ? "" : formatEndpoint(IpAddress.fromIpv4(peer.address), peer.port),
      host: peer === undefined ? "" : formatEndpoint(peer.target.address, peer.target.port),
    };
  }

  /** Closes what is open. */
  protected override release(): void {
    this.#sockets[4]?.close();
    this.#sockets[6]?.close();
  }

  /** Eight bytes of the guest's transport header. */
  protected override quote(into: Uint8Array, at: number, peer: Peer): void {
    encodeUdp(into, at, this.key.guestPort, peer.port, UDP_HEADER_LENGTH);
  }

  #socketFor(target: Target): HostUdpSocket | null {
    const family = target.address.isIpv4 ? 4 : 6;
    const open = this.#sockets[family];
    if (open !== null) return open;
    const socket = this.context.host.openUdp(family, this);
    if (typeof socket === "string") return null;
    return this.#sockets[family] = socket;
  }
}

/**
 * Sends the datagram `bytes[start, end)`, which the host received, to a guest. Returns how many bytes that were: 0 where it is too large for IPv4, which is
 * counted.
 */
export function sendToGuest(
  context: RelayContext,
  guest: GuestSide,
  bytes: Uint8Array,
  start: number,
  end: number,
  path: UdpPath,
): number {
  const length = end - start;
  if (length > UDP_MAX_PAYLOAD) {
    context.counters.udpTooLarge++;
    return 0;
  }
  if (start >= SEGMENT_HEADROOM) {
    guest.out.udp(bytes, start, end, path);
    return length;
  }
  const scratch = context.tcp.scratch;
  copyBytes(bytes, start, end, scratch, SEGMENT_HEADROOM);
  guest.out.udp(scratch, SEGMENT_HEADROOM, SEGMENT_HEADROOM + length, path);
  return length;
}
