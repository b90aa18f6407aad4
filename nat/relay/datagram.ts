/**
 * What relays of datagrams have in common: a mapping of a guest's address and port (or identifier) to a socket of the host, whatever it talks to (RFC 4787 REQ-1:
 * endpoint-independent), and the addresses it asked (`peers.ts`).
 *
 * **Errors.** What the host learns of a datagram's fate is told to the guest by ICMP, which quotes the datagram as the guest sent it, addresses and ports as the guest
 * sees them, without its payload (RFC 792: the header and 64 bits are enough). An error never ends a mapping (RFC 4787 REQ-12).
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { encodeIpv4, IPV4_HEADER_LENGTH, Ipv4Header } from "../../net/wire/ipv4.ts";
import type { DropReason } from "../base/counters.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { RelayContext } from "../flow/context.ts";
import type { GuestSide, Mapping } from "../flow/flow.ts";
import type { HostError } from "../host.ts";
import { icmpErrorFor } from "../ip/icmp_error.ts";
import type { Target } from "../rules/translate.ts";
import { DatagramFlow } from "./datagram_flow.ts";
import { type Peer, Peers } from "./peers.ts";

/** Bytes of a transport header that an ICMP error quotes. */
const QUOTED_TRANSPORT = 8;

const header = new Ipv4Header();

/** A guest's mapping and its host sockets. The remote address and port of its key are 0. */
export abstract class DatagramRelay extends DatagramFlow implements Mapping {
  /** It is the guest's. */
  override readonly forward = null;
  /** The guest began it. */
  override readonly known = true;
  /** What the guest has asked. */
  readonly peers: Peers = new Peers();
  /** For the list of mappings by use. */
  newer: Mapping | null = null;
  /** For the list of mappings by use. */
  older: Mapping | null = null;
  /** The guest's address as a 32-bit number. */
  protected readonly guestAddress: number;
  #opened = false;

  /** A mapping without a socket. */
  constructor(context: RelayContext, flow: { guest: GuestSide; key: FlowKey }) {
    super(context, flow);
    this.guestAddress = flow.key.guestAddress.ipv4;
  }

  /** Writes 8 bytes of transport header to `into[at]`, as the guest sent them to `peer`. `sequence` is what the host told. */
  protected abstract quote(into: Uint8Array, at: number, peer: Peer, sequence: number): void;

  /** The counter of what fails and cannot be told to the guest. */
  protected abstract get notSent(): DropReason;

  /** A datagram passes. */
  protected used(): void {
    this.usedAt = this.context.now();
    this.guest.use.mappings.use(this);
    if (this.#opened) return;
    this.#opened = true;
    this.context.flowOpened(this);
  }

  /** A datagram to `target` did not arrive: the guest learns it by ICMP where there is a message for it. */
  protected failed(error: HostError, target: Target, details: { mtu: number; sequence: number }): void {
    const peer = this.peers.answering(target.address, target.port);
    if (peer === undefined || !this.#tell(error, peer, details)) this.context.counters[this.notSent]++;
  }

  #tell(error: HostError, peer: Peer, { mtu, sequence }: { mtu: number; sequence: number }): boolean {
    const packet = { protocol: this.key.protocol, source: this.guestAddress, destination: peer.address };
    return tellGuest(this.guest, { error, mtu }, packet, (into, at) => this.quote(into, at, peer, sequence));
  }
}

/** A peer's address as the guest asked it, without a port; empty where there is none. */
export function peerAddress(peer: Peer | undefined): string {
  return peer === undefined ? "" : `${IpAddress.fromIpv4(peer.address)}`;
}

/**
 * Tells `guest` by ICMP what the host learnt of the fate of `packet`, which is quoted as the guest sent it; `quote` writes `QUOTED_TRANSPORT` bytes of its transport
 * header. Returns whether there is a message for it.
 */
export function tellGuest(
  guest: GuestSide,
  { error, mtu }: { error: HostError; mtu: number },
  { protocol, source, destination }: { protocol: number; source: number; destination: number },
  quote: (into: Uint8Array, at: number) => void,
): boolean {
  const icmp = icmpErrorFor(error, mtu);
  if (icmp === null) return false;
  const packet = new Uint8Array(IPV4_HEADER_LENGTH + QUOTED_TRANSPORT);
  header.protocol = protocol;
  header.source = source;
  header.destination = destination;
  header.totalLength = packet.length;
  encodeIpv4(packet, 0, header);
  quote(packet, IPV4_HEADER_LENGTH);
  // The port's refusal is its host's own word, everything else some router's.
  guest.sendIcmpError(icmp, packet, error === "refused" ? destination : undefined);
  return true;
}
