/**
 * What relays of datagrams have in common: a mapping of a guest's address and port (or identifier) to a socket of the
 * host, whatever it talks to (RFC 4787 REQ-1: endpoint-independent), and the addresses it asked (`peers.ts`).
 *
 * **Errors.** What the host learns of a datagram's fate is told to the guest by ICMP, which quotes the datagram as the
 * guest sent it, addresses and ports as the guest sees them, without its payload (RFC 792: the header and 64 bits are
 * enough). An error never ends a mapping (RFC 4787 REQ-12).
 *
 * **Peers** begin with a permit and hold the bindings of names in it. They end when they have to make room, when other
 * rules forbid them, and with the mapping.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import { formatEndpoint, type IpAddress } from "../../net/wire/address.ts";
import type { FlowEnding } from "../flow/endings.ts";
import type { PeerOpened } from "../flow/events.ts";
import type { FlowJudge, ForwardTarget, GuestSide, Mapping } from "../flow/flow.ts";
import { FlowKey } from "../flow/flow_key.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import type { HostError } from "../host.ts";
import { familyOf, type IpFamily } from "../rules/policy.ts";
import type { Path } from "../ip/path.ts";
import type { Target } from "../rules/translate.ts";
import type { FlowPermit } from "../rules/verdict.ts";
import { DatagramFlow } from "./datagram_flow.ts";
import { type Peer, Peers } from "./peers.ts";

/** Bytes of a transport header that an ICMP error quotes. */
export const QUOTED_TRANSPORT = 8;

/** How much longer an IPv6 header is than an IPv4 header. */
const IPV6_SURPLUS = 20;

/** The packets of `family` that carry what packets of `mtu` bytes to `target`, perhaps of the other family, can. */
export function mtuIn(family: IpFamily, mtu: number, target: IpAddress): number {
  if (mtu === 0 || familyOf(target) === family) return mtu;
  return family === 6 ? mtu + IPV6_SURPLUS : Math.max(0, mtu - IPV6_SURPLUS);
}

/** A guest's mapping and its host sockets. The remote address and port of its key are 0. */
export abstract class DatagramRelay extends DatagramFlow implements Mapping {
  /** It is the guest's. */
  override readonly forward: ForwardTarget | null = null;
  /** What the guest has asked. */
  readonly peers: Peers = new Peers();
  /** For the list of mappings by use. */
  newer: Mapping | null = null;
  /** For the list of mappings by use. */
  older: Mapping | null = null;

  /** A mapping without a datagram. */
  constructor(context: RelayContext, flow: { guest: GuestSide; key: FlowKey }) {
    super(context, { ...flow, known: true });
  }

  /**
   * Writes 8 bytes of transport header to `into[at]`, as the guest sent them to `peer`. `sequence` is what the host
   * told.
   */
  protected abstract quote(into: Uint8Array, at: number, peer: Peer, sequence: number): void;

  /** The counter of what fails and cannot be told to the guest. */
  protected abstract get notSent(): DropReason;

  /** Its protocol, as events name it. */
  protected abstract get protocol(): PeerOpened["protocol"];

  /** It makes no room any more, and its peers end with it. */
  protected override forget(ending: FlowEnding): void {
    this.guest.use.mappings.remove(this);
    for (const peer of this.peers.all()) this.#peerEnded(peer, ending);
  }

  /** The guest asks a new destination, that of `key`, over `path`. */
  addPeer(key: FlowKey, path: Path, permit: FlowPermit): Peer {
    const { registry, events } = this.context, now = this.context.now();
    const peer: Peer = {
      number: registry.nextNumber(),
      permit,
      since: now,
      address: key.remoteAddress,
      port: key.remotePort,
      path,
      target: permit.targets[0]!,
      hostVersion: NaN,
      bytesFromGuest: 0,
      bytesToGuest: 0,
    };
    this.guest.bindings.hold(permit.holds, now);
    const dropped = this.peers.add(peer);
    if (dropped !== undefined) this.#peerEnded(dropped, "evicted");
    if (permit.wouldRefuse !== null) registry.wouldRefuse(key, permit.wouldRefuse);
    events.emit("peerOpened", () => ({ type: "peerOpened", ...this.#factsOf(peer) }));
    return peer;
  }

  /** The guest may not ask `peer` any more, and hears nothing more of it. */
  dropPeer(peer: Peer, ending: FlowEnding): void {
    this.peers.remove(peer);
    this.#peerEnded(peer, ending);
  }

  /** Ends the peers that do not go on under other rules. The mapping stays for others. */
  override rejudge(judge: FlowJudge): number {
    const { guest, family, protocol, guestAddress, guestPort } = this.key, key = new FlowKey();
    let ended = 0;
    for (const peer of this.peers.all()) {
      key.set(guest, protocol, guestAddress, guestPort, peer.address, peer.port, family);
      if (judge.goesOn(this.guest, key, peer.permit, null)) continue;
      this.dropPeer(peer, "rulesChanged");
      ended++;
    }
    return ended;
  }

  #peerEnded(peer: Peer, ending: FlowEnding): void {
    this.guest.bindings.letGo(peer.permit.holds);
    this.context.events.emit("peerEnded", () => {
      const { bytesFromGuest, bytesToGuest, since } = peer, durationMs = this.context.now() - since;
      return { type: "peerEnded", ...this.#factsOf(peer), bytesFromGuest, bytesToGuest, durationMs, ending };
    });
  }

  #factsOf({ number, permit, address, port, target }: Peer): Omit<PeerOpened, "type"> {
    const { guest: guestNumber, guestAddress, guestPort } = this.key, { names, rule, wouldRefuse } = permit;
    return {
      number,
      protocol: this.protocol,
      guestNumber,
      guest: formatEndpoint(guestAddress, guestPort),
      address: `${address}`,
      port,
      host: this.protocol === "icmp" ? `${target.address}` : formatEndpoint(target.address, target.port),
      names,
      rule,
      wouldRefuse,
    };
  }

  /** A datagram passes. */
  protected used(): void {
    const { record } = this;
    record.usedAt = this.context.now();
    this.guest.use.mappings.use(this);
    if (record.opened) return;
    record.opened = true;
    this.context.registry.opened(this);
  }

  /** A datagram to `target` did not arrive: the guest learns it by ICMP where there is a message for it. */
  protected failed(error: HostError, target: Target, details: { mtu: number; sequence: number }): void {
    const peer = this.peers.answering(target.address, target.port);
    if (peer === undefined || !this.#tell(error, peer, details)) this.context.counters[this.notSent]++;
  }

  #tell(error: HostError, peer: Peer, { mtu, sequence }: { mtu: number; sequence: number }): boolean {
    const transport = new Uint8Array(QUOTED_TRANSPORT);
    this.quote(transport, 0, peer, sequence);
    const { path, target } = peer;
    return path.error(error, mtuIn(path.family, mtu, target.address), this.key.protocol, transport);
  }
}
