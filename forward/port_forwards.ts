/**
 * The forwards of a gateway: ports of the host that lead to ports of its guests.
 *
 * Here they are listened on and taken back; what happens to a client that has come is told in `nat/forwards.ts`.
 * Forwards that are added together are bound together: all of them, or none and one error that names the port.
 *
 * @module
 */
import type { ForwardTarget } from "../nat/flow/flow.ts";
import type {
  HostBoundUdpSocket,
  HostEndpoint,
  HostError,
  HostListener,
  HostListenError,
  HostListenHandler,
  HostNetwork,
  HostTcpHandler,
  HostTcpSocket,
  HostUdpHandler,
} from "../nat/host.ts";
import type { Nat } from "../nat/nat.ts";
import type { UdpForward } from "../nat/relay/udp_forward.ts";
import { isLoopback } from "../nat/rules/policy.ts";
import { formatEndpoint, IpAddress } from "../net/wire/address.ts";
import { LoopbackClients } from "./loopback_clients.ts";
import type { LoopbackDoor } from "./loopback_door.ts";
import {
  checkForwards,
  formatPortSpec,
  type ForwardProtocol,
  haveOnePort,
  parseForward,
  type PortPlace,
  type PortSpec,
} from "./port_spec.ts";

/** A forward that is live. Disposing of it is `remove()`. */
export interface Forward extends AsyncDisposable {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** Where clients connect to, with the port that was found: `127.0.0.1:8080`. */
  readonly host: string;
  /** That port. */
  readonly hostPort: number;
  /** Whether it is one of `all` ports, which nobody named one by one. */
  readonly isOptional: boolean;
  /** Where it leads: `80`, or `10.0.2.20:80` where the guest's address was named. */
  readonly guest: string;
  /**
   * Takes it back: no client comes any more. Connections of TCP go on, or are reset where `reset` is true; those of UDP
   * share the port's socket and end. Resolves when the port is free. May be called again.
   */
  remove(options?: { readonly reset?: boolean }): Promise<void>;
  /** `tcp 127.0.0.1:8080 -> 80`. */
  toString(): string;
}

const ANY = IpAddress.parse("::");
const NEED_OF_ALL =
  "; all takes a descriptor a port, 37303 in all, so raise the hard limit of open files, or name fewer";

/** The forwards of one gateway. */
export class PortForwards {
  readonly #parts: Parts;
  readonly #live = new LiveForwards();
  #closed = false;

  /** None yet. */
  constructor(host: HostNetwork, nat: Nat) {
    this.#parts = { host, nat, live: this.#live, door: undefined };
  }

  /**
   * From now on clients on the host's loopback are led to the loopback of the guest's namespace by this door, at the
   * port to which their forward leads; see `loopback_clients.ts`. Forwards that name a guest's address lead there all
   * the same.
   */
  leadLoopback(door: LoopbackDoor): void {
    this.#parts.door = door;
  }

  /**
   * Adds forwards, `tcp:SPEC` or `udp:SPEC` each, see `port_spec.ts`. A range becomes a forward for each port; the
   * answer has their order. Rejects with a `TypeError` or `RangeError` for what makes no sense, and where a port cannot
   * be listened on with `Deno.errors.AddrInUse`, `PermissionDenied`, `AddrNotAvailable` or `NotCapable`; nothing of
   * what was asked for is bound then.
   */
  async add(specs: string | readonly string[]): Promise<Forward[]> {
    return await this.addPorts((typeof specs === "string" ? [specs] : specs).flatMap(parseForward));
  }

  /**
   * The same for specs that have been read. Those that are optional come last; of them, those that nobody else has and
   * that this user may have, but at least one.
   */
  async addPorts(wanted: readonly PortSpec[]): Promise<Forward[]> {
    if (this.#closed) throw new Deno.errors.BadResource("Cannot add forwards: the gateway is closed");
    const ports = new Set(wanted.map(({ port }) => port));
    const others = [...ports].flatMap((port) => this.#live.at(port)).map(({ spec }) => spec);
    checkForwards(wanted, this.#parts.nat.rules, others);
    const bound = new Map<PortSpec, LiveForward>();
    let refusal: unknown;
    try {
      // What was named comes first, and "all" takes what is left.
      for (const spec of wanted) if (!spec.isOptional) bound.set(spec, new LiveForward(spec, this.#parts));
      for (const spec of wanted) {
        if (!spec.isOptional) continue;
        try {
          bound.set(spec, new LiveForward(spec, this.#parts));
        } catch (error) {
          if (!isOthers(error)) throw error;
          refusal ??= error;
        }
      }
      if (bound.size === 0 && refusal !== undefined) throw refusal;
    } catch (error) {
      await Promise.all([...bound.values()].map((forward) => forward.remove()));
      throw error;
    }
    return wanted.flatMap((spec) => bound.get(spec) ?? []);
  }

  /** Whether a forward that is live has that port of the host. */
  covers(place: PortPlace): boolean {
    return this.#live.at(place.port).some((live) => haveOnePort(live.spec, place));
  }

  /** Those that are live, in the order in which they were added. */
  list(): Forward[] {
    return [...this.#live];
  }

  /** Takes all of them back and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#live].map((forward) => forward.remove()));
  }
}

/** Whether a port belongs to somebody else, or to other users. */
function isOthers(error: unknown): boolean {
  return error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied;
}

interface Parts {
  readonly host: HostNetwork;
  readonly nat: Nat;
  readonly live: LiveForwards;
  /** The way to loopback of clients there, if they are led. */
  door: LoopbackDoor | undefined;
}

/** Those that are live, in the order in which they were added, and by port. */
class LiveForwards {
  readonly #all = new Set<LiveForward>();
  readonly #byPort = new Map<number, LiveForward[]>();

  add(forward: LiveForward): void {
    this.#all.add(forward);
    this.#byPort.set(forward.hostPort, [...this.at(forward.hostPort), forward]);
  }

  delete(forward: LiveForward): void {
    this.#all.delete(forward);
    const others = this.at(forward.hostPort).filter((other) => other !== forward);
    if (others.length === 0) this.#byPort.delete(forward.hostPort);
    else this.#byPort.set(forward.hostPort, others);
  }

  at(port: number): readonly LiveForward[] {
    return this.#byPort.get(port) ?? [];
  }

  [Symbol.iterator](): Iterator<LiveForward> {
    return this.#all[Symbol.iterator]();
  }
}

/** A forward and the port that it listens on. */
class LiveForward implements Forward, ForwardTarget, HostListenHandler, HostUdpHandler {
  /** What was asked for, with the port that was found. */
  spec: PortSpec;
  readonly #parts: Parts;
  readonly #socket: HostListener | HostBoundUdpSocket;
  #removed: Promise<void> | undefined;
  /** What takes its datagrams, if it is one of UDP. */
  #datagrams: UdpForward | null = null;
  /** What takes clients on loopback, once one came; null: they are as others are. */
  #loopback: LoopbackClients | null | undefined;

  /** Listens. Throws where that cannot be. */
  constructor(spec: PortSpec, parts: Parts) {
    this.spec = spec;
    this.#parts = parts;
    this.#socket = this.#open();
    this.spec = { ...spec, port: this.#socket.local.port };
    parts.live.add(this);
    parts.nat.forwards.add(this);
  }

  get protocol(): ForwardProtocol {
    return this.spec.protocol;
  }

  get host(): string {
    return formatEndpoint(this.spec.address, this.spec.port);
  }

  get hostPort(): number {
    return this.spec.port;
  }

  get isOptional(): boolean {
    return this.spec.isOptional ?? false;
  }

  get guest(): string {
    const { guestAddress, guestPort } = this.spec;
    return guestAddress === null ? `${guestPort}` : formatEndpoint(guestAddress, guestPort);
  }

  get name(): string {
    return formatPortSpec(this.spec);
  }

  get guestAddress(): IpAddress | null {
    return this.spec.guestAddress;
  }

  get guestPort(): number {
    return this.spec.guestPort;
  }

  hostAccepted(socket: HostTcpSocket, client: HostEndpoint): HostTcpHandler | null {
    const loopback = this.#loopbackFor(client);
    if (loopback !== null) return loopback.accept(socket, client);
    return this.#parts.nat.forwards.acceptTcp(this, socket, client);
  }

  hostAcceptFailed(): void {
    this.#parts.nat.forwards.acceptFailed(this);
  }

  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    (this.#loopbackFor(from) ?? this.#datagrams)!.hostDatagram(bytes, start, end, from);
  }

  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void {
    (this.#loopbackFor(to) ?? this.#datagrams)!.hostDatagramFailed(error, to, mtu);
  }

  remove({ reset = false }: { readonly reset?: boolean } = {}): Promise<void> {
    const { host, nat, live } = this.#parts;
    const isReset = reset || this.protocol === "udp";
    nat.forwards.remove(this, { reset: isReset });
    this.#loopback?.remove({ reset: isReset });
    live.delete(this);
    host.wake();
    return this.#removed ??= Promise.resolve(this.#socket[Symbol.asyncDispose]());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  toString(): string {
    return this.name;
  }

  #open(): HostListener | HostBoundUdpSocket {
    const spec = this.spec, { host, nat } = this.#parts;
    if (spec.protocol === "tcp") return this.#orThrow(host.listenTcp(spec, this));
    this.#datagrams = nat.forwardUdp(this);
    return this.#datagrams.socket = this.#orThrow(host.bindUdp(spec, this));
  }

  /** Who takes a client, if it is on loopback and led there. */
  #loopbackFor({ address }: HostEndpoint): LoopbackClients | null {
    const { door, host, nat } = this.#parts;
    if (door === undefined || this.#loopback === null || !isLoopback(address)) return null;
    if (this.#loopback !== undefined) return this.#loopback;
    const { protocol, guestAddress, guestPort: port } = this.spec;
    // What leads to a way through the door is there already.
    if (guestAddress !== null || door.isOwn({ protocol, address: ANY, port })) return this.#loopback = null;
    this.#loopback = new LoopbackClients({ host, nat, door }, this);
    this.#loopback.socket = this.#datagrams?.socket ?? null;
    return this.#loopback;
  }

  #orThrow<T extends HostListener | HostBoundUdpSocket>(socket: T | HostListenError): T {
    if (typeof socket !== "string") return socket;
    const failed = `Cannot forward ${this.name}`, { address, port } = this.spec;
    switch (socket) {
      case "addressInUse":
        throw new Deno.errors.AddrInUse(`${failed}: port ${port} of ${address} is in use already`);
      case "privileged":
        throw new Deno.errors.PermissionDenied(
          `${failed}: port ${port} is for privileged users alone here, take one from 1024 on`,
        );
      case "deviceNotAvailable":
        throw new Deno.errors.NotSupported(
          `${failed}: there is no interface ${this.spec.device}, or these sockets cannot listen by one alone (--host ffi can)`,
        );
      case "addressNotAvailable":
        throw new Deno.errors.AddrNotAvailable(`${failed}: no interface of this host has the address ${address}`);
      case "notPermitted":
        throw new Deno.errors.NotCapable(
          `${failed}: the permission is missing, run with --allow-net=${formatEndpoint(address, port)}`,
        );
      case "exhausted":
        throw new Error(
          `${failed}: the host has no descriptor, port or memory left${this.isOptional ? NEED_OF_ALL : ""}`,
        );
      case "other":
        throw new Error(`${failed}: the host cannot listen on port ${port} of ${address}`);
    }
  }
}
