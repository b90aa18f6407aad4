/**
 * UDP: one host socket for each address and port of a guest, whatever it talks to (RFC 4787 REQ-1: endpoint-independent mapping).
 *
 * A guest's datagram goes out of the mapping's socket to the translated address. A reply is accepted only from an address the guest has asked through this
 * mapping (address and port dependent filtering, RFC 4787 section 5) and reaches the guest from exactly the address it asked. DNS at the
 * gateway's own address does not come here (`service/dns.ts`).
 *
 * **Time.** A mapping lives 30 s after its last datagram while it has seen no more than one question and one answer, 120 s once it is a stream (RFC 4787 REQ-5 is
 * for streams). A mapping remembers `MAX_PEERS` addresses; the one longest unused makes room.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { LARGE_PAYLOAD } from "../buffers.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import type { DropReason } from "../counters.ts";
import type { FlowEnding } from "../endings.ts";
import type { Flow, FlowInfo, RelayContext } from "../flow.ts";
import type { FlowKey } from "../flow_key.ts";
import type { Guest } from "../guest.ts";
import type { HostError, HostUdpHandler, HostUdpSocket } from "../host.ts";
import { Timer } from "../timers.ts";
import type { Target } from "../translate.ts";

/** Life of a mapping with one question and one answer, in milliseconds. */
export const UDP_QUERY_MS = 30_000;
/** Life of a mapping that carries a stream, in milliseconds. */
export const UDP_STREAM_MS = 120_000;
/** Addresses that a mapping remembers. */
export const MAX_PEERS = 64;

/** An address the guest has asked, and what stands for it on the host. */
interface Peer {
  readonly address: number;
  readonly port: number;
  readonly target: Target;
  usedAt: number;
}

/** A datagram of a guest: the payload `bytes[start, end)` and where it is to go. */
export interface GuestDatagram {
  /** The buffer; valid during the call. */
  readonly bytes: Uint8Array;
  /** Offset of the payload. */
  readonly start: number;
  /** Offset after the payload. */
  readonly end: number;
  /** The address asked, as a 32-bit number. */
  readonly destination: number;
  /** The port asked. */
  readonly port: number;
}

/** One guest address and port, and its host socket. */
export class UdpRelay implements Flow, HostUdpHandler {
  /** The flow's key; its remote address and port are 0. */
  readonly key: FlowKey;
  /** It is the guest's. */
  readonly forward = null;
  /** The guest began it. */
  readonly known = true;
  /** When it was last used, in `now()` time. */
  usedAt: number;

  #context: RelayContext;
  #guest: Guest;
  #guestAddress: number;
  #sockets: { 4: HostUdpSocket | null; 6: HostUdpSocket | null } = { 4: null, 6: null };
  #peers: Peer[] = [];
  #timer: Timer;
  #since: number;
  #sent = 0;
  #received = 0;
  #bytesFromGuest = 0;
  #bytesToGuest = 0;
  #ended = false;

  /** A mapping without a socket. */
  constructor(context: RelayContext, flow: { guest: Guest; key: FlowKey }) {
    this.#context = context;
    this.#guest = flow.guest;
    this.key = flow.key;
    this.#guestAddress = flow.key.guestAddress.ipv4;
    this.usedAt = this.#since = context.now();
    this.#timer = new Timer(this);
    this.#arm();
  }

  /** What `flows()` shows. */
  info(): FlowInfo {
    const now = this.#context.now();
    const peer = this.#peers.reduce<Peer | null>((a, b) => (a !== null && a.usedAt >= b.usedAt ? a : b), null);
    return {
      protocol: "udp",
      guestNumber: this.key.guest,
      guest: formatEndpoint(this.key.guestAddress, this.key.guestPort),
      target: peer === null ? "" : formatEndpoint(IpAddress.fromIpv4(peer.address), peer.port),
      host: peer === null ? "" : formatEndpoint(peer.target.address, peer.target.port),
      openedBy: "guest",
      state: "open",
      bytesFromGuest: this.#bytesFromGuest,
      bytesToGuest: this.#bytesToGuest,
      bytesToHost: this.#bytesFromGuest,
      bytesFromHost: this.#bytesToGuest,
      retransmissions: 0,
      ageMs: now - this.#since,
      idleMs: now - this.usedAt,
    };
  }

  /** Sends a datagram of the guest to `target`. Returns why not, or null. */
  send(datagram: GuestDatagram, target: Target): DropReason | null {
    const socket = this.#socketFor(target);
    if (socket === null) return "hostExhausted";
    this.#remember(datagram, target);
    this.#sent++;
    this.#used();
    if (this.#sent === 1) this.#context.flowOpened(this);
    if (!socket.send(datagram.bytes, datagram.start, datagram.end, target)) return "udpNotSent";
    this.#bytesFromGuest += datagram.end - datagram.start;
    return null;
  }

  /** A datagram came to the host socket. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: { address: IpAddress; port: number }): void {
    const peer = this.#peers.find((p) => p.target.port === from.port && p.target.address.equals(from.address));
    if (peer === undefined) {
      this.#context.counters.udpUnasked++;
      return;
    }
    peer.usedAt = this.#context.now();
    this.#received++;
    this.#used();
    const scratch = this.#context.tcp.scratch, length = end - start;
    if (length > LARGE_PAYLOAD) return this.#tooLarge();
    scratch.set(bytes.subarray(start, end), SEGMENT_HEADROOM);
    const path = {
      source: peer.address,
      sourcePort: peer.port,
      destination: this.#guestAddress,
      destinationPort: this.key.guestPort,
    };
    if (!this.#guest.out.udp(scratch, SEGMENT_HEADROOM, SEGMENT_HEADROOM + length, path)) return this.#tooLarge();
    this.#bytesToGuest += length;
  }

  /** The host has learnt that a datagram did not arrive. */
  hostDatagramFailed(_error: HostError): void {
    this.#context.counters.udpNotSent++;
  }

  /** The mapping may have been idle for long enough. */
  timerFired(now: number): void {
    if (now - this.usedAt >= this.#lifeMs()) this.abort("idle");
    else this.#arm();
  }

  /** Closes the socket and forgets the mapping. */
  abort(ending: FlowEnding): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#context.timers.cancel(this.#timer);
    this.#sockets[4]?.close();
    this.#sockets[6]?.close();
    this.#context.flowEnded(this, ending);
  }

  /** Datagrams leave at once: nothing is ever due. */
  endTurn(): void {}

  #socketFor(target: Target): HostUdpSocket | null {
    const family = target.address.isIpv4 ? 4 : 6;
    const open = this.#sockets[family];
    if (open !== null) return open;
    const socket = this.#context.host.openUdp(family, this);
    if (typeof socket === "string") return null;
    return this.#sockets[family] = socket;
  }

  #remember(datagram: GuestDatagram, target: Target): void {
    const now = this.#context.now();
    for (const peer of this.#peers) {
      if (peer.port === datagram.port && peer.address === datagram.destination) {
        peer.usedAt = now;
        return;
      }
    }
    if (this.#peers.length >= MAX_PEERS) {
      let stalest = 0;
      for (let i = 1; i < this.#peers.length; i++) {
        if (this.#peers[i]!.usedAt < this.#peers[stalest]!.usedAt) stalest = i;
      }
      this.#peers.splice(stalest, 1);
    }
    this.#peers.push({ address: datagram.destination, port: datagram.port, target, usedAt: now });
  }

  #tooLarge(): void {
    this.#context.counters.udpTooLarge++;
  }

  #used(): void {
    this.usedAt = this.#context.now();
  }

  #lifeMs(): number {
    return this.#sent <= 1 && this.#received <= 1 ? UDP_QUERY_MS : UDP_STREAM_MS;
  }

  #arm(): void {
    this.#context.timers.schedule(this.#timer, this.usedAt + this.#lifeMs());
  }
}
