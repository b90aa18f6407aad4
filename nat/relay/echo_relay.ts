/**
 * ICMP echo beyond the gateway, of either family: one ping socket of the host for each identifier of a guest and family
 * of its targets, whatever it asks (RFC 5508 section 3.1).
 *
 * A request goes out of the mapping's socket to the translated address. The host's identifier is another one, as a port
 * would be, and the message has the form of the target's family; towards the guest a reply has the guest's own again,
 * and sequence number and data as they came. A reply is taken as `peers.ts` says, and cut up where the guest's link
 * demands it. Nothing is answered that the host did not hear: where it has no ping sockets, requests are dropped
 * (`echo_flows.ts`), never forged.
 *
 * **Time.** A mapping lives 60 s after its last message (RFC 5508 REQ-2).
 *
 * **Errors** that a request meets on its way are told to the guest (`datagram_relay.ts`): unreachable, too large, time
 * exceeded.
 *
 * **Left out.** Requests leave with the host's TTL, whatever the guest's was, so a traceroute in the guest sees the
 * gateway and then the target.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { writeUint16 } from "../../net/wire/bytes.ts";
import { ICMP_ECHO_REQUEST } from "../../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REQUEST } from "../../net/wire/icmpv6.ts";
import { copyBytes } from "../base/buffers.ts";
import type { DropReason } from "../base/counters.ts";
import type { FlowInfo } from "../flow/flow.ts";
import type { HostError, HostPingHandler, HostPingSocket } from "../host.ts";
import { DatagramRelay } from "./datagram_relay.ts";
import type { Packet } from "../ip/packet.ts";
import type { IpFamily } from "../rules/policy.ts";
import type { Peer } from "./peers.ts";

/** Life of a mapping after its last message, in milliseconds. */
export const ECHO_MS = 60_000;

/** Of an echo message of either family, in front of its data. */
const ECHO_HEADER_LENGTH = 8;

/** One identifier of a guest, and its ping sockets. */
export class EchoRelay extends DatagramRelay implements HostPingHandler {
  #socket4: HostPingSocket | null = null;
  #socket6: HostPingSocket | null = null;

  /** Has a socket for targets of this family. Returns why the host has none, or null. */
  openSocket(family: IpFamily): HostError | null {
    if ((family === 4 ? this.#socket4 : this.#socket6) !== null) return null;
    const socket = this.context.host.openPing?.(family, this) ?? "other";
    if (typeof socket === "string") return socket;
    if (family === 4) this.#socket4 = socket;
    else this.#socket6 = socket;
    return null;
  }

  /** Sends the guest's echo request to a peer. Returns why not, or null. */
  send({ bytes, transport: start, end }: Packet, peer: Peer): DropReason | null {
    this.used();
    // The socket writes its identifier into the request, and the frame is the guest's.
    const request = this.context.tcp.scratch, at = SEGMENT_HEADROOM, { address } = peer.target;
    copyBytes(bytes, start, end, request, at);
    const socket = address.isIpv4 ? this.#socket4 : this.#socket6;
    if (!socket!.send(request, at, at + end - start, address)) return "echoNotSent";
    const length = end - start - ECHO_HEADER_LENGTH;
    this.record.bytesFromGuest += length;
    peer.bytesFromGuest += length;
    return null;
  }

  /** An echo reply came to the socket. */
  hostEchoReply(bytes: Uint8Array, start: number, end: number, from: IpAddress): void {
    const peer = this.peers.answering(from, 0);
    if (peer === undefined) {
      this.context.counters.echoUnasked++;
      return;
    }
    this.used();
    let reply = bytes, at = start;
    if (start < SEGMENT_HEADROOM) {
      reply = this.context.tcp.scratch;
      at = SEGMENT_HEADROOM;
      copyBytes(bytes, start, end, reply, at);
    }
    const length = end - start;
    peer.path.echoReply(reply, at, at + length, this.key.guestPort);
    this.record.bytesToGuest += length - ECHO_HEADER_LENGTH;
    peer.bytesToGuest += length - ECHO_HEADER_LENGTH;
  }

  /** The host has learnt that a request did not arrive. */
  hostEchoFailed(error: HostError, to: IpAddress, details: { mtu: number; sequence: number }): void {
    this.failed(error, { address: to, port: 0 }, details);
  }

  /** How long it lives after its last datagram. */
  protected override get lifeMs(): number {
    return ECHO_MS;
  }

  /** As events name it. */
  protected override get protocol(): "icmp" {
    return "icmp";
  }

  /** The counter of what fails and cannot be told. */
  protected override get notSent(): DropReason {
    return "echoNotSent";
  }

  /** What is its own in `flows()`. */
  protected override describe(): Pick<FlowInfo, "protocol" | "target" | "host"> {
    const peer = this.peers.latest;
    return {
      protocol: "icmp",
      target: peer === undefined ? "" : `${peer.address}`,
      host: peer === undefined ? "" : `${peer.target.address}`,
    };
  }

  /** Closes what is open. */
  protected override release(): void {
    this.#socket4?.close();
    this.#socket6?.close();
  }

  /** Eight bytes of the guest's transport header. */
  protected override quote(into: Uint8Array, at: number, _peer: Peer, sequence: number): void {
    into[at] = this.key.family === 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST;
    writeUint16(into, at + 4, this.key.guestPort);
    writeUint16(into, at + 6, sequence);
  }
}
