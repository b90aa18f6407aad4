/**
 * UDP forwards: one host socket for all clients of a forward, one flow for each client.
 *
 * A client's datagram goes to the guest from the client's own address and port, or from the gateway's, see
 * `forwards.ts`. What the guest sends back to exactly that address and port, from the port that the forward leads to,
 * leaves from the forward's socket to the client. Other datagrams of the guest are none of this.
 *
 * **Time.** A flow lives as long as a guest's own mapping does (`udp_relay.ts`): 30 s after its last datagram while
 * there was no more than one question and one answer, 120 s once it is a stream.
 *
 * **A guest that does not answer** may be another one by now, with another network card, or have lost the address to
 * another guest (`address_owner.ts`): while it has been silent for `SILENT_MS`, datagrams to it are accompanied by an
 * ARP request, one a second.
 *
 * **A guest that refuses**: if it says by ICMP that nobody has the port, and has spoken over its other family too, the
 * client's flow ends and begins anew over that one. The datagram goes there if the message quotes it whole, as it does
 * with small ones; nothing is kept for this. A datagram has one other chance, and the client's next one has two again,
 * so a server is found whenever it comes, whichever family it listens on.
 *
 * **Limits.** At most `MAX_CLIENTS` flows a forward; the stalest makes room. A forward that is removed ends its flows,
 * since they have no socket of their own.
 *
 * **Errors.** Of an answer that did not reach its client, or was too large for the path, the guest is told by ICMP
 * where the host learns of it, as of its own datagrams.
 *
 * Left out: telling a client by ICMP that the guest's port is closed, which a host socket cannot; that a guest said so
 * is counted (`icmp_error.ts`) if nothing else is tried. Datagrams of a client that are on their way to the guest while
 * it refuses the first of them, and large ones that it refuses, are lost; UDP clients ask again. A forward on a
 * wildcard address answers from the address that the host's routes choose, which on a host with several is not always
 * the one that was asked.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { encodeUdp, UDP_HEADER_LENGTH, udpLength } from "../../net/wire/udp.ts";
import type { DropReason } from "../base/counters.ts";
import type { FlowInfo, ForwardTarget, GuestSide } from "../flow/flow.ts";
import { FlowKey } from "../flow/flow_key.ts";
import { FlowTable } from "../flow/flow_table.ts";
import type { ForwardContext, Forwards } from "../forwards.ts";
import type { Packet } from "../ip/packet.ts";
import type { Path } from "../ip/path.ts";
import type { HostEndpoint, HostError, HostUdpHandler, HostUdpSocket } from "../host.ts";
import { RecencyList, type Recent } from "../base/recency_list.ts";
import { mtuIn, QUOTED_TRANSPORT } from "./datagram_relay.ts";
import { DatagramFlow } from "./datagram_flow.ts";
import { sendToGuest, udpLifeMs } from "./udp_relay.ts";

/** Clients of one forward at once. */
export const MAX_CLIENTS = 1024;

/** Time in milliseconds after which a guest is asked by ARP whether it is still there. */
const SILENT_MS = 1000;
const NO_ADDRESS = IpAddress.parse("::");

/** What UDP forwards need of the gateway. */
export interface UdpForwardContext extends ForwardContext {
  /** Where their clients are found. */
  readonly udpFlows: { enterClient(flow: UdpForwardFlow): void };
}

/** A UDP forward: the handler of its host socket. */
export class UdpForward implements HostUdpHandler {
  #context: UdpForwardContext;
  #forwards: Forwards;
  #target: ForwardTarget;
  #clients: FlowTable<UdpForwardFlow>;
  #byUse = new RecencyList<UdpForwardFlow>();
  #key = new FlowKey();

  /** Without a client. */
  constructor(context: UdpForwardContext, forwards: Forwards, target: ForwardTarget) {
    this.#context = context;
    this.#forwards = forwards;
    this.#target = target;
    this.#clients = new FlowTable(context.random());
  }

  /** The host socket, which the owner opens and closes; set before the first datagram. */
  socket: HostUdpSocket | null = null;

  /** A client's datagram: to the guest. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    const flow = this.#clients.get(this.#keyOf(from)) ?? this.#open(from);
    if (typeof flow === "string") this.#context.counters[flow]++;
    else flow.sendToGuest(bytes, start, end);
  }

  /** An answer did not reach its client. */
  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void {
    if (!this.#clients.get(this.#keyOf(to))?.tellGuest(error, mtu)) this.#context.counters.udpNotSent++;
  }

  /** For a flow: a datagram has passed. */
  used(flow: UdpForwardFlow): void {
    this.#byUse.use(flow);
  }

  /** For a flow: the client is forgotten. */
  forget(client: HostEndpoint, flow: UdpForwardFlow): void {
    this.#clients.delete(this.#keyOf(client));
    this.#byUse.remove(flow);
  }

  /** For a flow whose family the guest refuses: begins another one over the other. Null: there is none. */
  openOther(client: HostEndpoint, flow: UdpForwardFlow): UdpForwardFlow | null {
    const place = this.#forwards.place(this.#target, PROTOCOL_UDP, client, flow.key.family);
    if (place === null || typeof place === "string") return null;
    flow.abort("refusedByGuest");
    return this.#begin(client, place);
  }

  #open(client: HostEndpoint): UdpForwardFlow | DropReason {
    if (this.#clients.size >= MAX_CLIENTS) this.#byUse.oldest?.abort("evicted");
    const place = this.#forwards.place(this.#target, PROTOCOL_UDP, client)!;
    return typeof place === "string" ? place : this.#begin(client, place);
  }

  #begin(client: HostEndpoint, place: { guest: GuestSide; key: FlowKey }): UdpForwardFlow {
    const flow = new UdpForwardFlow(this.#context, { ...place, client, owner: this, forward: this.#target });
    this.#clients.set(this.#keyOf(client), flow);
    this.#byUse.add(flow);
    flow.open();
    this.#context.udpFlows.enterClient(flow);
    return flow;
  }

  /** Clients are found by address and port alone. */
  #keyOf({ address, port }: HostEndpoint): FlowKey {
    return this.#key.set(0, PROTOCOL_UDP, address, port, NO_ADDRESS, 0);
  }
}

/**
 * One client of a UDP forward. Its key: guest and guest port, and as which address and port the guest sees the client.
 */
export class UdpForwardFlow extends DatagramFlow implements Recent<UdpForwardFlow> {
  /** The forward. */
  override readonly forward: ForwardTarget;
  /** For the forward's list of clients by use. */
  newer: UdpForwardFlow | null = null;
  /** For the forward's list of clients by use. */
  older: UdpForwardFlow | null = null;

  #client: HostEndpoint;
  #path: Path;
  #owner: UdpForward;

  /** A flow without a datagram. */
  constructor(
    context: UdpForwardContext,
    flow: { guest: GuestSide; key: FlowKey; client: HostEndpoint; owner: UdpForward; forward: ForwardTarget },
  ) {
    super(context, { ...flow, known: false });
    this.forward = flow.forward;
    this.#client = flow.client;
    this.#path = flow.guest.path(flow.key);
    this.#owner = flow.owner;
  }

  /** Sends a datagram of the client. */
  sendToGuest(bytes: Uint8Array, start: number, end: number): void {
    const { record } = this;
    record.isRetry = false;
    record.fromHost++;
    this.#used();
    const { remotePort, guestPort } = this.key;
    record.bytesToGuest += sendToGuest(this.context, this.#path, bytes, start, end, remotePort, guestPort);
    if (record.usedAt - record.heardAt >= SILENT_MS) this.#path.ask();
  }

  /**
   * The guest refuses the datagram whose UDP header, and what was quoted of the rest, is `bytes[start, end)`. Returns
   * whether it is tried over another family.
   */
  refused(bytes: Uint8Array, start: number, end: number): boolean {
    // One datagram has one other chance.
    const other = this.record.isRetry ? null : this.#owner.openOther(this.#client, this);
    if (other === null) return false;
    const whole = start + udpLength(bytes, start), payload = start + UDP_HEADER_LENGTH;
    if (whole < payload || whole > end) return true;
    other.sendToGuest(bytes.slice(payload, whole), 0, whole - payload);
    other.record.isRetry = true;
    return true;
  }

  /**
   * The host has learnt that an answer did not reach the client. Returns whether there is an ICMP message that tells
   * the guest.
   */
  tellGuest(error: HostError, mtu: number): boolean {
    const { guestPort, remotePort } = this.key, transport = new Uint8Array(QUOTED_TRANSPORT);
    encodeUdp(transport, 0, guestPort, remotePort, UDP_HEADER_LENGTH);
    const path = this.#path;
    return path.error(error, mtuIn(path.family, mtu, this.#client.address), PROTOCOL_UDP, transport);
  }

  /** Sends a datagram of the guest to the client. Returns why not, or null. */
  answer({ bytes, payload, end }: Packet): DropReason | null {
    const { record } = this;
    record.known = true;
    record.fromGuest++;
    this.#used();
    record.heardAt = record.usedAt;
    if (!this.#owner.socket?.send(bytes, payload, end, this.#client)) return "udpNotSent";
    record.bytesFromGuest += end - payload;
    return null;
  }

  /** How long it lives after its last datagram. */
  protected override get lifeMs(): number {
    return udpLifeMs(this.record.fromHost, this.record.fromGuest);
  }

  /** What is its own in `flows()`. */
  protected override describe(): Pick<FlowInfo, "protocol" | "target" | "host"> {
    return {
      protocol: "udp",
      target: formatEndpoint(this.key.remoteAddress, this.key.remotePort),
      host: formatEndpoint(this.#client.address, this.#client.port),
    };
  }

  /** Forgets the client. */
  protected override release(): void {
    this.#owner.forget(this.#client, this);
  }

  #used(): void {
    this.record.usedAt = this.context.now();
    this.#owner.used(this);
  }
}
