/**
 * What a program may decide of each flow that rules allow, by a function of its own.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import type { FlowProtocol, Rule } from "./rule.ts";
import type { Target } from "./translate.ts";

/** A flow that a guest is about to begin and that rules allow. */
export interface AskedFlow {
  /** The guest's number. */
  readonly guestNumber: number;
  /** The transport. */
  readonly protocol: FlowProtocol;
  /** The guest's address and port; for ICMP echo the identifier is the port. */
  readonly guest: string;
  /** The address that the guest asks for. */
  readonly address: string;
  /** The port that it asks for; 0 for ICMP echo. */
  readonly port: number;
  /** The host address and port that stand for it. */
  readonly host: string;
  /** The names that the address has for the guest, 16 at most. */
  readonly names: readonly string[];
  /** The rule that allows it; null: nothing forbids it. */
  readonly rule: Rule | null;
}

/** Go on, refuse, or lead to `redirect` instead: `ADDR:PORT` or `[ADDR]:PORT`, the port of ICMP echo unheeded. */
export type Decision = "allow" | "refuse" | { readonly redirect: string };

/**
 * Decides at once, with the gateway's turn waiting for it; it must not call the gateway. If it throws, the flow is
 * refused.
 */
export type Decide = (flow: AskedFlow) => Decision;

/** Reads where a redirect leads. Throws a `TypeError` that says what would be right. */
export function parseRedirect(text: unknown): Target {
  const right = "a redirect is ADDR:PORT, such as 127.0.0.1:8080 or [::1]:8080";
  const [, six, four, digits] = typeof text !== "string"
    ? []
    : /^(?:\[([0-9a-fA-F:.]+)\]|([\d.]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port < 1 || port > 65535) throw new TypeError(right);
  let address: IpAddress;
  try {
    address = IpAddress.parse((six ?? four)!);
  } catch {
    throw new TypeError(right);
  }
  return { address, port };
}

/** A target as text. */
export function targetText({ address, port }: Target): string {
  return formatEndpoint(address, port);
}
