/**
 * How long the peer has been silent, and how long it may be (RFC 9293 sections 3.8.3, 3.8.4).
 *
 * Two limits: something of ours waits for an answer, then the time depends on the state; or nothing does, then an idle
 * connection may be silent for ever as long as it answers the probes that come after `keepAliveMs`. Each probe is given
 * its time from when it was sent: a gateway that was stopped for hours asks before it believes that the peer is gone.
 *
 * @module
 */
import type { TcpContext } from "./context.ts";
import type { TcpState } from "./transitions.ts";

/** The state of a silence, times in `now()` time. */
export interface SilenceRecord {
  /** When the last acceptable segment came. */
  heardAt: number;
  /** Probes since then. */
  probes: number;
  /** When the last of them was sent. */
  probedAt: number;
}

/** The silence of one peer. */
export class Silence {
  /** All of its state. */
  readonly record: SilenceRecord;

  #context: TcpContext;

  /** Begins now. */
  constructor(context: TcpContext) {
    this.#context = context;
    this.record = { heardAt: context.now(), probes: 0, probedAt: 0 };
  }

  /** An acceptable segment came. */
  heard(): void {
    const { record } = this;
    record.heardAt = this.#context.now();
    record.probes = 0;
  }

  /** When the next keep-alive probe is due. */
  get probeAt(): number {
    const { heardAt, probes, probedAt } = this.record, { config } = this.#context;
    return probes === 0 ? heardAt + config.keepAliveMs : probedAt + config.keepAliveIntervalMs;
  }

  /** A probe is due: returns false where the peer has not answered enough of them. */
  probe(): boolean {
    const { record } = this;
    record.probedAt = this.#context.now();
    return ++record.probes <= this.#context.config.keepAliveProbes;
  }

  /** How long an answer may take in this state. */
  limitMs(state: TcpState, finSent: boolean): number {
    const config = this.#context.config;
    if (state === "SYN-SENT") return config.connectTimeoutMs;
    return state === "SYN-RECEIVED" || finSent ? config.lastAckTimeoutMs : config.userTimeoutMs;
  }
}
