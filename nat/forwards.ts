/**
 * Forwards: clients of the host's ports, on their way to a guest.
 *
 * Listening is the host's business (`forward/port_forwards.ts`); here is what a client meets that has come. A forward names a guest port, and maybe the guest's address.
 *
 * **Which guest.** The one that has the named address; where none is known to have it, the only guest, or the only one whose address is not known yet. Without a named
 * address the only guest, at its address, or at the one that DHCP would give it. Where that leaves no guest or several, the client is reset.
 *
 * **As whom the guest sees the client.** With its own address and port, so that the guest can tell clients apart and log them. As the gateway where the guest could not answer
 * that address: loopback, IPv6, what is never relayed, and the guest's own subnet. Where the key is taken, by another client or a connection of
 * the guest, another port is drawn.
 *
 * **Limits** are those of all flows. A flow that the guest has not answered yet holds nothing of the guest: see `Flow.known`.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { PROTOCOL_TCP } from "../net/wire/ipv4.ts";
import type { DropReason } from "./base/counters.ts";
import type { RelayContext } from "./flow/context.ts";
import type { Flow, ForwardTarget, GuestSide } from "./flow/flow.ts";
import { FlowKey } from "./flow/flow_key.ts";
import type { HostEndpoint, HostTcpHandler, HostTcpSocket } from "./host.ts";
import { findReserved } from "./rules/policy.ts";
import { TcpRelay } from "./relay/tcp.ts";
import { TcpHostOpening } from "./relay/tcp_host_opening.ts";
import { isGuestAddress, type TranslationRules } from "./rules/translate.ts";

/** Ports that are drawn where the client's own is taken: those that need no privilege. */
const FIRST_DRAWN = 1024;
const DRAWN = 65536 - FIRST_DRAWN;

/** A guest as forwards see it. */
export interface ForwardGuest extends GuestSide {
  /** Its IPv4 address as a number; 0 until it is known. */
  readonly address: number;
}

/** What forwards need of the gateway. */
export interface ForwardContext extends RelayContext {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** The guests that are attached. */
  guests(): ForwardGuest[];
  /** Every flow. */
  allFlows(): Flow[];
  /** An unpredictable unsigned 32-bit number. */
  random(): number;
  /** Why there can be no further flow, or null. */
  refusesFlow(): DropReason | null;
  /** Whether a flow has this key. */
  isTaken(key: FlowKey): boolean;
  /** Takes a flow into the table. */
  enter(flow: Flow): void;
}

/** The forwards of a gateway. */
export class Forwards {
  #context: ForwardContext;
  #live = new Set<ForwardTarget>();

  /** None yet. */
  constructor(context: ForwardContext) {
    this.#context = context;
  }

  /** Why a forward cannot lead to `address`, in words, or null. */
  problemOf(address: IpAddress): string | null {
    const { rules } = this.#context;
    if (isGuestAddress(rules, address.ipv4)) return null;
    return `${address} is no address of a guest, which is one of ${rules.subnet} other than ${rules.gateway} and ${rules.dns}`;
  }

  /** From now on the guest may use the address that `forward` names. */
  add(forward: ForwardTarget): void {
    this.#live.add(forward);
  }

  /** No client comes to `forward` any more; those that did go on, or are reset. */
  remove(forward: ForwardTarget, { reset }: { reset: boolean }): void {
    this.#live.delete(forward);
    if (!reset) return;
    for (const flow of this.#context.allFlows()) if (flow.forward === forward) flow.abort("forwardRemoved");
  }

  /** A client has come to a TCP forward: begins a flow, or resets the client and answers null. */
  acceptTcp(forward: ForwardTarget, socket: HostTcpSocket, client: HostEndpoint): HostTcpHandler | null {
    const place = this.place(forward, PROTOCOL_TCP, client);
    if (typeof place === "string") {
      this.#context.counters[place]++;
      socket.reset();
      return null;
    }
    const context = this.#context, opening = new TcpHostOpening(context, socket);
    const relay = new TcpRelay(context, { ...place, hostEnd: client, forward, opening });
    context.enter(relay);
    relay.open();
    return relay;
  }

  /** The host could not accept a client of `forward`. */
  acceptFailed(forward: ForwardTarget): void {
    this.#context.counters.hostExhausted++;
    this.#context.log.warn(() => `Turned a client of ${forward.name} away: the host has no descriptor or memory left`);
  }

  /** The guest and the key of a new flow for `client`, or why there is none. */
  place(
    forward: ForwardTarget,
    protocol: number,
    client: HostEndpoint,
  ): { guest: ForwardGuest; key: FlowKey } | DropReason {
    const guest = this.#guestOf(forward);
    if (guest === null) return "forwardNoGuest";
    const refusal = this.#context.refusesFlow();
    if (refusal !== null) {
      this.#context.log.warn(() => `Turned a client of ${forward.name} away: there are too many flows (--max-flows)`);
      return refusal;
    }
    const { rules } = this.#context;
    const address = forward.guestAddress ?? (guest.address === 0 ? rules.guest : IpAddress.fromIpv4(guest.address));
    const key = this.#freeKey(guest, protocol, { address, port: forward.guestPort }, client);
    return key === null ? "forwardNoPort" : { guest, key };
  }

  #guestOf({ name, guestAddress }: ForwardTarget): ForwardGuest | null {
    const all = this.#context.guests();
    let fitting = all;
    if (guestAddress !== null) {
      fitting = all.filter((guest) => guest.address === guestAddress.ipv4);
      if (fitting.length === 0) fitting = all.length === 1 ? all : all.filter((guest) => guest.address === 0);
    }
    if (fitting.length === 1) return fitting[0]!;
    this.#context.log.warn(() =>
      `Turned a client of ${name} away: ` +
      (fitting.length === 0 ? "there is no guest for it" : `${fitting.length} guests could be meant`)
    );
    return null;
  }

  #freeKey(guest: ForwardGuest, protocol: number, target: HostEndpoint, client: HostEndpoint): FlowKey | null {
    const context = this.#context, key = new FlowKey(), seen = seenAddress(context.rules, client.address);
    const set = (port: number) => key.set(guest.number, protocol, target.address, target.port, seen, port);
    if (!context.isTaken(set(client.port))) return key;
    const start = context.random();
    for (let i = 0; i < DRAWN; i++) if (!context.isTaken(set(FIRST_DRAWN + (start + i) % DRAWN))) return key;
    return null;
  }
}

/** As which address a guest sees a client of the host. */
export function seenAddress({ subnet, gateway }: TranslationRules, client: IpAddress): IpAddress {
  const answerable = client.isIpv4 && findReserved(4, client) === undefined && !subnet.contains(client);
  return answerable ? client : gateway;
}
