/**
 * Refusals of flows in words: what decided, and what would help.
 *
 * A refusal is read by a person or an agent who wants the flow to pass, so it ends with the option that would let it,
 * written as it may be given.
 *
 * @module
 */
import { formatEndpoint, type IpAddress } from "../../net/wire/address.ts";
import type { DropReason } from "../base/counters.ts";
import { describeRule, type FlowProtocol, type Rule } from "./rule.ts";
import type { Refusal } from "./translate.ts";
import { type FlowRefusal, MOST_NAMES, type RefusalCause } from "./verdict.ts";

/** What a guest asks for, as refusals name it. */
export interface Wanted {
  /** The transport. */
  readonly protocol: FlowProtocol;
  /** The address. */
  readonly address: IpAddress;
  /** The port; 0 where there is none. */
  readonly port: number;
  /** The names that the address has for the guest. */
  readonly names: readonly string[];
}

/** What of a refusal is for who reads it. */
type Told = Pick<FlowRefusal, "names" | "words">;

/** A refusal. Its names and words are made when they are wanted, since a guest is refused as fast as it asks. */
class Refused implements FlowRefusal {
  readonly cause: RefusalCause;
  readonly counter: DropReason;
  readonly rule: Rule | null;
  #tell: () => Told;
  #told: Told | null = null;

  constructor(cause: RefusalCause, counter: DropReason, rule: Rule | null, tell: () => Told) {
    this.cause = cause;
    this.counter = counter;
    this.rule = rule;
    this.#tell = tell;
  }

  get names(): readonly string[] {
    return (this.#told ??= this.#tell()).names;
  }

  get words(): string {
    return (this.#told ??= this.#tell()).words;
  }
}

/** The same as plain data, to be kept and sent. */
export function plainRefusal({ cause, counter, rule, names, words }: FlowRefusal): FlowRefusal {
  return { cause, counter, rule, names, words };
}

/** No record of the flow could be written. */
export const AUDIT_UNAVAILABLE: FlowRefusal = {
  cause: "auditUnavailable",
  counter: "auditUnavailable",
  rule: null,
  names: [],
  words: "its audit record cannot be written",
};

/** It leads where nothing is relayed: `translate` says why. */
export function neverRelayed({ refusal, rule: words }: Refusal): FlowRefusal {
  return { cause: "neverRelayed", counter: refusal, rule: null, names: [], words };
}

/** A deny rule forbids it; `words` are how `translate` has said it. */
export function ruledOut(wanted: Wanted, rule: Rule, words?: string): FlowRefusal {
  return new Refused("rule", "denied", rule, () => ({ names: wanted.names, words: words ?? describeRule(rule) }));
}

/** No allow rule matches. */
export function notAllowed(wanted: Wanted): FlowRefusal {
  return new Refused("notAllowed", "denied", null, () => {
    const { names } = wanted;
    return { names, words: `no allow rule matches; ${remedy(wanted, names[0])} would` };
  });
}

/** No allow rule matches by address, and none by name, since no answer led there. */
export function unbound(wanted: Wanted): FlowRefusal {
  return new Refused("unbound", "nameUnbound", null, () => ({
    names: [],
    words: `no allow rule matches, and no DNS answer led there; ${remedy(wanted, undefined)} would`,
  }));
}

/** An answer for allowed names led there, and has expired. */
export function expired(names: readonly string[]): FlowRefusal {
  const words = `the DNS answer for ${names[0]} that led there has expired; asking for the name again helps`;
  return { cause: "expired", counter: "nameExpired", rule: null, names, words };
}

/** A limit is reached. */
export function overLimit(
  { reason, why }: { readonly reason: DropReason; readonly why: string },
  names: readonly string[] = [],
): FlowRefusal {
  return { cause: "limit", counter: reason, rule: null, names, words: why };
}

/** The program's own `decide` refuses it. */
export function hookRefused(rule: Rule | null, names: readonly string[], words: string): FlowRefusal {
  return { cause: "hook", counter: "hookRefused", rule, names, words };
}

/** The option that would allow it, by this name if it has one. */
export function remedy({ protocol, address, port }: Wanted, name: string | undefined): string {
  if (protocol === "icmp") return `--allow icmp:${name ?? (address.isIpv4 ? address : `[${address}]`)}`;
  if (name === undefined) return `--allow ${formatEndpoint(address, port)}`;
  return `--allow ${protocol === "udp" ? "udp:" : ""}${name}:${port}`;
}

/** As many names as events tell. */
export function fewNames(names: readonly string[]): readonly string[] {
  return names.length > MOST_NAMES ? names.slice(0, MOST_NAMES) : names;
}
