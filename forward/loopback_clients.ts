/**
 * Clients on the host's loopback, led to the loopback of the guest's namespace: whoever connects to 127.0.0.1 outside
 * comes to 127.0.0.1 inside, as if both were one.
 *
 * Of one forward these clients go by a way of their own (`loopback_door.ts`), one for each family. It is opened when
 * the first of them comes, and closed with the forward. Until it is open, TCP clients wait and are not read, and of UDP
 * the first `MOST_HELD` datagrams wait. If it cannot be opened within `OPEN_MS` they are turned away, and the next
 * client has it tried again. They are never led to the guest's address instead: what listens there may be another
 * server.
 *
 * A client comes to the address of its own family. If nobody takes it there, a TCP client comes to that of the other:
 * a browser that is told `localhost` tries ::1 first, and would not try again once it has a connection.
 *
 * @module
 */
import { deadline } from "@std/async";
import type { ForwardTarget } from "../nat/flow/flow.ts";
import type {
  HostEndpoint,
  HostError,
  HostNetwork,
  HostTcpHandler,
  HostTcpSocket,
  HostUdpHandler,
  HostUdpSocket,
} from "../nat/host.ts";
import type { Nat } from "../nat/nat.ts";
import { familyOf, type IpFamily } from "../nat/rules/policy.ts";
import { formatEndpoint } from "../net/wire/address.ts";
import { LOOPBACK_IPV4, LOOPBACK_IPV6, type LoopbackDoor, type LoopbackWay } from "./loopback_door.ts";
import type { ForwardProtocol } from "./port_spec.ts";

/** How long a way may take to open: the agent of a busy machine has to start for the first. */
const OPEN_MS = 10_000;
/** TCP clients that wait for one way. */
const MOST_WAITING = 256;
/** Datagrams that wait for one way. */
const MOST_HELD = 16;

/** What the clients of a forward need. */
export interface LoopbackClientsParts {
  /** The host. */
  readonly host: HostNetwork;
  /** The gateway. */
  readonly nat: Nat;
  /** The way to loopback. */
  readonly door: LoopbackDoor;
}

/** A forward whose clients on loopback are led elsewhere. */
export interface LedForward {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** Where clients connect to, as text. */
  readonly host: string;
  /** The port of loopback where they are led. */
  readonly guestPort: number;
}

/** The clients of one forward that are on the host's loopback. */
export class LoopbackClients implements HostUdpHandler {
  readonly #parts: LoopbackClientsParts;
  readonly #forward: LedForward;
  readonly #leads = new Map<IpFamily, Lead>();
  /** The forward's socket, if it is one of UDP; set before the first datagram. */
  socket: HostUdpSocket | null = null;

  /** Of a forward that leads to one of the ports that only loopback has. */
  constructor(parts: LoopbackClientsParts, forward: LedForward) {
    this.#parts = parts;
    this.#forward = forward;
  }

  /** A TCP client has come. Returns who is told of its socket, or null: it was reset. */
  accept(socket: HostTcpSocket, client: HostEndpoint): HostTcpHandler | null {
    return this.#leadFor(client).accept(socket, client);
  }

  /** A datagram of a client: to the guest. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    this.#leadFor(from).hostDatagram(bytes, start, end, from);
  }

  /** An answer did not reach its client. */
  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void {
    this.#leadFor(to).hostDatagramFailed(error, to, mtu);
  }

  /** Closes the ways. Connections of TCP go on, unless they are to be `reset`. */
  remove({ reset }: { readonly reset: boolean }): void {
    for (const lead of this.#leads.values()) lead.remove({ reset });
    this.#leads.clear();
  }

  #leadFor({ address }: HostEndpoint): Lead {
    const family = familyOf(address), known = this.#leads.get(family);
    if (known !== undefined) return known;
    const lead: Lead = new Lead(this.#parts, this.#forward, {
      family,
      socket: this.socket,
      failed: () => {
        if (this.#leads.get(family) === lead) this.#leads.delete(family);
      },
    });
    this.#leads.set(family, lead);
    return lead;
  }
}

/** One way, as a place to which clients are forwarded. */
class Lead implements ForwardTarget, HostUdpHandler {
  readonly name: string;
  readonly guestAddress = null;
  /** Where the way begins. */
  guestPort = 0;
  readonly #parts: LoopbackClientsParts;
  readonly #way: LoopbackWay;
  readonly #datagrams: ReturnType<Nat["forwardUdp"]>;
  readonly #waiting = new Set<WaitingClient>();
  readonly #held: { readonly bytes: Uint8Array; readonly from: HostEndpoint }[] = [];
  readonly #removed = new AbortController();
  #isOpen = false;

  constructor(
    parts: LoopbackClientsParts,
    { protocol, host, guestPort: port }: LedForward,
    { family, socket, failed }: {
      readonly family: IpFamily;
      readonly socket: HostUdpSocket | null;
      readonly failed: () => void;
    },
  ) {
    const [address, other] = family === 4 ? [LOOPBACK_IPV4, LOOPBACK_IPV6] : [LOOPBACK_IPV6, LOOPBACK_IPV4];
    this.name = `${protocol} ${host} -> ${formatEndpoint(address, port)}`;
    this.#parts = parts;
    this.#datagrams = parts.nat.forwardUdp(this);
    this.#datagrams.socket = socket;
    this.#way = parts.door.open({ protocol, address, port }, protocol === "tcp" ? other : undefined);
    deadline(this.#way.begins, OPEN_MS, { signal: this.#removed.signal }).then((port) => this.#open(port), (error) => {
      failed();
      this.#turnAway(
        error.name === "TimeoutError"
          ? "the agent in the namespace does not answer"
          : `there is no way: ${error.message}`,
      );
    });
  }

  accept(socket: HostTcpSocket, client: HostEndpoint): HostTcpHandler | null {
    if (this.#isOpen) return this.#parts.nat.forwards.acceptTcp(this, socket, client);
    if (this.#waiting.size >= MOST_WAITING) {
      return this.#refuse({ socket, client }, `${MOST_WAITING} clients wait for its way already`);
    }
    const waiting = new WaitingClient(socket, client, () => this.#waiting.delete(waiting));
    this.#waiting.add(waiting);
    return waiting;
  }

  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    if (this.#isOpen) this.#datagrams.hostDatagram(bytes, start, end, from);
    else if (this.#held.length < MOST_HELD) this.#held.push({ bytes: bytes.slice(start, end), from });
    else this.#parts.nat.counters.forwardNoWay++;
  }

  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void {
    this.#datagrams.hostDatagramFailed(error, to, mtu);
  }

  remove({ reset }: { readonly reset: boolean }): void {
    this.#removed.abort();
    this.#turnAway("the forward is removed");
    this.#parts.nat.forwards.remove(this, { reset });
  }

  #open(port: number): void {
    this.guestPort = port;
    this.#isOpen = true;
    const { nat, host } = this.#parts;
    for (const client of this.#waiting) client.begin(nat.forwards.acceptTcp(this, client.socket, client.client));
    this.#waiting.clear();
    for (const { bytes, from } of this.#held.splice(0)) this.#datagrams.hostDatagram(bytes, 0, bytes.length, from);
    host.wake();
  }

  #turnAway(why: string): void {
    const { nat, host } = this.#parts, held = this.#held.splice(0).length;
    for (const waiting of this.#waiting) this.#refuse(waiting, why);
    this.#waiting.clear();
    nat.counters.forwardNoWay += held;
    if (held > 0) nat.log.warn(() => `Dropped ${held} datagrams to ${this.name}: ${why}`);
    this.#way.close();
    host.wake();
  }

  #refuse({ socket, client }: Pick<WaitingClient, "socket" | "client">, why: string): null {
    return this.#parts.nat.forwards.turnAway({ forward: this, socket, client }, why, "forwardNoWay");
  }
}

/** A TCP client for whose way it is still too early. Then this stands between its socket and its flow. */
class WaitingClient implements HostTcpHandler {
  readonly socket: HostTcpSocket;
  readonly client: HostEndpoint;
  readonly #gone: () => void;
  #handler: HostTcpHandler | null = null;

  constructor(socket: HostTcpSocket, client: HostEndpoint, gone: () => void) {
    this.socket = socket;
    this.client = client;
    this.#gone = gone;
  }

  get payer(): object | undefined {
    return this.#handler?.payer;
  }

  /** Its flow has begun, if it could. */
  begin(handler: HostTcpHandler | null): void {
    this.#handler = handler;
  }

  hostReadable(): void {
    this.#handler?.hostReadable();
  }

  hostWritable(): void {
    this.#handler?.hostWritable();
  }

  hostFailed(error: HostError): void {
    if (this.#handler !== null) return this.#handler.hostFailed(error);
    // The client has given up.
    this.#gone();
    this.socket.close();
  }
}
