/**
 * What the options of links put around each link: a bad network, a capture, a trace.
 *
 * The impairment stands between the guest's link and the gateway; capture and trace look at it from the gateway's side:
 * they show what the gateway sends and receives, as a capture on the far side of a bad network would.
 *
 * @module
 */
import type { Logger } from "../nat/base/logger.ts";
import type { Clock } from "../net/link/clock.ts";
import type { Link } from "../net/link/link.ts";
import { lossyLink } from "../net/link/lossy.ts";
import { PcapCapture, PcapFile } from "../net/link/pcap_link.ts";
import { traceLink } from "../net/link/trace.ts";
import type { LinkSettings } from "./link_settings.ts";
import { writeStderr } from "./log.ts";

/** The capture's name for standard output. */
const STDOUT = "-";

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

  /** A link with everything around it, or the link itself if nothing was asked for. */
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
