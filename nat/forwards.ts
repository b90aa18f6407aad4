/**
 * Forwards: clients of the host's ports, on their way to a guest.
 *
 * Listening is the host's business (`forward/port_forwards.ts`); here is what a client meets that has come. A forward
 * names a guest port, and maybe the guest's address.
 *
 * **Which guest.** The only one; of several the owner of the named address, or of none in particular
 * (`address_owner.ts`). While the owner is being looked for, a TCP client waits, `connectTimeoutMs` at most; a
 * datagram goes to the one that it has been, or is dropped (`guestUnresolved`), because UDP clients ask again. Without
 * a guest the client is reset. UDP flows to a guest that has lost the address end, so that their clients' next
 * datagrams go to its new owner.
 *
 * **At which address.** The named one. Without one, at the address that the guest spoke from last, of the family of
 * the client, if it has spoken over that one, else of the other; or, if it has not spoken at all, at the one that DHCP
 * would give it, of IPv4 if it has that. Over IPv6 an address of the subnet goes before one of the link alone; a guest
 * that has only spoken from one of the link is asked whether it has the one of DHCP, which it then speaks from.
 *
 * **Whichever family its server listens on.** If a guest that has spoken over both families refuses a TCP client over
 * one, it is asked over the other, in a flow of its own, before the client hears anything. UDP: `relay/udp_forward.ts`.
 * A guest that has spoken over IPv6 alone may have IPv4 and had nothing to say yet, as one that has solicited routers
 * and has a static address. So it is asked for the address of DHCP when a client comes, and has answered by the time
 * that it refuses the client over IPv6.
 *
 * **As whom the guest sees the client.** With its own address and port, so that the guest can tell clients apart and
 * log them. As the gateway if the guest could not answer that address: one of the other family, loopback, what is never
 * relayed, and the guest's own subnet. A guest that is asked at a link-local address sees the router's. If the key is
 * taken, by another client or a connection of the guest, another port is drawn. While guests are told of no way to
 * IPv6 beyond the gateway, because the host has none (`service/router.ts`), that is who all clients of IPv6 are.
 *
 * **Limits** are those of all flows, of which clients leave a share to the guest itself (`flow/quota.ts`).
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/wire/ipv4.ts";
import type { DropReason } from "./base/counters.ts";
import type { RelayContext } from "./flow/relay_context.ts";
import { AddressOwner, type ForwardGuest, MAX_SEEKERS, type Seeker } from "./address_owner.ts";
import type { Events } from "./flow/events.ts";
import type { ForwardTarget, GuestSide } from "./flow/flow.ts";
import { FlowKey } from "./flow/flow_key.ts";
import type { HostEndpoint, HostError, HostTcpHandler, HostTcpSocket, Ipv6Routes } from "./host.ts";
import { familyOf, findReserved, type IpFamily } from "./rules/policy.ts";
import type { TcpFlows } from "./relay/tcp_flows.ts";
import type { TcpRetry } from "./relay/tcp_relay.ts";
import { isHidden, isOfGateway, LINK_LOCAL, ROUTER_LINK_LOCAL, segmentOf } from "./rules/segment.ts";
import type { TranslationRules } from "./rules/translate.ts";

/** Ports that are drawn where the client's own is taken: those that need no privilege. */
const FIRST_DRAWN = 1024;
const DRAWN = 65536 - FIRST_DRAWN;
const ANY_ADDRESS = "";
const NO_GUEST = "there is no guest for it";

/** What forwards need of the gateway. */
export interface ForwardContext extends RelayContext {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** Whether guests have a way to IPv6 beyond the gateway. */
  readonly ipv6Routes: Ipv6Routes;
  /** The guests that are attached, the newest last. */
  guests(): ForwardGuest[];
  /** The TCP flows. */
  readonly tcpFlows: Pick<TcpFlows, "accept">;
  /** Who is told of what happens. */
  readonly events: Events;
  /** An unpredictable unsigned 32-bit number. */
  random(): number;
  /** Why no further client can have a flow to `guest`, or null. */
  refusesClient(guest: GuestSide): DropReason | null;
  /** Whether a flow has this key. */
  isTaken(key: FlowKey): boolean;
}

/** A TCP client of a forward. */
export interface ForwardClient {
  /** The forward that it came to. */
  readonly forward: ForwardTarget;
  /** Its connection. */
  readonly socket: HostTcpSocket;
  /** Where it is. */
  readonly client: HostEndpoint;
}

/** The forwards of a gateway. */
export class Forwards {
  #context: ForwardContext;
  #live = new Set<ForwardTarget>();
  /** By address as text, `""` for none in particular; of those that live forwards name, and that clients came for. */
  #owners = new Map<string, AddressOwner>();

  /** None yet. */
  constructor(context: ForwardContext) {
    this.#context = context;
  }

  /** From now on clients may come to `forward`. */
  add(forward: ForwardTarget): void {
    this.#live.add(forward);
    this.#ownerFor(forward);
    this.#context.events.emit("forwardAdded", () => ({ type: "forwardAdded", forward: forward.name }));
  }

  /** No client comes to `forward` any more; those that have a guest go on, or are reset. */
  remove(forward: ForwardTarget, { reset }: { reset: boolean }): void {
    if (this.#live.delete(forward)) {
      this.#context.events.emit("forwardRemoved", () => ({ type: "forwardRemoved", forward: forward.name }));
    }
    const address = addressOf(forward);
    this.#owners.get(address)?.dismiss((seeker) => seeker.forward === forward, "the forward is removed");
    if (![...this.#live].some((other) => addressOf(other) === address)) {
      this.#owners.get(address)?.dispose();
      this.#owners.delete(address);
    }
    if (!reset) return;
    for (const flow of this.#context.registry.all()) if (flow.forward === forward) flow.abort("forwardRemoved");
  }

  /** A client has come to a TCP forward: begins a flow, or resets the client and answers null. */
  acceptTcp(forward: ForwardTarget, socket: HostTcpSocket, client: HostEndpoint): HostTcpHandler | null {
    const owner = this.#ownerFor(forward), guest = owner.find();
    const deadline = this.#context.now() + this.#context.tcp.config.connectTimeoutMs;
    const arrived = new ArrivedClient(this, { forward, socket, client, owner, deadline });
    if (guest !== null) return arrived.open(guest);
    if (this.#context.guests().length === 0) return this.turnAway(arrived, NO_GUEST);
    if (owner.wait(arrived)) return arrived;
    return this.turnAway(arrived, `${MAX_SEEKERS} clients wait for its guest already`);
  }

  /**
   * For a client that has come: begins its flow to `guest` over `family`, or resets it and answers null. `retry` is for
   * a guest that refuses.
   */
  openTcp(
    guest: ForwardGuest,
    { forward, socket, client }: ForwardClient,
    { family, retry }: { family: IpFamily; retry: TcpRetry },
  ): HostTcpHandler | null {
    this.#askForIpv4(forward, guest);
    const key = this.#keyFor(forward, PROTOCOL_TCP, { client, guest, family });
    if (typeof key === "string") {
      this.#context.counters[key]++;
      socket.reset();
      return null;
    }
    return this.#context.tcpFlows.accept({ guest, key, forward, socket, client, retry });
  }

  /** Resets a client for which there is no guest, or no way to what it came for. */
  turnAway({ forward, socket }: ForwardClient, why: string, reason: DropReason = "forwardNoGuest"): null {
    this.#context.counters[reason]++;
    this.#warn(forward, why);
    socket.reset();
    return null;
  }

  /** The host could not accept a client of `forward`. */
  acceptFailed(forward: ForwardTarget): void {
    this.#context.counters.hostExhausted++;
    this.#context.log.warn(() => `Turned a client of ${forward.name} away: the host has no descriptor or memory left`);
  }

  /**
   * The guest and the key of a new flow for `client`, or why there is none; null: there is no family but the one that
   * it `refused`.
   */
  place(
    forward: ForwardTarget,
    protocol: number,
    client: HostEndpoint,
    refused?: IpFamily,
  ): { guest: ForwardGuest; key: FlowKey } | DropReason | null {
    const owner = this.#ownerFor(forward), guest = owner.find() ?? owner.known;
    if (guest !== null) {
      const family = this.familiesFor(forward, client, guest).find((family) => family !== refused);
      if (family === undefined) return null;
      this.#askForIpv4(forward, guest);
      const key = this.#keyFor(forward, protocol, { client, guest, family });
      return typeof key === "string" ? key : { guest, key };
    }
    if (this.#context.guests().length > 0) return "guestUnresolved";
    this.#warn(forward, NO_GUEST);
    return "forwardNoGuest";
  }

  /** `guest` has spoken from `address`, which it did not do in its packet before. */
  heard(guest: ForwardGuest, address: IpAddress): void {
    if (LINK_LOCAL.contains(address) && this.#owners.has(ANY_ADDRESS)) this.#askForAddress(guest);
    this.#owners.get(`${address}`)?.heard(guest);
    this.#owners.get(ANY_ADDRESS)?.heard(guest);
  }

  /** Asks a guest that has not spoken over IPv4, before it is sent a client over IPv6, whether it could. */
  #askForIpv4({ guestAddress }: ForwardTarget, guest: ForwardGuest): void {
    const { ipv4 } = this.#context.rules;
    if (ipv4 === null || guestAddress !== null || guest.address(4) !== null || guest.address(6) === null) return;
    guest.inquire(ipv4.guest);
  }

  #askForAddress(guest: ForwardGuest): void {
    const { ipv6 } = this.#context.rules, address = guest.address(6);
    if (ipv6 !== null && address !== null && LINK_LOCAL.contains(address)) guest.probe(ipv6.guest);
  }

  /** `guest` does not answer a client that was sent to `address`. */
  doubt(guest: ForwardGuest, address: IpAddress): void {
    this.#owners.get(`${address}`)?.doubt(guest);
    this.#owners.get(ANY_ADDRESS)?.doubt(guest);
  }

  /** `guest` is no longer attached. */
  gone(guest: ForwardGuest): void {
    for (const owner of this.#owners.values()) owner.gone(guest);
  }

  /** Over which families a client reaches `guest`, best first. */
  familiesFor({ guestAddress }: ForwardTarget, { address }: HostEndpoint, guest: ForwardGuest): readonly IpFamily[] {
    if (guestAddress !== null) return [familyOf(guestAddress)];
    const { rules } = this.#context, families: readonly IpFamily[] = address.isIpv4 ? [4, 6] : [6, 4];
    const heard = families.filter((family) => segmentOf(rules, family) !== null && guest.address(family) !== null);
    return heard.length > 0 ? heard : [rules.ipv4 === null ? 6 : 4];
  }

  #keyFor(
    forward: ForwardTarget,
    protocol: number,
    { client, guest, family }: { client: HostEndpoint; guest: ForwardGuest; family: IpFamily },
  ): FlowKey | DropReason {
    const refusal = this.#context.refusesClient(guest);
    if (refusal !== null) {
      this.#warn(forward, "there are too many flows (--max-flows)");
      return refusal;
    }
    const { guestAddress, guestPort: port } = forward;
    const address = guestAddress ?? guest.address(family) ?? segmentOf(this.#context.rules, family)!.guest;
    return this.#freeKey(guest, protocol, { address, port }, client) ?? "forwardNoPort";
  }

  #ownerFor(forward: ForwardTarget): AddressOwner {
    const address = addressOf(forward), known = this.#owners.get(address);
    if (known !== undefined) return known;
    const lost = (guest: ForwardGuest) => this.#endUdp(address, guest);
    const owner = new AddressOwner(this.#context, { address: forward.guestAddress, lost });
    this.#owners.set(address, owner);
    if (address === ANY_ADDRESS) { for (const guest of this.#context.guests()) this.#askForAddress(guest); }
    return owner;
  }

  /**
   * Ends the UDP flows of forwards to `address` at a guest that has lost it. TCP ends by itself, if the guest is dead.
   */
  #endUdp(address: string, guest: ForwardGuest): void {
    for (const flow of this.#context.registry.all()) {
      const isOfIt = flow.guest === guest && flow.forward !== null && addressOf(flow.forward) === address;
      if (isOfIt && flow.key.protocol === PROTOCOL_UDP) flow.abort("guestGone");
    }
  }

  #warn(forward: ForwardTarget, why: string): void {
    this.#context.log.warn(() => `Turned a client of ${forward.name} away: ${why}`);
  }

  #freeKey(guest: ForwardGuest, protocol: number, target: HostEndpoint, client: HostEndpoint): FlowKey | null {
    const context = this.#context,
      key = new FlowKey(),
      seen = seenAddress(context, client.address, target.address);
    const set = (port: number) => key.set(guest.number, protocol, target.address, target.port, seen, port);
    if (!context.isTaken(set(client.port))) return key;
    const start = context.random();
    for (let i = 0; i < DRAWN; i++) if (!context.isTaken(set(FIRST_DRAWN + (start + i) % DRAWN))) return key;
    return null;
  }
}

/**
 * A TCP client on its way to a guest. Until that is found its socket is not read. Then this stands between the socket
 * and the relay, of which there may be a second one over the other family.
 */
class ArrivedClient implements HostTcpHandler, Seeker, ForwardClient, TcpRetry {
  readonly deadline: number;
  readonly forward: ForwardTarget;
  readonly socket: HostTcpSocket;
  readonly client: HostEndpoint;
  readonly #forwards: Forwards;
  readonly #owner: AddressOwner;
  readonly #tried: IpFamily[] = [];
  #guest: ForwardGuest | null = null;
  #relay: HostTcpHandler | null = null;

  constructor(forwards: Forwards, parts: ForwardClient & { owner: AddressOwner; deadline: number }) {
    this.deadline = parts.deadline;
    this.forward = parts.forward;
    this.socket = parts.socket;
    this.client = parts.client;
    this.#forwards = forwards;
    this.#owner = parts.owner;
  }

  get payer(): object | undefined {
    return this.#relay?.payer;
  }

  /** Begins its flow to `guest`. Returns who is told of its socket from now on; null: it was reset. */
  open(guest: ForwardGuest): HostTcpHandler | null {
    const [family] = this.#familiesLeft(guest);
    this.#guest = guest;
    this.#tried.push(family!);
    this.#relay = this.#forwards.openTcp(guest, this, { family: family!, retry: this });
    return this.#relay === null ? null : this;
  }

  isPossible(): boolean {
    return this.#familiesLeft(this.#guest!).length > 0;
  }

  retry(): void {
    this.open(this.#guest!);
  }

  #familiesLeft(guest: ForwardGuest): IpFamily[] {
    const families = this.#forwards.familiesFor(this.forward, this.client, guest);
    return families.filter((family) => !this.#tried.includes(family));
  }

  found(guest: ForwardGuest): void {
    this.open(guest);
  }

  notFound(why: string): void {
    this.#forwards.turnAway(this, why);
  }

  hostReadable(): void {
    this.#relay?.hostReadable();
  }

  hostWritable(): void {
    this.#relay?.hostWritable();
  }

  hostFailed(error: HostError): void {
    if (this.#relay !== null) return this.#relay.hostFailed(error);
    // The client has given up.
    this.#owner.leave(this);
    this.socket.close();
  }
}

/** The address whose owner clients of `forward` come to. */
function addressOf(forward: ForwardTarget): string {
  return forward.guestAddress?.toString() ?? ANY_ADDRESS;
}

/** As which address a guest that is asked at `guest` sees a client of the host. */
export function seenAddress(
  { rules, ipv6Routes }: Pick<ForwardContext, "rules" | "ipv6Routes">,
  client: IpAddress,
  guest: IpAddress,
): IpAddress {
  if (LINK_LOCAL.contains(guest)) return ROUTER_LINK_LOCAL;
  const family = familyOf(guest), segment = segmentOf(rules, family)!;
  const isAnswerable = familyOf(client) === family && findReserved(family, client) === undefined &&
    !isHidden(segment, client) && !isOfGateway(segment, client) &&
    (family === 4 || ipv6Routes.has() || rules.nat64);
  return isAnswerable ? client : segment.gateway;
}
