/**
 * The addresses that a guest has asked through one mapping, the latest first.
 *
 * A reply is accepted only from one of them, on whatever port (RFC 4787 REQ-8, address-dependent filtering): a TFTP
 * server answers from a port of its own (RFC 1350 section 4). It reaches the guest from exactly the address it asked.
 * If two addresses lead to the same place on the host, that is the one asked last. `MAX_PEERS` are remembered; the one
 * asked longest ago makes room. Looking one up moves it to the front, so a guest that talks to few finds each of them
 * at once.
 *
 * Each is a flow by itself for whoever asks where a guest goes (`flow/events.ts`): it has a number, a permit, and the
 * bytes that went there and came from there.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { Path } from "../ip/path.ts";
import type { Target } from "../rules/translate.ts";
import type { FlowPermit } from "../rules/verdict.ts";

/** Addresses that a mapping remembers. */
export const MAX_PEERS = 256;

/** An address the guest has asked, and what stands for it on the host. */
export interface Peer {
  /** Its number among flows and peers. */
  readonly number: number;
  /** What let the guest ask it. */
  readonly permit: FlowPermit;
  /** When the guest asked it first, in `now()` time. */
  readonly since: number;
  /** What the guest asked. */
  readonly address: IpAddress;
  /** The port it asked; 0 where there is none. */
  readonly port: number;
  /** The way between it and the guest. */
  readonly path: Path;
  /** What stands for it. */
  readonly target: Target;
  /** Of which version of the host's addresses it is known that the target is none of them. */
  hostVersion: number;
  /** Payload bytes that the host took for it. */
  bytesFromGuest: number;
  /** Payload bytes that the guest got from it. */
  bytesToGuest: number;
}

/** The peers of one mapping. */
export class Peers {
  #peers: Peer[] = [];

  /** The one asked last. */
  get latest(): Peer | undefined {
    return this.#peers[0];
  }

  /** The one that a packet with this key asks, which is the latest now. */
  ask(key: FlowKey): Peer | undefined {
    const peers = this.#peers, port = key.remotePort;
    for (let i = 0; i < peers.length; i++) {
      const peer = peers[i]!;
      if (peer.port !== port || !key.isTo(peer.address)) continue;
      for (let j = i; j > 0; j--) peers[j] = peers[j - 1]!;
      return peers[0] = peer;
    }
    return undefined;
  }

  /** Adds one that is not there yet, as the latest. Returns the one that makes room, if one must. */
  add(peer: Peer): Peer | undefined {
    this.#peers.unshift(peer);
    return this.#peers.length > MAX_PEERS ? this.#peers.pop() : undefined;
  }

  /** Forgets one. */
  remove(peer: Peer): void {
    this.#peers.splice(this.#peers.indexOf(peer), 1);
  }

  /** All of them, the one asked last first. */
  all(): readonly Peer[] {
    return [...this.#peers];
  }

  /** The one asked last of those for which this address of the host stands. */
  answering(address: IpAddress, port: number): Peer | undefined {
    const peers = this.#peers;
    for (let i = 0; i < peers.length; i++) {
      const target = peers[i]!.target;
      if (target.port === port && target.address.equals(address)) return peers[i];
    }
    return undefined;
  }

  /** The one asked last of those for which this address of the host stands, on whatever port. */
  at(address: IpAddress): Peer | undefined {
    const peers = this.#peers;
    for (let i = 0; i < peers.length; i++) if (peers[i]!.target.address.equals(address)) return peers[i];
    return undefined;
  }

  /** Whether the guest has asked the address that this key is to, on whatever port. */
  has(key: FlowKey): boolean {
    for (const peer of this.#peers) if (key.isTo(peer.address)) return true;
    return false;
  }
}
