/**
 * One segment through a TCP endpoint alone, between a user that takes everything and a link that does nothing; and the
 * same segment through the whole gateway beside it.
 *
 * @module
 */
import { BufferPool, LARGE_BUFFER } from "../nat/base/buffers.ts";
import { createTcpDrops, TCP_DEFAULTS, type TcpContext, type TcpUser } from "../nat/tcp/context.ts";
import { TcpEndpoint } from "../nat/tcp/endpoint.ts";
import { TimerWheel } from "../nat/base/timers.ts";
import { writeUint32 } from "../net/wire/bytes.ts";
import { SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { encodeTcp, TCP_ACK, TCP_SYN, TcpHeader, tcpSeq } from "../net/wire/tcp.ts";
import { FlowGateway } from "../tests/support/flow_gateway.ts";

const SEQ = 4, ACK = 8, HEADER = 20, ISN = 0xffff0000;

const LENGTHS = [1, 1460, 65160];

class SinkUser implements TcpUser {
  tcpOpened(): void {}
  tcpReceived(_bytes: Uint8Array, start: number, end: number): number {
    return end - start;
  }
  tcpPeerFinished(): void {}
  tcpSendRoom(): void {}
  tcpEnded(): void {}
  tcpTimeWaitOver(): void {}
  tcpTurnDue(): void {}
}

/** An open endpoint and its peer, whose segment is changed in place. */
class EndpointPair {
  readonly endpoint: TcpEndpoint;
  readonly #segment = new Uint8Array(HEADER + 65536);
  readonly #buffer: Uint8Array;
  #pool = new BufferPool();
  #time = 0;
  #seq = (ISN + 1) >>> 0;
  #ack = 0;

  constructor() {
    const context: TcpContext = {
      config: TCP_DEFAULTS,
      pool: this.#pool,
      timers: new TimerWheel(0),
      drops: createTcpDrops(),
      scratch: new Uint8Array(LARGE_BUFFER),
      now: () => this.#time,
    };
    const transmit = (bytes: Uint8Array, start: number, end: number): void => {
      const header = (bytes[start + 12]! >>> 4) * 4, syn = bytes[start + 13]! & TCP_SYN ? 1 : 0;
      this.#ack = (tcpSeq(bytes, start) + end - start - header + syn) >>> 0;
    };
    const lower = { localPort: 80, peerPort: 40000, maxSegmentSize: 1460, maxBurst: 65160, transmit };
    this.endpoint = new TcpEndpoint(context, { lower, ports: lower, user: new SinkUser() });
    this.#buffer = this.#pool.takeLarge();
    const syn = new TcpHeader(), bytes = new Uint8Array(60);
    syn.flags = TCP_SYN;
    syn.seq = ISN;
    syn.window = 0xffff;
    syn.mss = 1460;
    syn.windowShift = 7;
    encodeTcp(bytes, 0, syn);
    this.endpoint.listen(bytes, 0);
    this.endpoint.accept(ISN);
    const header = new TcpHeader();
    header.flags = TCP_ACK;
    header.window = 0xffff;
    encodeTcp(this.#segment, 0, header);
    this.receive(0);
  }

  /** A segment of the peer, and the acknowledgement at the end of the turn. */
  receive(length: number): void {
    writeUint32(this.#segment, SEQ, this.#seq);
    writeUint32(this.#segment, ACK, this.#ack);
    this.endpoint.segmentArrived(this.#segment, 0, HEADER + length);
    this.endpoint.endTurn();
    this.#seq = (this.#seq + length) >>> 0;
    this.#time += 0.01;
  }

  /**
   * A segment to the peer, and its acknowledgement. The buffer is never kept: a large one returns to the pool at once.
   */
  send(length: number): void {
    const adopted = this.endpoint.write(this.#buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + length);
    this.receive(0);
    if (adopted && this.#pool.takeLarge() !== this.#buffer) {
      throw new Error("Cannot go on: the pool has another buffer");
    }
  }
}

for (const length of LENGTHS) {
  const pair = new EndpointPair();
  const received = `a segment of ${length} bytes from the peer`, sent = `a segment of ${length} bytes to the peer`;
  Deno.bench(`endpoint_receive ${length}`, { group: received, baseline: true }, () => pair.receive(length));
  Deno.bench(`endpoint_send ${length}, and its ACK`, { group: sent, baseline: true }, () => pair.send(length));
  for (const family of [4, 6] as const) {
    const gateway = new FlowGateway({ family }), flow = gateway.open(1);
    Deno.bench(`gateway_receive ${length} over IPv${family}`, { group: received }, () => {
      flow.sendData(length);
      gateway.turn();
    });
    Deno.bench(`gateway_send ${length} over IPv${family}, and its ACK`, { group: sent }, () => {
      flow.hostSends(length);
      gateway.turn();
      flow.sendData(0);
      gateway.turn();
    });
  }
}
