/**
 * A line for each frame that passes on a link, in both directions, as tcpdump prints them: the first thing to look at
 * when a guest reaches nothing.
 *
 * Lines are made and given away while the frame passes, so this slows a link down by orders of magnitude. It shows
 * headers and no payloads, and a segment of 64 KiB as the one that it is.
 *
 * @module
 */
import { formatFrame } from "../wire/frame_text.ts";
import { wallClockMs } from "./clock.ts";
import type { Link } from "./link.ts";
import { ObservedLink } from "./observed.ts";

/** How a link is traced. */
export interface TraceLinkOptions {
  /** Milliseconds since 1970 began (UTC), with a fraction; the program's clock unless given. */
  readonly now?: () => number;
}

/**
 * Gives a line for each frame that passes on `link` to `print`, which must not throw. The link from then on belongs to
 * what is returned.
 *
 * @example
 * ```ts
 * import { memoryLinkPair, traceLink } from "@hawser/hawser/link";
 *
 * const [link, guest] = memoryLinkPair();
 * const traced = traceLink(link, (line) => console.error(line));
 * await traced.close();
 * ```
 */
export function traceLink(link: Link, print: (line: string) => void, options: TraceLinkOptions = {}): Link {
  const now = options.now ?? wallClockMs;
  return new ObservedLink(link, {
    frame: ({ bytes, start, end }) => print(`${timeOfDay(now())} ${formatFrame(bytes, start, end)}`),
    flush: () => {},
  });
}

/** `22:13:20.500000`, in the program's time zone. */
function timeOfDay(epochMs: number): string {
  const date = new Date(epochMs), microseconds = Math.floor((epochMs - Math.floor(epochMs / 1000) * 1000) * 1000);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => `${part}`.padStart(2, "0"));
  return `${clock.join(":")}.${`${microseconds}`.padStart(6, "0")}`;
}
