/**
 * The options that every command with links has: a bad network, a capture, a trace. `link_wrapper.ts` makes them.
 *
 * @module
 */
import { type ImpairmentSpec, parseImpairment } from "../net/link/impair_spec.ts";
import type { OptionValues } from "./option_table.ts";
import { readCaptureFile } from "./values.ts";

/** What was asked for around each link. Plain data. */
export interface LinkSettings {
  /** The bad network, if any. */
  readonly impair: ImpairmentSpec | undefined;
  /** The file of the capture, if any; `-` is standard output. */
  readonly pcap: string | undefined;
  /** Whether each frame is a line on stderr. */
  readonly trace: boolean;
}

/** The rows of these options. */
export const LINK_ROWS = {
  "pcap": { metavar: "FILE", help: "write a capture of the guest's link", read: readCaptureFile },
  "impair": {
    metavar: "SPEC",
    help: "a bad network: loss=1%,delay=20ms,jitter=5ms,rate=10mbit,\nreorder=1%,duplicate=1%,seed=7, or some of these",
    read: parseImpairment,
  },
  "trace": { help: "a line a frame on stderr, as tcpdump prints them" },
} as const;

/** The settings that these values make. */
export function linkSettings(values: OptionValues<typeof LINK_ROWS>): LinkSettings {
  return { impair: values.impair, pcap: values.pcap, trace: values.trace };
}
