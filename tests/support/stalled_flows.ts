/**
 * A gateway whose open flows lead to hosts that take nothing: what a hostile guest would build to make it hold memory.
 *
 * Run as a program it offers far more bytes than may be held, without making garbage of its own, and prints how much
 * its resident memory has grown.
 *
 * @module
 */
import { CHECKSUM_VERIFIED } from "../../net/wire/frame.ts";
import { TCP_SYN } from "../../net/wire/tcp.ts";
import { writeUint32 } from "../../net/wire/bytes.ts";
import { GUEST_ISN, NatScript } from "./nat_script.ts";

/** Flows of a `StalledFlows`, from the ports 1 to this. */
export const FLOWS = 100;
/** Bytes of buffers at which its flows hold back. */
export const LIMIT: number = 8 << 20;

/** Sequence number in a frame of `NatScript`. */
const SEQ = 14 + 20 + 4;

/** A hundred open flows whose hosts take nothing. */
export class StalledFlows extends NatScript {
  #acks: number[] = [];

  constructor() {
    super({ maxFlows: FLOWS, maxBufferBytes: LIMIT });
    this.host.defaultBudget = 0;
    for (let port = 1; port <= FLOWS; port++) {
      this.send({ flags: TCP_SYN, ack: 0, seq: GUEST_ISN, port, mss: 1460, windowShift: 7, sackPermitted: true });
      this.host.onlyConnect().accept();
      this.host.run();
      this.#acks[port] = (this.take().at(-1)!.seq + 1) >>> 0;
      this.data(port, 0, "");
    }
    this.take();
  }

  /** A segment of the flow from `port`, whose first byte is the `offset`th. */
  data(port: number, offset: number, payload: Uint8Array | string): void {
    this.frame(this.#segment(port, offset, payload));
  }

  /** Offers `count` segments of 1400 bytes on every flow, each flow's in order, whether they are taken or not. */
  flood(count: number): void {
    const payload = new Uint8Array(1400);
    for (let port = 1; port <= FLOWS; port++) {
      const frame = this.pointAt(this.#segment(port, 0, payload));
      frame.checksum = CHECKSUM_VERIFIED;
      for (let i = 0; i < count; i++) {
        writeUint32(frame.bytes, SEQ, (GUEST_ISN + 1 + i * 1400) >>> 0);
        this.guest.receive(frame);
        if (i % 64 === 0) this.host.run();
      }
      this.host.wake();
      this.host.run();
      this.take();
    }
  }

  #segment(port: number, offset: number, payload: Uint8Array | string): Uint8Array {
    return this.segment({ payload, seq: (GUEST_ISN + 1 + offset) >>> 0, ack: this.#acks[port]!, port, window: 0x4000 });
  }
}

if (import.meta.main) {
  const script = new StalledFlows();
  script.flood(10);
  const before = Deno.memoryUsage().rss;
  for (let round = 0; round < 4; round++) script.flood(1400);
  console.log(JSON.stringify({ offered: 4 * 1400 * 1400 * FLOWS, grown: Deno.memoryUsage().rss - before }));
}
