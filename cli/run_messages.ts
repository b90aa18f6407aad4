/**
 * What the main thread and the gateway's Worker say to each other.
 *
 * The Worker blocks in its event loop once it has started, so a message is seen only after a `wakeLoop`; and one
 * message is under way at a time, so that one wake is enough for each.
 *
 * @module
 */
import type { Report } from "./flow_report.ts";
import type { GatewaySettings } from "./gateway_settings.ts";
import type { LinkSettings } from "./link_settings.ts";
import type { GuestSource } from "./guest_source.ts";

/** Serve the guests that come from these sources. */
export interface StartMessage {
  /** Tells the kinds apart. */
  readonly kind: "start";
  /** Where guests come from. */
  readonly sources: readonly GuestSource[];
  /** Whether it is a failure if every source was a TAP and none of them is left. */
  readonly needsTap: boolean;
  /** From where the sockets of flows go out, see `LinuxHostOptions`. */
  readonly outbound?: readonly string[];
  /** Whether this thread keeps no capability but that for low ports. */
  readonly isConfined?: boolean;
  /** What the gateway was told on the command line. */
  readonly settings: GatewaySettings & LinkSettings;
}

/** End. */
export interface StopMessage {
  /** Tells the kinds apart. */
  readonly kind: "stop";
  /** Whether no guest lives any more, so that what is open has but to be carried to its end. */
  readonly guestsHaveEnded: boolean;
}

/** To the Worker: start, tell the flows, or end. */
export type ToWorker = StartMessage | { readonly kind: "flows" } | StopMessage;

/** It serves. */
export interface StartedMessage {
  /** Tells the kinds apart. */
  readonly kind: "started";
  /** For `wakeLoop`, where the Worker blocks in its loop. */
  readonly wakeFd: number | undefined;
  /** Where guests come from, with the real ports, in the order of the sources. */
  readonly addresses: readonly string[];
  /** Whether guests are told of a default route for IPv6. */
  readonly ipv6Route: boolean;
}

/** From the Worker: the answer to each of these, or that it has failed, which may come at any time. */
export type FromWorker =
  | StartedMessage
  | { readonly kind: "flows"; readonly report: Report }
  | { readonly kind: "stopped" }
  | { readonly kind: "failed"; readonly message: string };
