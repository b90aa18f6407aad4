/**
 * UDP: one host socket for each address and port of a guest, whatever it talks to (RFC 4787 REQ-1: endpoint-independent
 * mapping).
 *
 * A guest's datagram goes out of the mapping's socket to the translated address, up to 65,507 bytes; what came in
 * fragments is put together before. A reply is taken as `peers.ts` says, and cut up where the guest's link demands it.
 * DNS at the gateway's own address does not come here (`service/dns_service.ts`).
 *
 * **Time.** A mapping lives 30 s after its last datagram while it has seen no more than one question and one answer,
 * 120 s once it is a stream (RFC 4787 REQ-5 is for streams).
 *
 * **Errors.** A refused port, an unreachable host and a path that is too narrow are told to the guest where the host
 * learns of them (`datagram_relay.ts`).
 *
 * **Sockets.** One of each family that the guest's targets need. Where the host has none left, a mapping that never had
 * one is gone again at once.
 *
 * @module
 */
import { formatEndpoint } from "../../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { encodeUdp, UDP_HEADER_LENGTH } from "../../net/wire/udp.ts";
import { copyBytes } from "../base/buffers.ts";
import type { DropReason } from "../base/counters.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import type { FlowInfo } from "../flow/flow.ts";
import type { Packet } from "../ip/packet.ts";
import type { Path } from "../ip/path.ts";
import type { HostEndpoint, HostError, HostUdpHandler, HostUdpSocket } from "../host.ts";
import type { Target } from "../rules/translate.ts";
import { DatagramRelay } from "./datagram_relay.ts";
import type { Peer } from "./peers.ts";

/** Life of a mapping with one question and one answer, in milliseconds. */
export const UDP_QUERY_MS = 30_000;
/** Life of a mapping that carries a stream, in milliseconds. */
export const UDP_STREAM_MS = 120_000;

/** How long a flow of so many questions and answers lives after the last of them, in milliseconds. */
export function udpLifeMs(asked: number, answered: number): number {
  return asked <= 1 && answered <= 1 ? UDP_QUERY_MS : UDP_STREAM_MS;
}

/** One guest address and port, and its host socket. */
export class UdpRelay extends DatagramRelay implements HostUdpHandler {
  #socket4: HostUdpSocket | null = null;
  #socket6: HostUdpSocket | null = null;

  /** Sends a datagram of the guest to a peer. Returns why not, or null. */
  send({ bytes, payload, end }: Packet, peer: Peer): DropReason | null {
    const target = peer.target, socket = this.#socketFor(target);
    if (socket === null) {
      if (this.#socket4 === null && this.#socket6 === null) this.abort("hostExhausted");
      return "hostExhausted";
    }
    this.record.fromGuest++;
    this.used();
    if (!socket.send(bytes, payload, end, target)) return "udpNotSent";
    const length = end - payload;
    this.record.bytesFromGuest += length;
    peer.bytesFromGuest += length;
    return null;
  }

  /** A datagram came to the host socket. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    const exact = this.peers.answering(from.address, from.port), peer = exact ?? this.peers.at(from.address);
    if (peer === undefined) {
      this.context.counters.udpUnasked++;
      return;
    }
    this.record.fromHost++;
    this.used();
    const fromPort = exact === undefined ? from.port : peer.port, toPort = this.key.guestPort;
    const length = sendToGuest(this.context, peer.path, bytes, start, end, fromPort, toPort);
    this.record.bytesToGuest += length;
    peer.bytesToGuest += length;
  }

  /** The host has learnt that a datagram did not arrive. */
  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void {
    this.failed(error, to, { mtu, sequence: 0 });
  }

  /** How long it lives after its last datagram. */
  protected override get lifeMs(): number {
    return udpLifeMs(this.record.fromGuest, this.record.fromHost);
  }

  /** As events name it. */
  protected override get protocol(): "udp" {
    return "udp";
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
      target: peer === undefined ? "" : formatEndpoint(peer.address, peer.port),
      host: peer === undefined ? "" : formatEndpoint(peer.target.address, peer.target.port),
    };
  }

  /** Closes what is open. */
  protected override release(): void {
    this.#socket4?.close();
    this.#socket6?.close();
  }

  /** Eight bytes of the guest's transport header. */
  protected override quote(into: Uint8Array, at: number, peer: Peer): void {
    encodeUdp(into, at, this.key.guestPort, peer.port, UDP_HEADER_LENGTH);
  }

  #socketFor(target: Target): HostUdpSocket | null {
    if (target.address.isIpv4) return this.#socket4 ??= this.#open(4);
    return this.#socket6 ??= this.#open(6);
  }

  #open(family: 4 | 6): HostUdpSocket | null {
    const socket = this.context.host.openUdp(family, this);
    return typeof socket === "string" ? null : socket;
  }
}

/**
 * Sends the datagram `bytes[start, end)`, which the host received, to a guest. Returns how many bytes that were: 0 if
 * it is too large for IP, which is counted.
 */
export function sendToGuest(
  context: RelayContext,
  path: Path,
  bytes: Uint8Array,
  start: number,
  end: number,
  fromPort: number,
  toPort: number,
): number {
  let from = bytes, at = start;
  const length = end - start;
  if (start < SEGMENT_HEADROOM) {
    from = context.tcp.scratch;
    at = SEGMENT_HEADROOM;
    copyBytes(bytes, start, end, from, at);
  }
  if (path.udp(from, at, at + length, fromPort, toPort)) return length;
  context.counters.udpTooLarge++;
  return 0;
}
