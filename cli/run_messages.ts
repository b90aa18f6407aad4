/**
 * What the main thread and the gateway's Worker say to each other.
 *
 * The Worker blocks in its event loop once it has started, so a message is seen only after a `wakeLoop`; and one message is under
 * way at a time, so that one wake is enough for each.
 *
 * @module
 */
import type { RunOptions } from "./options.ts";

/** Serve the namespace of process `pid`, whose descriptor `fd` is /dev/net/tun. */
export interface StartMessage {
  /** Tells the kinds apart. */
  readonly kind: "start";
  /** The process in the namespace. */
  readonly pid: number;
  /** Its descriptor of /dev/net/tun. */
  readonly fd: number;
  /** The command line's options. */
  readonly options: RunOptions;
}

/** To the Worker: start, tell the flows, or end. */
export type ToWorker = StartMessage | { readonly kind: "flows" } | { readonly kind: "stop" };

/** From the Worker: the answer to each of these, or that it has failed, which may come at any time. */
export type FromWorker =
  | { readonly kind: "started"; readonly wakeFd: number | undefined }
  | { readonly kind: "flows"; readonly text: string }
  | { readonly kind: "stopped" }
  | { readonly kind: "failed"; readonly message: string };
