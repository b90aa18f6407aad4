/**
 * How flows ended, by name.
 *
 * Every flow that ever was is either in the table, or draining, or has moved exactly one of these.
 *
 * @module
 */

/** Every way a flow may end, with what it means. Which side is first counts by when Hawser saw its end. */
export const FLOW_ENDINGS = {
  /** Both directions finished in order, the guest's FIN before the host's EOF. */
  guestFirst: "both sides finished, the guest first",
  /** Both directions finished in order, and the guest had acknowledged the host's end before its own FIN came. */
  hostFirst: "both sides finished, the host first",
  /** The FINs crossed: the guest's came while ours was not acknowledged. */
  bothAtOnce: "both sides finished at once",
  /** The guest sent RST. */
  resetByGuest: "reset by the guest",
  /** The host connection was reset, or broke otherwise. */
  resetByHost: "reset by the host",
  /** The guest refused a client of a forward. */
  refusedByGuest: "refused by the guest",
  /** The host refused the connect. */
  refusedByHost: "refused by the host",
  /** The host has no way to the target or may not go there. */
  unreachable: "the host cannot reach it",
  /** The host's connect was not answered. */
  connectTimedOut: "the host's connect was not answered",
  /** The host had no descriptor, port or memory for it. */
  hostExhausted: "the host has no descriptor, port or memory left",
  /** The guest answered nothing for too long. */
  guestSilent: "the guest fell silent",
  /** The guest's link ended. */
  guestGone: "the guest is gone",
  /** The forward through which the client came was removed, with its flows. */
  forwardRemoved: "its forward was removed",
  /** The gateway was closed. */
  gatewayClosed: "the gateway was closed",
  /** The stream named a TLS server that the rules do not allow there, or none. */
  sniRefused: "the TLS server that it named is not allowed there",
  /** The stream named an HTTP host that the rules do not allow there, or none. */
  hostRefused: "the HTTP host that it named is not allowed there",
  /** The stream said no name, and only one could have allowed it (`--names strict`). */
  unverified: "it said no name that could be verified",
  /** The rules were changed, and forbid it now. */
  rulesChanged: "the rules were changed and forbid it now",
  /** Its record could not be written. */
  auditUnavailable: "its audit record could not be written",
  /** A datagram flow was unused for long enough. */
  idle: "unused",
  /** A datagram flow was the one longest unused when another needed its place. */
  evicted: "made room for another",
} as const;

/** An ending by name. */
export type FlowEnding = keyof typeof FLOW_ENDINGS;

/** How many flows ended in each way. */
export type Endings = Record<FlowEnding, number>;

/** All at 0. */
export function createEndings(): Endings {
  return Object.fromEntries(Object.keys(FLOW_ENDINGS).map((ending) => [ending, 0])) as Endings;
}
