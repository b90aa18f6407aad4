/**
 * How a TCP flow closes, as a table.
 *
 * **Two directions**, named alike. One carries what the guest says to the host, the other what the host says to the
 * guest. A direction has *finished* when its sender has said that nothing more comes (the guest's FIN and every byte
 * before it, the host's EOF). It *owes* while bytes wait between the two. It is *closed* when its end was passed on:
 * `closeWrite` to the host; FIN to the guest, which the endpoint keeps account of. It has *failed* when its receiver
 * takes nothing more.
 *
 * **The verdict.** When the guest's endpoint is over, something must become of the host socket. `VERDICTS` has a row
 * for each way in which the endpoint is over, and in it an entry for each stage of the direction to the host, as
 * `transitions.ts` has for states and events. There is no default. What the entries follow from:
 *
 * - The host sees an orderly end only if the guest has finished and the host was given every byte that the guest was
 *   acknowledged.
 * - What was acknowledged is written although the guest is gone: the relay drains. Only a reset, by whoever it is, ends
 *   that.
 * - A guest that resets after both have finished says nothing that the host could still hear.
 *
 * @module
 */
import type { FlowEnding } from "../flow/endings.ts";
import type { TcpEnd } from "../tcp/context.ts";

/** What one side of a flow says to the other. */
export interface Direction {
  /** Its sender has said that nothing more comes. */
  finished: boolean;
  /** That end was passed on. */
  closed: boolean;
  /** Its receiver takes nothing more. */
  failed: boolean;
}

/** How far a direction is, if bytes wait in it or not. */
export function stageOf(direction: Direction, owes: boolean): Stage {
  if (direction.failed) return "failed";
  if (owes) return direction.finished ? "finishing" : "owing";
  return direction.finished ? "finished" : "open";
}

/** How far a direction is. */
export type Stage =
  /** More may come, and nothing waits. */
  | "open"
  /** More may come, and bytes wait. */
  | "owing"
  /** Nothing more comes, and bytes wait. */
  | "finishing"
  /** Nothing more comes, and nothing waits. */
  | "finished"
  /** The receiver takes nothing more. */
  | "failed";

/** Every stage. */
export const STAGES: readonly Stage[] = ["open", "owing", "finishing", "finished", "failed"];

/** How the guest's side of a flow is over: as its endpoint says, or from outside. */
export type GuestEnd =
  | TcpEnd
  /** The link has ended, and the guest with it. */
  | "gone"
  /** The forward through which the host's client came was removed, with its flows. */
  | "removed"
  /** The gateway was closed. */
  | "closed";

/** What becomes of the host socket. */
export type Verdict =
  /** An orderly end. */
  | "close"
  /** A reset. */
  | "reset"
  /** A reset if the host may still send, else an orderly end: it has nobody left to send to. */
  | "resetSender"
  /** It stays until it has taken what waits. */
  | "drain";

/** The verdict for each stage of the direction to the host, `null` for what cannot be. */
export type VerdictRow = Readonly<Record<Stage, Verdict | null>>;

const CUT: VerdictRow = { open: "reset", owing: "reset", finishing: "reset", finished: "reset", failed: "reset" };
/** The guest says nothing any more, and nobody has cut the flow off. */
const LOST: VerdictRow = { ...CUT, owing: "drain", finishing: "drain", finished: "close" };

/** The verdict for each way in which the guest's side is over. */
export const VERDICTS: Readonly<Record<GuestEnd, VerdictRow>> = {
  // Both FINs were acknowledged, so the guest has finished.
  "finished": { open: null, owing: null, finishing: "drain", finished: "close", failed: "reset" },
  "reset": { ...CUT, finished: "resetSender" },
  // The gateway resets the guest because the host has failed, or was never connected.
  "aborted": CUT,
  "timedOut": LOST,
  // A guest that refuses has said nothing.
  "refused": { open: "reset", owing: null, finishing: null, finished: null, failed: "reset" },
  "gone": LOST,
  "removed": CUT,
  "closed": { ...CUT, finished: "close" },
};

/**
 * How a flow ends whose endpoint is over so, if nothing broke it off before; `null`: by who finished first, or as
 * whoever aborted it says.
 */
export const ENDINGS: Readonly<Record<TcpEnd, FlowEnding | null>> = {
  finished: null,
  reset: "resetByGuest",
  aborted: null,
  timedOut: "guestSilent",
  refused: "refusedByGuest",
};

/** How the guest's side is over where a flow is aborted, by the ending that it is given. */
export function abortedAs(ending: FlowEnding): GuestEnd {
  if (ending === "guestGone") return "gone";
  return ending === "forwardRemoved" ? "removed" : "closed";
}

/** What becomes of the host socket. Throws an `Error` for what the table says cannot be: a defect of the relay. */
export function verdict(end: GuestEnd, toHost: Stage, hostFinished: boolean): "close" | "reset" | "drain" {
  const entry = VERDICTS[end][toHost];
  if (entry === null) throw new Error(`Cannot close a flow: a guest that is ${end} leaves no direction ${toHost}`);
  if (entry === "resetSender") return hostFinished ? "close" : "reset";
  return entry;
}
