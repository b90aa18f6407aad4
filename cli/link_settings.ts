/**
 * The options that every command with links has: a bad network, a capture, a trace.
 *
 * The impairment stands between the guest's link and the gateway; capture and trace look at it from the gateway's side:
 * they show what the gateway sends and receives, as a capture on the far side of a bad network would.
 *
 * @module
 */
import type { Clock } from "../net/link/clock.ts";
import { type ImpairmentSpec, parseImpairment } from "../net/link/impair_spec.ts";
import type { Link } from "../net/link/link.ts";
import { lossyLink } from "../net/link/lossy.ts";
import { PcapCapture, PcapFile } from "../net/link/pcap_link.ts";
import { traceLink } from "../net/link/trace.ts";
import type { Logger } from "../nat/base/logger.ts";
import { writeStderr } from "./log.ts";
import type { OptionValues } from "./option_table.ts";
import { readCaptureFile } from "./values.ts";

/** What was asked for around each link. Plain data, so that it can be posted to a Worker. */
export interface LinkSettings {
  /** The bad network, if any. */
  readonly impair: ImpairmentSpec | undefined;
  /** The file of the capture, if any; `-` is standard output. */
  readonly pcap: string | undefined;
  /** Whether each frame is a line on stderr. */
  readonly trace: boolean;
}

/** The capture's name for standard output. */
const STDOUT = "-";

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

/** Puts around links what was asked for; the capture is one for all of them. */
export class LinkWrapper implements Disposable {
  readonly #settings: LinkSettings;
  readonly #clock: Clock;
  readonly #file: PcapFile | undefined;
  readonly #capture: PcapCapture | undefined;

  /** Opens the capture, and throws what `PcapFile.open` throws. The impairment goes by `clock`. */
  constructor(settings: LinkSettings, parts: { clock: Clock; logger: Logger }) {
    this.#settings = settings;
    this.#clock = parts.clock;
    if (settings.pcap === undefined) return;
    const stdout = { writeSync: (bytes: Uint8Array) => Deno.stdout.writeSync(bytes) };
    this.#file = settings.pcap === STDOUT ? new PcapFile(stdout) : PcapFile.open(settings.pcap);
    this.#capture = new PcapCapture(this.#file, { logger: parts.logger });
  }

  /** A link with everything around it, or the link itself where nothing was asked for. */
  wrap(link: Link): Link {
    const { impair, trace } = this.#settings;
    if (impair !== undefined) link = lossyLink(link, { ...impair, clock: this.#clock });
    if (this.#capture !== undefined) link = this.#capture.record(link);
    if (trace) link = traceLink(link, (line) => writeStderr(`${line}\n`));
    return link;
  }

  /** Closes the capture; the links are closed before. */
  [Symbol.dispose](): void {
    this.#file?.[Symbol.dispose]();
  }
}
