/**
 * The guest of a simulation that is our own endpoint: what one side cannot do, the other cannot cover up, but what both
 * get wrong alike stays unseen; `plain_guest.ts` is for that.
 *
 * @module
 */
import { BufferPool, LARGE_BUFFER, LARGE_PAYLOAD } from "../../nat/base/buffers.ts";
import { FrameSender } from "../../nat/ip/frame_sender.ts";
import { Ends } from "../../nat/ip/ip_sender.ts";
import { Ipv4Sender } from "../../nat/ip/ipv4_sender.ts";
import { Ipv6Sender } from "../../nat/ip/ipv6_sender.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";
import {
  createTcpDrops,
  TCP_DEFAULTS,
  type TcpContext,
  type TcpLower,
  type TcpPorts,
  type TcpUser,
} from "../../nat/tcp/context.ts";
import { TcpEndpoint } from "../../nat/tcp/endpoint.ts";
import { TimerWheel } from "../../nat/base/timers.ts";
import type { Link } from "../../net/link/link.ts";
import { ethernetType, ETHERTYPE_ARP, ETHERTYPE_IPV6 } from "../../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { IPV4_HEADER_LENGTH, ipv4TotalLength, PROTOCOL_TCP } from "../../net/wire/ipv4.ts";
import { IPV6_HEADER_LENGTH, ipv6NextHeader, ipv6PayloadLength } from "../../net/wire/ipv6.ts";
import { tcpChecksumValid } from "../../net/wire/tcp.ts";
import { addressOf, GATEWAY_IP, GATEWAY_IP6, GUEST_IP, GUEST_IP6, GUEST_MAC } from "./frames.ts";
import { assertExpected, type SimGuest, type SimGuestParts } from "./netsim.ts";
import type { VirtualClock } from "../../net/link/virtual_clock.ts";

/** Just below the wrap. */
const INITIAL = 0xffff0000;
const IP = 14;

/** A `SimGuest` around a `TcpEndpoint`. */
export class EndpointGuest implements SimGuest, TcpUser {
  heard = 0;
  heardEnd = false;
  readonly endpoint: TcpEndpoint;
  readonly #link: Link;
  readonly #clock: VirtualClock;
  readonly #expected: Uint8Array;
  readonly #context: TcpContext;
  readonly #ends: Ends;
  #unsaid = new Uint8Array(0);
  #finishing = false;
  #due = false;

  constructor({ link, clock, expected, family }: SimGuestParts) {
    this.#link = link;
    this.#clock = clock;
    this.#expected = expected;
    this.#context = {
      // As long as Linux has it, so that the gateway's last FIN finds someone.
      config: { ...TCP_DEFAULTS, timeWaitMs: 60_000 },
      pool: new BufferPool(),
      timers: new TimerWheel(clock.now()),
      drops: createTcpDrops(),
      scratch: new Uint8Array(LARGE_BUFFER),
      now: () => clock.now(),
    };
    const frames = new FrameSender(link, { sourceMac: GUEST_MAC, sent: () => {}, unresolved: () => {} });
    frames.destinationMac = GATEWAY_MAC;
    const out = family === 4 ? new Ipv4Sender(frames) : new Ipv6Sender(frames);
    const ends = family === 4 ? new Ends(addressOf(GUEST_IP), addressOf(GATEWAY_IP)) : new Ends(GUEST_IP6, GATEWAY_IP6);
    this.#ends = ends;
    const lower: TcpLower & TcpPorts = {
      localPort: 40000,
      peerPort: 80,
      maxSegmentSize: out.maxSegmentSize,
      maxBurst: out.maxBurst,
      transmit: (bytes, start, end, segmentSize) => out.tcp(bytes, start, end, segmentSize, ends),
    };
    this.endpoint = new TcpEndpoint(this.#context, { lower, ports: lower, user: this });
    link.start({
      receive: (frame) => this.#receive(frame),
      flush: () => void (this.#due = true),
      closed: () => {},
    });
  }

  get deadline(): number {
    return this.#context.timers.nextDeadline();
  }

  get over(): boolean {
    return this.endpoint.state === "CLOSED" || this.endpoint.state === "TIME-WAIT";
  }

  get repeated(): number {
    return this.endpoint.send.record.retransmissions;
  }

  connect(): void {
    this.endpoint.connect(INITIAL);
  }

  say(bytes: Uint8Array): void {
    this.#unsaid = bytes.slice();
    this.#due = true;
  }

  finish(): void {
    this.#finishing = true;
    this.#due = true;
  }

  turn(): boolean {
    const due = this.#due || this.deadline <= this.#clock.now();
    if (!due) return false;
    this.#due = false;
    this.#context.timers.advance(this.#clock.now());
    this.#write();
    this.endpoint.endTurn();
    this.#link.flush();
    return true;
  }

  tcpOpened(): void {
    this.#due = true;
  }

  tcpReceived(bytes: Uint8Array, start: number, end: number): number {
    assertExpected(this.#expected, this.heard, bytes, start, end);
    this.heard += end - start;
    return end - start;
  }

  tcpPeerFinished(): void {
    this.heardEnd = true;
  }

  tcpSendRoom(): void {
    this.#due = true;
  }

  tcpEnded(): void {}

  tcpTimeWaitOver(): void {}

  tcpTurnDue(): void {
    this.#due = true;
  }

  #write(): void {
    while (this.#unsaid.length > 0) {
      const count = Math.min(this.endpoint.readRoom, this.#unsaid.length, LARGE_PAYLOAD);
      if (count <= 0) return;
      const buffer = this.#context.pool.takeLarge();
      buffer.set(this.#unsaid.subarray(0, count), SEGMENT_HEADROOM);
      this.#unsaid = this.#unsaid.subarray(count);
      if (!this.endpoint.write(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + count)) this.#context.pool.give(buffer);
    }
    if (this.#finishing) this.endpoint.closeWrite();
  }

  #receive({ bytes, start, checksum }: Frame): void {
    const type = ethernetType(bytes, start), ip = start + IP, isIpv6 = type === ETHERTYPE_IPV6;
    // The gateway asks where a guest is that it has not heard for a second; what it sends next says so as well.
    if (type === ETHERTYPE_ARP || (isIpv6 && ipv6NextHeader(bytes, ip) !== PROTOCOL_TCP)) return;
    const tcp = ip + (isIpv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH);
    const end = isIpv6 ? tcp + ipv6PayloadLength(bytes, ip) : ip + ipv4TotalLength(bytes, ip);
    if (checksum === CHECKSUM_COMPLETE && !tcpChecksumValid(bytes, tcp, end, this.#ends.addressSum)) {
      throw new Error("A segment of the gateway has a wrong checksum");
    }
    this.endpoint.segmentArrived(bytes, tcp, end);
  }
}
