/**
 * A log line when a flow opens and one when it ends, at `info`.
 *
 * A flow has opened once bytes can pass; one that never gets there (refused, unreachable) has the second line alone. A guest may open and end flows as fast as it
 * likes, so the lines are rationed by themselves, apart from warnings: what a person would read comes whole, what would fill a disk is counted.
 *
 * @module
 */
import { FLOW_ENDINGS, type FlowEnding } from "./endings.ts";
import type { Flow, FlowInfo } from "./flow.ts";
import type { Logger } from "../base/logger.ts";
import { RateLimitedLog } from "../base/rate_limited_log.ts";

/** Lines that may come at once: 250 flows. */
export const FLOW_LINES_BURST = 500;
/** Time in milliseconds after which one more line may come. */
export const FLOW_LINES_REFILL_MS = 100;

/** The lines about a gateway's flows. */
export class FlowLog {
  #log: RateLimitedLog;

  /** Lines go to `logger`; `now` gives monotonic milliseconds. */
  constructor(logger: Logger, now: () => number) {
    this.#log = new RateLimitedLog(logger, now, { burst: FLOW_LINES_BURST, refillMs: FLOW_LINES_REFILL_MS });
  }

  /** Bytes can pass. */
  opened(flow: Flow): void {
    this.#log.info(() => `${describe(flow.info())} opened`);
  }

  /** It is over. */
  ended(flow: Flow, ending: FlowEnding): void {
    this.#log.info(() => {
      const info = flow.info();
      return `${describe(info)} ended: ${FLOW_ENDINGS[ending]}; ${info.bytesFromGuest} bytes from the guest, ` +
        `${info.bytesToGuest} to it, ${(info.ageMs / 1000).toFixed(3)} s`;
    });
  }
}

function describe({ protocol, guest, target, host }: FlowInfo): string {
  return `Flow ${protocol} ${guest} > ${target} at ${host}`;
}
