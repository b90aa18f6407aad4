/**
 * What guests have sent and finished still arrives when a gateway is to end, as it would from a program on the host,
 * whose kernel goes on sending.
 *
 * **What is waited for** of a guest that has ended (`run`: COMMAND and all that it left are gone, but the network
 * namespace and its kernel's half of every connection live as long as the TAP is open):
 *
 * - connections of which that kernel has not said the end yet. It will say one, FIN or RST, since nobody has the socket
 *   any more; SYN-RECEIVED is among them, because the guest may have sent and finished before its ACK was read;
 * - connections whose bytes the host has not taken;
 * - frames that are on their way: in the TAP, held by the impairment. Last datagrams are among them;
 * - what sockets that write ahead (Deno's) were given.
 *
 * Guests that live (`serve`) will not end because the gateway does, so only what was finished when it was told to end
 * counts, in either direction: connections whose guest has finished and whose host has not taken everything, and those
 * whose host has finished and whose guest has not acknowledged everything.
 *
 * **Progress is the measure**, not time: a host that takes a little now and then gets everything. If nothing moves for
 * a minute (`serve`: ten seconds) the rest is given up, with a warning that names it. A frame alone is no progress,
 * because kernels repeat themselves to a host that takes nothing.
 *
 * @module
 */
import type { FlowInfo } from "../nat/flow/flow.ts";

/** How long nothing may move. */
export const IDLE_MS = 60_000;
/** The same for guests that live: whoever ends `serve` waits for it. */
export const GRACE_MS = 10_000;
/** How often in a row nothing must be left: a busy machine's kernel may hand a frame on a little later. */
const LOOKS = 3;
/** Flows that a warning names. */
const NAMED = 5;

/** What there is to see of a gateway that is to end. */
export interface Ending {
  /** Every flow. */
  flows(): readonly FlowInfo[];
  /** Frames on their way in the links. */
  frames(): number;
  /** Bytes that sockets of the host hold and the system has not taken. */
  unwritten(): number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Where warnings go. */
  warn(line: string): void;
}

/** Tells when everything that was sent has arrived. */
export class LastBytes {
  readonly #gateway: Ending;
  readonly #isAwaited: (flow: FlowInfo) => boolean;
  readonly #awaitsFrames: boolean;
  readonly #idleMs: number;
  #passed = "";
  #movedAt: number;
  #quietLooks = 0;

  /** Begins to wait for what `gateway` carries, of guests that have ended or of those that live. */
  constructor(gateway: Ending, { guestsHaveEnded }: { readonly guestsHaveEnded: boolean }) {
    const toldAt = gateway.now();
    this.#gateway = gateway;
    this.#awaitsFrames = guestsHaveEnded;
    this.#idleMs = guestsHaveEnded ? IDLE_MS : GRACE_MS;
    this.#isAwaited = guestsHaveEnded
      ? isUnderWay
      : (flow) => isFinishing(flow) && flow.ageMs >= gateway.now() - toldAt;
    this.#movedAt = toldAt;
  }

  /** Looks again, as is to be done every few milliseconds: whether nothing is left, or the rest was given up. */
  isOver(): boolean {
    const flows = this.#gateway.flows().filter(this.#isAwaited);
    const frames = this.#awaitsFrames ? this.#gateway.frames() : 0, unwritten = this.#gateway.unwritten();
    const isQuiet = flows.length === 0 && frames === 0 && unwritten === 0;
    this.#quietLooks = isQuiet ? this.#quietLooks + 1 : 0;
    if (isQuiet) return !this.#awaitsFrames || this.#quietLooks >= LOOKS;
    const passed = `${flows.length} ${unwritten} ${flows.reduce((sum, flow) => sum + bytesPassed(flow), 0)}`;
    if (passed !== this.#passed) this.#movedAt = this.#gateway.now();
    this.#passed = passed;
    if (this.#gateway.now() - this.#movedAt < this.#idleMs) return false;
    this.#giveUp(flows, unwritten);
    return true;
  }

  #giveUp(flows: readonly FlowInfo[], unwritten: number): void {
    const after = `given up after ${this.#idleMs / 1000} s without progress`, rest = flows.length - NAMED;
    for (const flow of flows.slice(0, NAMED)) this.#gateway.warn(`Flow ${describe(flow)}: ${after}`);
    if (rest > 0) this.#gateway.warn(`${rest} more flows: ${after}`);
    if (unwritten > 0) this.#gateway.warn(`${unwritten} bytes that the host's sockets hold: ${after}`);
  }
}

/** Whether a guest that has ended has something under way to the host, or may have. */
function isUnderWay(flow: FlowInfo): boolean {
  if (flow.protocol !== "tcp") return false;
  switch (flow.state) {
    case "SYN-RECEIVED":
    case "ESTABLISHED":
    case "FIN-WAIT-1":
    case "FIN-WAIT-2":
    case "draining":
      return true;
    default:
      return owesHost(flow);
  }
}

/** Whether a side of this flow has finished, and what it said has not all arrived. */
function isFinishing(flow: FlowInfo): boolean {
  if (flow.protocol !== "tcp") return false;
  switch (flow.state) {
    case "draining":
    // The host's FIN, and perhaps bytes before it, are not acknowledged.
    case "FIN-WAIT-1":
    case "CLOSING":
    case "LAST-ACK":
      return true;
    case "CLOSE-WAIT":
    case "TIME-WAIT":
      return owesHost(flow);
    default:
      return false;
  }
}

function owesHost(flow: FlowInfo): boolean {
  return flow.bytesToHost < flow.bytesFromGuest;
}

function bytesPassed(flow: FlowInfo): number {
  return flow.bytesFromGuest + flow.bytesToHost + flow.bytesToGuest;
}

function describe(flow: FlowInfo): string {
  const { protocol, guest, target, host, state, bytesFromGuest, bytesToHost } = flow;
  const owed = bytesFromGuest - bytesToHost;
  const what = owed > 0 ? `the host has not taken ${owed} bytes` : `the guest has not finished (${state})`;
  return `${protocol} ${guest} > ${target} to ${host}: ${what}`;
}
