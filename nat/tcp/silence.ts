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

/** The silence of one peer. */
export class Silence {
  /** When the last acceptable segment came, in `now()` time. */
  heardAt: number;

  #context: TcpContext;
  #probes = 0;
  /** When the last probe was sent, in `now()` time. */
  #probedAt = 0;

  /** Begins now. */
  constructor(context: TcpContext) {
    this.#context = context;
    this.heardAt = context.now();
  }

  /** An acceptable segment came. */
  heard(): void {
    this.heardAt = this.#context.now();
    this.#probes = 0;
  }

  /** When the next keep-alive probe is due. */
  get probeAt(): number {
    const config = this.#context.config;
    return this.#probes === 0 ? this.heardAt + config.keepAliveMs : this.#probedAt + config.keepAliveIntervalMs;
  }

  /** A probe is due: returns false where the peer has not answered enough of them. */
  probe(): boolean {
    this.#probedAt = this.#context.now();
    return ++this.#probes <= this.#context.config.keepAliveProbes;
  }

  /** How long an answer may take in this state. */
  limitMs(state: TcpState, finSent: boolean): number {
    const config = this.#context.config;
    if (state === "SYN-SENT") return config.connectTimeoutMs;
    return state === "SYN-RECEIVED" || finSent ? config.lastAckTimeoutMs : config.userTimeoutMs;
  }
}
