/**
 * The log as a listener of events: a line when a flow opens and one when it ends, at `info`, and one for what is
 * refused, as a warning.
 *
 * A guest may open and end flows as fast as it likes, so these lines are rationed by themselves, apart from warnings:
 * what a person would read comes whole, what would fill a disk is counted.
 *
 * @module
 */
import type { Logger } from "../base/logger.ts";
import { RateLimitedLog } from "../base/rate_limited_log.ts";
import { FLOW_ENDINGS } from "./endings.ts";
import type { EventListener, EventOf, EventType, GatewayEvent } from "./events.ts";
import type { FlowInfo } from "./flow.ts";

/** Lines that may come at once: 250 flows. */
export const FLOW_LINES_BURST = 500;
/** Time in milliseconds after which one more line may come. */
export const FLOW_LINES_REFILL_MS = 100;

/** A listener that logs flows to `logger`, and refusals to `warnings`; `now` gives monotonic milliseconds. */
export function flowLog(logger: Logger, warnings: RateLimitedLog, now: () => number): EventListener {
  const infos = new RateLimitedLog(logger, now, { burst: FLOW_LINES_BURST, refillMs: FLOW_LINES_REFILL_MS });
  return (type: EventType, make: () => GatewayEvent) => {
    switch (type) {
      case "flowOpened":
        return infos.info(() => `${describe((make() as EventOf<"flowOpened">).flow)} opened`);
      case "flowEnded":
        return infos.info(() => {
          const { flow, ending } = make() as EventOf<"flowEnded">;
          return `${describe(flow)} ended: ${FLOW_ENDINGS[ending]}; ${flow.bytesFromGuest} bytes from the guest, ` +
            `${flow.bytesToGuest} to it, ${(flow.ageMs / 1000).toFixed(3)} s`;
        });
      case "flowRefused":
        // That nothing can be recorded is said once, by whoever records.
        if ((make() as EventOf<"flowRefused">).cause === "auditUnavailable") return;
        return warnings.warn(() => describeRefusal(make() as EventOf<"flowRefused">));
      default:
        return;
    }
  };
}

/** `Refused tcp 10.0.2.15:41828 > registry.example:443 (192.0.2.7) of guest 1: ` and why. */
function describeRefusal(refused: EventOf<"flowRefused">): string {
  const { protocol, guest, guestNumber, rule, wouldRefuse } = refused;
  return `${wouldRefuse ? "Would refuse" : "Refused"} ${protocol} ${guest} > ${wantedOf(refused)} of guest ` +
    `${guestNumber}: ${rule}`;
}

function wantedOf({ target, address, port, names: [name] }: EventOf<"flowRefused">): string {
  if (name === undefined) return target;
  return `${name}${port === 0 ? "" : `:${port}`} (${address})`;
}

function describe({ protocol, guest, target, host }: FlowInfo): string {
  return `Flow ${protocol} ${guest} > ${target} at ${host}`;
}
