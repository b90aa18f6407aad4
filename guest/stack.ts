/**
 * A guest inside this program: TCP and UDP over a link, without a kernel.
 *
 * The same endpoint that faces guests in the gateway faces the gateway here, from the other side: `connect` opens
 * actively, `listen` passively, `read`, `write`, `closeWrite` and `close` are those of `Deno.Conn`, half-close
 * included. It knows one station on its link, the gateway (`station.ts`). A SYN to a port that nobody listens on is
 * refused with RST, and so is one beyond a listener's backlog. Its addresses, one of each family, are those that it is
 * given: it asks for no lease and hears no router. The address that it talks to decides which family it talks.
 *
 * What happens is driven by the link's batches and by one timer. The timer's clock can be given, so that a test runs on
 * a virtual one; what the link delivers comes when the link delivers it.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { PROTOCOL_TCP } from "../net/wire/ipv4.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, tcpFlags } from "../net/wire/tcp.ts";
import { type Clock, SYSTEM_CLOCK } from "../net/link/clock.ts";
import type { Link } from "../net/link/link.ts";
import { BufferPool, LARGE_BUFFER } from "../nat/base/buffers.ts";
import { FlowKey } from "../nat/flow/flow_key.ts";
import { FlowTable } from "../nat/flow/flow_table.ts";
import type { Ends } from "../nat/ip/ip_sender.ts";
import type { Packet } from "../nat/ip/packet.ts";
import { createTcpDrops, TCP_DEFAULTS, type TcpConfig, type TcpContext, type TcpLower } from "../nat/tcp/context.ts";
import { encodeStrayReset } from "../nat/tcp/stray.ts";
import { TimerWheel } from "../nat/base/timers.ts";
import { type GuestAddressOptions, readGuestAddresses } from "./addresses.ts";
import { GuestConn } from "./conn.ts";
import type { StationFamily } from "./family.ts";
import { GuestListener } from "./tcp_listener.ts";
import { checkPort, DynamicPorts } from "./ports.ts";
import { Station } from "./station.ts";
import { GuestUdp, type GuestUdpSocket } from "./udp_socket.ts";

/** Who the guest is, and what drives it. */
export interface GuestStackOptions extends GuestAddressOptions {
  /** Its MAC address as a number. Default 52:54:00:12:34:56. */
  readonly mac?: number;
  /** Whose time its timers go by; a `VirtualClock` lets it pass at once. Default `SYSTEM_CLOCK`. */
  readonly clock?: Clock;
  /** Other limits and times than those of the gateway. */
  readonly tcp?: Partial<TcpConfig>;
  /** Closes the guest. */
  readonly signal?: AbortSignal;
}

/** Where a guest connects to. */
export interface GuestConnectOptions {
  /** An IP address of either family. Names are nothing that a guest knows; DNS is at the gateway's .3 and ::3. */
  readonly hostname: string;
  /** The port. */
  readonly port: number;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/**
 * A guest on a link.
 *
 * @example A program's own client, tested through a gateway
 * ```ts
 * import { Gateway } from "@hawser/hawser";
 * import { GuestStack } from "@hawser/hawser/guest";
 * import { memoryLinkPair } from "@hawser/hawser/link";
 *
 * using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const served = (async () => {
 *   using conn = await server.accept();
 *   while (await conn.read(new Uint8Array(100)) !== null); // to the guest's FIN
 *   await conn.write(new TextEncoder().encode("all of it"));
 * })();
 *
 * const [link, end] = memoryLinkPair();
 * await using gateway = await Gateway.start({ host: "deno", dns: "none" });
 * await using _attached = gateway.attach(link);
 * await using guest = new GuestStack(end);
 *
 * const conn = await guest.connect({ hostname: "10.0.2.2", port: server.addr.port });
 * await conn.write(new TextEncoder().encode("question"));
 * conn.closeWrite();
 * const buffer = new Uint8Array(100), count = await conn.read(buffer);
 * console.log(new TextDecoder().decode(buffer.subarray(0, count!))); // all of it
 * await served;
 * ```
 *
 * @example The same over IPv6: the address says so
 * ```ts
 * import { GuestStack } from "@hawser/hawser/guest";
 * import { memoryLinkPair } from "@hawser/hawser/link";
 *
 * // Two guests on one link, each of them the other's gateway.
 * const [left, right] = memoryLinkPair();
 * await using client = new GuestStack(left);
 * await using server = new GuestStack(right, { address6: "fd00::2", gateway6: "fd00::15", mac: 0x525400123402 });
 *
 * const accepted = server.listen(80).accept();
 * const conn = await client.connect({ hostname: "fd00::2", port: 80 });
 * console.log((await accepted).remoteAddr.hostname); // fd00::15
 * conn.close();
 * ```
 *
 * @example Ten seconds of a network that carries nothing, at once
 * ```ts
 * import { Gateway } from "@hawser/hawser";
 * import { GuestStack } from "@hawser/hawser/guest";
 * import { lossyLink, memoryLinkPair, VirtualClock } from "@hawser/hawser/link";
 *
 * const clock = new VirtualClock(), [link, end] = memoryLinkPair();
 * await using gateway = await Gateway.start({ host: "deno", dns: "none" });
 * await using _attached = gateway.attach(link);
 * await using guest = new GuestStack(lossyLink(end, { clock, loss: 1 }), { clock });
 *
 * const connecting = guest.connect({ hostname: "10.0.2.2", port: 80 });
 * clock.advance(10_000);
 * const error = await connecting.catch((error) => error);
 * console.log(error instanceof Deno.errors.TimedOut); // true
 * ```
 */
export class GuestStack implements AsyncDisposable {
  #link: Link;
  #station: Station;
  #context: TcpContext;
  #timers: TimerWheel;
  #clock: Clock;
  #ports = new DynamicPorts();
  #conns = new FlowTable<GuestConn>(randomUint32());
  #listeners = new Map<number, GuestListener>();
  #udp: GuestUdp;
  #key = new FlowKey();
  #due: GuestConn[] = [];
  #cancelDelay: (() => void) | null = null;
  #wantedAt = Infinity;
  #closed: Error | null = null;
  #signal: AbortSignal | undefined;
  #onAbort = (): void => void this.close();

  /**
   * A guest on `link`, which begins at once and is closed with the guest. Throws the signal's reason where it is
   * aborted already, a `TypeError` for an address that is none or of the other family, a `RangeError` for one that no
   * single host can have.
   */
  constructor(link: Link, options: GuestStackOptions = {}) {
    options.signal?.throwIfAborted();
    this.#link = link;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#timers = new TimerWheel(this.#clock.now());
    this.#context = {
      config: { ...TCP_DEFAULTS, ...options.tcp },
      pool: new BufferPool(),
      timers: this.#timers,
      drops: createTcpDrops(),
      scratch: new Uint8Array(LARGE_BUFFER),
      now: () => this.#clock.now(),
    };
    const { scratch, now } = this.#context;
    this.#station = new Station(link, {
      ...readGuestAddresses(options),
      mac: options.mac ?? 0x525400123456,
      timers: this.#timers,
      scratch,
      now,
      user: {
        segmentArrived: (packet, family) => this.#receiveTcp(packet, family),
        datagramArrived: (packet, family) => this.#udp.receive(packet, family),
        datagramFailed: (failure) => this.#udp.failed(failure),
      },
    });
    this.#udp = new GuestUdp(this.#station, { ports: this.#ports, scratch, act: () => this.#turn() });
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
    link.start({
      receive: (frame) => this.#station.receive(frame),
      flush: () => this.#turn(),
      closed: (error) => this.#linkClosed(error),
    });
  }

  /** How many connections there are, TIME-WAIT included. */
  get connections(): number {
    return this.#conns.size;
  }

  /**
   * Connects through the gateway. Rejects with `ConnectionRefused`, with `TimedOut` where nobody answers, with what the
   * link's end was, with the signal's reason, with `AddrNotAvailable` where no port is free, with `NetworkUnreachable`
   * where the guest has no address of the target's family, with a `TypeError` for a name.
   */
  async connect(target: GuestConnectOptions): Promise<GuestConn> {
    const { signal } = target;
    if (this.#closed !== null) throw this.#closed;
    signal?.throwIfAborted();
    const remote = IpAddress.parse(target.hostname), remotePort = checkPort(target.port, 1);
    const family = this.#station.familyFor(remote), ends = family.to(remote);
    const port = this.#ports.take((each) => this.#conns.has(this.#keyOf(ends, each, remotePort)));
    const conn = this.#addConn(family, ends, port, remotePort);
    const stop = () => conn.abort();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const opened = conn.open(randomUint32());
      this.#turn();
      await opened;
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    signal?.throwIfAborted();
    return conn;
  }

  /**
   * Listens on `port`, 0 for a free one. Throws `AddrInUse` where it is listened on already, `AddrNotAvailable` where
   * no port is free.
   */
  listen(port: number): GuestListener {
    if (this.#closed !== null) throw this.#closed;
    checkPort(port, 0);
    if (this.#listeners.has(port)) throw new Deno.errors.AddrInUse(`Cannot listen on port ${port}: it is in use`);
    const taken = port === 0 ? this.#ports.take((each) => this.#listeners.has(each)) : port;
    const listener = new GuestListener(taken, () => this.#listeners.delete(taken));
    this.#listeners.set(taken, listener);
    return listener;
  }

  /**
   * Opens a UDP socket on `port`, 0 for a free one. Throws `AddrInUse` where it is open already, `AddrNotAvailable`
   * where no port is free.
   *
   * @example A port of the host that nobody listens on
   * ```ts
   * import { GuestStack } from "@hawser/hawser/guest";
   * import { memoryLinkPair } from "@hawser/hawser/link";
   *
   * // Two guests on one link, each of them the other's gateway.
   * const [left, right] = memoryLinkPair();
   * await using one = new GuestStack(left, { address: "10.0.2.15", gateway: "10.0.2.2" });
   * await using other = new GuestStack(right, { address: "10.0.2.2", gateway: "10.0.2.15", mac: 0x525400123402 });
   *
   * using server = other.openUdp(53), client = one.openUdp(0);
   * await client.send(Uint8Array.of(1, 2, 3), { hostname: "10.0.2.2", port: 53 });
   * const [bytes, from] = await server.receive();
   * console.log(bytes, from.hostname); // Uint8Array(3) [ 1, 2, 3 ] 10.0.2.15
   *
   * await client.send(bytes, { hostname: "10.0.2.2", port: 54 });
   * const error = await client.receive().catch((error) => error);
   * console.log(error instanceof Deno.errors.ConnectionRefused); // true
   * ```
   */
  openUdp(port: number): GuestUdpSocket {
    if (this.#closed !== null) throw this.#closed;
    return this.#udp.open(port);
  }

  /** Aborts every connection, closes listeners and sockets, and the link. */
  async close(): Promise<void> {
    for (const listener of this.#listeners.values()) listener.close();
    for (const conn of this.#conns.values()) conn.abort();
    this.#turn();
    this.#end(new Deno.errors.BadResource("Guest is closed"));
    await this.#link.close();
  }

  /** `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #lower({ sender }: StationFamily, ends: Ends): TcpLower {
    return {
      maxSegmentSize: sender.maxSegmentSize,
      maxBurst: sender.maxBurst,
      transmit: (bytes, start, end, segmentSize) => sender.tcp(bytes, start, end, segmentSize, ends),
    };
  }

  /** The key of the segments that come for a connection whose own go between `ends`. */
  #keyOf({ source, destination }: Ends, localPort: number, remotePort: number): FlowKey {
    return this.#key.set(0, PROTOCOL_TCP, destination, remotePort, source, localPort);
  }

  #addConn(family: StationFamily, ends: Ends, localPort: number, remotePort: number): GuestConn {
    const key = this.#keyOf(ends, localPort, remotePort).clone();
    const conn = new GuestConn(this.#context, {
      lower: this.#lower(family, ends),
      localPort,
      peerPort: remotePort,
      local: { transport: "tcp", hostname: `${ends.source}`, port: localPort },
      remote: { transport: "tcp", hostname: `${ends.destination}`, port: remotePort },
      due: (it) => this.#due.push(it),
      act: () => this.#turn(),
      over: () => void this.#conns.delete(key),
    });
    this.#conns.set(key, conn);
    return conn;
  }

  #receiveTcp(packet: Packet, family: StationFamily): void {
    const { bytes, transport: tcp, end, key } = packet, conn = this.#conns.get(key);
    const isSyn = (tcpFlags(bytes, tcp) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) === TCP_SYN;
    if (conn !== undefined && !(isSyn && conn.endpoint.yieldsTo(bytes, tcp))) {
      return conn.endpoint.segmentArrived(bytes, tcp, end);
    }
    conn?.giveUpKey();
    const listener = this.#listeners.get(key.remotePort);
    if (!isSyn || !listener?.hasRoom) return this.#resetStray(packet, family);
    const accepted = this.#addConn(family, family.back(packet), key.remotePort, key.guestPort);
    void listener.admit(accepted, accepted.answer(bytes, tcp, randomUint32()));
  }

  #resetStray(packet: Packet, family: StationFamily): void {
    const { bytes, transport, end } = packet, into = this.#context.scratch, at = SEGMENT_HEADROOM;
    const length = encodeStrayReset(bytes, transport, end, into, at);
    if (length > 0) family.sender.tcp(into, at, at + length, 0, family.back(packet));
  }

  #turn(): void {
    if (this.#closed !== null) return;
    this.#timers.advance(this.#clock.now());
    for (let conn = this.#due.shift(); conn !== undefined; conn = this.#due.shift()) conn.endTurn();
    this.#link.flush();
    const wanted = this.#timers.nextDeadline();
    if (wanted === Infinity || (this.#cancelDelay !== null && this.#wantedAt <= wanted)) return;
    this.#cancelDelay?.();
    this.#wantedAt = wanted;
    this.#cancelDelay = this.#clock.delay(() => {
      this.#cancelDelay = null;
      this.#turn();
    }, Math.max(0, wanted - this.#clock.now()));
  }

  #linkClosed(error?: Error): void {
    this.#end(error ?? new Deno.errors.BadResource("Link is closed"));
  }

  /** Nothing is sent or received any more, for this reason. */
  #end(error: Error): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#cancelDelay?.();
    this.#cancelDelay = null;
    this.#station.dispose();
    for (const listener of this.#listeners.values()) listener.close();
    for (const conn of this.#conns.values()) conn.fail(error);
    this.#udp.fail(error);
  }
}

function randomUint32(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}
