/**
 * A guest inside this program: TCP connections over a link, without a kernel.
 *
 * The same endpoint that faces guests in the gateway faces the gateway here, from the other side: `connect` opens actively, `listen` passively, `read`, `write`, `closeWrite` and
 * `close` are those of `Deno.Conn`, half-close included. It knows one station on its link, the gateway, which it finds by ARP (RFC 826) or by hearing from it. A SYN to
 * a port that nobody listens on is refused with RST, and so is one beyond a listener's backlog.
 *
 * What happens is driven by the link's batches and by one timer; both can be given, so that a test runs on a virtual clock.
 *
 * @module
 */
import { formatEndpoint, IpAddress, MAC_BROADCAST } from "../net/wire/address.ts";
import {
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderIp,
  arpSenderMac,
  arpTargetIp,
  checkArp,
  encodeArp,
} from "../net/wire/arp.ts";
import {
  checkEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetSource,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
} from "../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import {
  checkIpv4,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4HeaderValid,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  PROTOCOL_TCP,
} from "../net/wire/ipv4.ts";
import {
  checkTcp,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  tcpChecksumValidIpv4,
  tcpDestinationPort,
  tcpFlags,
  tcpSourcePort,
} from "../net/wire/tcp.ts";
import type { Link } from "../net/link/link.ts";
import { BufferPool, LARGE_BUFFER } from "../nat/buffers.ts";
import { FlowKey } from "../nat/flow_key.ts";
import { FlowTable } from "../nat/flow_table.ts";
import { FrameSender } from "../nat/frame_sender.ts";
import { createTcpDrops, TCP_DEFAULTS, type TcpConfig, type TcpContext, type TcpLower } from "../nat/tcp/context.ts";
import { encodeStrayReset } from "../nat/tcp/stray.ts";
import { TimerWheel } from "../nat/timers.ts";
import { GuestConn } from "./conn.ts";
import { GuestListener } from "./listener.ts";

const FIRST_PORT = 49152;
const PORTS = 65536 - FIRST_PORT;

/** Who the guest is, and what drives it. */
export interface GuestStackOptions {
  /** Its IPv4 address. Default 10.0.2.15. */
  readonly address?: string;
  /** The gateway's IPv4 address. Default 10.0.2.2. */
  readonly gateway?: string;
  /** Its MAC address as a number. Default 52:54:00:12:34:56. */
  readonly mac?: number;
  /** Monotonic milliseconds. Default `performance.now()`. */
  readonly now?: () => number;
  /** Calls `turn` after so many milliseconds and returns what cancels that. Default `setTimeout`. */
  readonly delay?: (turn: () => void, ms: number) => () => void;
  /** Other limits and times than those of the gateway. */
  readonly tcp?: Partial<TcpConfig>;
}

/** A guest on a link. */
export class GuestStack implements AsyncDisposable {
  #link: Link;
  #out: FrameSender;
  #address: number;
  #gateway: number;
  #context: TcpContext;
  #timers: TimerWheel;
  #now: () => number;
  #delay: (turn: () => void, ms: number) => () => void;
  #conns = new FlowTable<GuestConn>(randomUint32());
  #listeners = new Map<number, GuestListener>();
  #key = new FlowKey();
  #due: GuestConn[] = [];
  #nextPort = FIRST_PORT;
  #cancelDelay: (() => void) | null = null;
  #wantedAt = Infinity;
  #gatewayFound: PromiseWithResolvers<void> | null = null;
  #closed: Error | null = null;

  /** A guest on `link`, which begins at once and is closed with the guest. */
  constructor(link: Link, options: GuestStackOptions = {}) {
    this.#link = link;
    this.#address = IpAddress.parse(options.address ?? "10.0.2.15").ipv4;
    this.#gateway = IpAddress.parse(options.gateway ?? "10.0.2.2").ipv4;
    this.#now = options.now ?? (() => performance.now());
    this.#delay = options.delay ?? delay;
    this.#out = new FrameSender(link, {
      sourceMac: options.mac ?? 0x525400123456,
      sent: () => {},
      unresolved: () => {},
    });
    this.#timers = new TimerWheel(this.#now());
    this.#context = {
      config: { ...TCP_DEFAULTS, ...options.tcp },
      pool: new BufferPool(),
      timers: this.#timers,
      drops: createTcpDrops(),
      scratch: new Uint8Array(LARGE_BUFFER),
      now: this.#now,
    };
    link.start({
      receive: (frame) => this.#receive(frame),
      flush: () => this.#turn(),
      closed: (error) => this.#linkClosed(error),
    });
  }

  /** How many connections there are, TIME-WAIT included. */
  get connections(): number {
    return this.#conns.size;
  }

  /**
   * Connects to `hostname`, an IPv4 address, through the gateway. Rejects with `ConnectionRefused`, `TimedOut` or what the link's end was.
   */
  async connect(target: { hostname: string; port: number }): Promise<GuestConn> {
    if (this.#closed !== null) throw this.#closed;
    await this.#findGateway();
    const remote = IpAddress.parse(target.hostname).ipv4;
    const conn = this.#addConn(this.#takePort(remote, target.port), remote, target.port);
    const opened = conn.open(randomUint32());
    this.#turn();
    await opened;
    return conn;
  }

  /** Listens on `port`, from 1 to 65535. Throws `AddrInUse` where it is listened on already. */
  listen(port: number): GuestListener {
    if (this.#closed !== null) throw this.#closed;
    if (this.#listeners.has(port)) throw new Deno.errors.AddrInUse(`Cannot listen on port ${port}: it is in use`);
    const listener = new GuestListener(port, () => this.#listeners.delete(port));
    this.#listeners.set(port, listener);
    return listener;
  }

  /** Aborts every connection and closes the link. */
  async close(): Promise<void> {
    for (const listener of this.#listeners.values()) listener.close();
    for (const conn of this.#conns.values()) conn.abort();
    this.#turn();
    this.#cancelDelay?.();
    this.#cancelDelay = null;
    this.#closed ??= new Deno.errors.BadResource("Guest is closed");
    await this.#link.close();
  }

  /** `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #lower(localPort: number, peerPort: number, remote: number): TcpLower {
    const out = this.#out, address = this.#address;
    return {
      localPort,
      peerPort,
      maxSegmentSize: out.maxSegmentSize,
      maxBurst: out.maxBurst,
      transmit: (bytes, start, end, segmentSize) => out.tcp(bytes, start, end, segmentSize, address, remote),
    };
  }

  #takePort(remote: number, remotePort: number): number {
    for (let tried = 0; tried < PORTS; tried++) {
      const port = this.#nextPort;
      this.#nextPort = port === 65535 ? FIRST_PORT : port + 1;
      if (!this.#conns.has(this.#keyOf(port, remote, remotePort))) return port;
    }
    throw new Deno.errors.AddrNotAvailable("Cannot connect: every local port is in use");
  }

  #keyOf(localPort: number, remote: number, remotePort: number): FlowKey {
    return this.#key.setIpv4(0, PROTOCOL_TCP, this.#address, localPort, remote, remotePort);
  }

  #addConn(localPort: number, remote: number, remotePort: number): GuestConn {
    const conn = new GuestConn(this.#context, {
      lower: this.#lower(localPort, remotePort, remote),
      name: formatEndpoint(IpAddress.fromIpv4(remote), remotePort),
      due: (it) => this.#due.push(it),
      act: () => this.#turn(),
      over: () => void this.#conns.delete(this.#keyOf(localPort, remote, remotePort)),
    });
    this.#conns.set(this.#keyOf(localPort, remote, remotePort), conn);
    return conn;
  }

  async #findGateway(): Promise<void> {
    if (this.#out.destinationMac >= 0) return;
    if (this.#gatewayFound === null) {
      this.#gatewayFound = Promise.withResolvers<void>();
      this.#sendArp(ARP_REQUEST, 0, this.#gateway, MAC_BROADCAST);
      this.#link.flush();
    }
    await this.#gatewayFound.promise;
  }

  #sendArp(operation: number, targetMac: number, targetIp: number, destination: number): void {
    const into = this.#context.scratch, at = SEGMENT_HEADROOM;
    encodeArp(into, at, { operation, senderMac: this.#out.sourceMac, senderIp: this.#address, targetMac, targetIp });
    this.#out.ethernet(into, at, at + ARP_LENGTH, ETHERTYPE_ARP, destination);
  }

  #receive(frame: Frame): void {
    if (!checkEthernet(frame.bytes, frame.start, frame.end)) return;
    // Whoever sends frames on this link is the gateway.
    if (this.#out.destinationMac < 0) this.#foundGateway(ethernetSource(frame.bytes, frame.start));
    const type = ethernetType(frame.bytes, frame.start), payload = frame.start + ETHERNET_HEADER_LENGTH;
    if (type === ETHERTYPE_ARP) this.#receiveArp(frame.bytes, payload, frame.end);
    else if (type === ETHERTYPE_IPV4) this.#receiveIpv4(frame, payload);
  }

  #receiveArp(bytes: Uint8Array, arp: number, end: number): void {
    if (!checkArp(bytes, arp, end)) return;
    const sender = arpSenderIp(bytes, arp), mac = arpSenderMac(bytes, arp);
    if (arpOperation(bytes, arp) === ARP_REPLY) {
      if (sender !== this.#gateway) return;
      this.#foundGateway(mac);
    } else if (arpTargetIp(bytes, arp) === this.#address) {
      this.#sendArp(ARP_REPLY, mac, sender, mac);
    }
  }

  #receiveIpv4(frame: Frame, ip: number): void {
    const bytes = frame.bytes;
    if (!checkIpv4(bytes, ip, frame.end) || !ipv4HeaderValid(bytes, ip) || ipv4IsFragment(bytes, ip)) return;
    if (ipv4Destination(bytes, ip) !== this.#address || ipv4Protocol(bytes, ip) !== PROTOCOL_TCP) return;
    const tcp = ip + ipv4HeaderLength(bytes, ip), end = ip + ipv4TotalLength(bytes, ip);
    if (!checkTcp(bytes, tcp, end)) return;
    const vouched = frame.checksum !== CHECKSUM_COMPLETE;
    if (!vouched && !tcpChecksumValidIpv4(bytes, tcp, end, ipv4Source(bytes, ip), this.#address)) return;
    const port = tcpDestinationPort(bytes, tcp), remote = ipv4Source(bytes, ip), remotePort = tcpSourcePort(bytes, tcp);
    const conn = this.#conns.get(this.#keyOf(port, remote, remotePort));
    const isSyn = (tcpFlags(bytes, tcp) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) === TCP_SYN;
    if (conn !== undefined && !(isSyn && conn.endpoint.yieldsTo(bytes, tcp))) {
      return conn.endpoint.segmentArrived(bytes, tcp, end);
    }
    conn?.giveUpKey();
    const listener = this.#listeners.get(port);
    if (!isSyn || !listener?.hasRoom) return this.#resetStray(bytes, ip, tcp, end);
    const accepted = this.#addConn(port, remote, remotePort);
    void listener.admit(accepted, accepted.answer(bytes, tcp, randomUint32()));
  }

  #resetStray(bytes: Uint8Array, ip: number, tcp: number, end: number): void {
    const into = this.#context.scratch, at = SEGMENT_HEADROOM, length = encodeStrayReset(bytes, tcp, end, into, at);
    if (length > 0) this.#out.tcp(into, at, at + length, 0, this.#address, ipv4Source(bytes, ip));
  }

  #foundGateway(mac: number): void {
    this.#out.destinationMac = mac;
    this.#gatewayFound?.resolve();
  }

  #turn(): void {
    if (this.#closed !== null) return;
    this.#timers.advance(this.#now());
    for (let conn = this.#due.shift(); conn !== undefined; conn = this.#due.shift()) conn.endTurn();
    this.#link.flush();
    const wanted = this.#timers.nextDeadline();
    if (wanted === Infinity || (this.#cancelDelay !== null && this.#wantedAt <= wanted)) return;
    this.#cancelDelay?.();
    this.#wantedAt = wanted;
    this.#cancelDelay = this.#delay(() => {
      this.#cancelDelay = null;
      this.#turn();
    }, Math.max(0, Math.ceil(wanted - this.#now())));
  }

  #linkClosed(error?: Error): void {
    this.#closed ??= error ?? new Deno.errors.BadResource("Link is closed");
    this.#gatewayFound?.reject(this.#closed);
    this.#cancelDelay?.();
    this.#cancelDelay = null;
    for (const listener of this.#listeners.values()) listener.close();
    for (const conn of this.#conns.values()) conn.fail(this.#closed);
  }
}

function randomUint32(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

function delay(turn: () => void, ms: number): () => void {
  const timer = setTimeout(turn, ms);
  return () => clearTimeout(timer);
}
