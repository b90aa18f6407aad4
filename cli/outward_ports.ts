/**
 * `-T` and `-U` as text: ports of a namespace's loopback that lead to the host's. `lead_outward.ts` leads them.
 *
 * @module
 */
import { type AutoPorts, type ForwardProtocol, parsePortRequest } from "../forward/port_spec.ts";

/** How many ports there may be: each takes two descriptors of the agent. */
export const MOST_OUTWARD = 1024;
const ALL = "all";
const SHAPE =
  "it names ports of loopback, such as 5432, 5432:15432 or 8000-8009, or it is auto, auto,~5432 (not that one) or none";

/** A port of the namespace's loopback, and that of the host's. */
export interface OutwardPort {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** The namespace's. */
  readonly port: number;
  /** The host's. */
  readonly hostPort: number;
}

/** What SPECs ask for. */
export interface OutwardPorts {
  /** Ports that are named. */
  readonly named: readonly OutwardPort[];
  /** What listens on the host, if that is to be followed. */
  readonly auto: readonly AutoPorts[];
}

/** Reads a SPEC. Throws as `parsePortRequest` does. */
export function parseOutward(protocol: ForwardProtocol, text: string): OutwardPorts {
  const items = text.split(",");
  // What is left out alone would be left out of all.
  if (/[/%]/.test(text) || items.includes(ALL) || items.every((item) => item.startsWith("~"))) {
    throw new TypeError(SHAPE);
  }
  const { fixed, auto } = parsePortRequest(protocol, text);
  if (fixed.length > MOST_OUTWARD) {
    throw new RangeError(`it names ${fixed.length} ports, ${MOST_OUTWARD} are the most`);
  }
  const named = fixed.map(({ port, guestPort, guestAddress }) => {
    if (guestAddress !== null || port === 0 || guestPort === 0) throw new TypeError(SHAPE);
    return { protocol, port, hostPort: guestPort };
  });
  return { named, auto: auto === null ? [] : [auto] };
}

/** All that several SPECs ask for; `undefined`: nothing. */
export function mergeOutward(all: readonly OutwardPorts[]): OutwardPorts | undefined {
  const named = all.flatMap(({ named }) => named), auto = all.flatMap(({ auto }) => auto);
  return named.length + auto.length === 0 ? undefined : { named, auto };
}

/** A port of the host as a gateway is told it. */
export function hostPortOf({ protocol, hostPort }: OutwardPort): string {
  return `${protocol}:${hostPort}`;
}
