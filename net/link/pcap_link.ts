/**
 * A capture of what passes on a link: both directions, as a pcap file that tcpdump, tshark and Wireshark read, also
 * while it grows.
 *
 * **Whole frames**, segments of 64 KiB included, stamped when they pass. A checksum that the link leaves half done (see
 * `Frame`) is completed in the recorded copy, so that a reader finds no wrong one; the frame itself stays as it is.
 *
 * **The sink** takes bytes at once and in order; a record comes in one piece, and `flush` at the end of each batch.
 * `PcapFile` is one over anything that has `writeSync`: it gathers a batch and writes it in one call.
 *
 * **Failure.** When the sink throws (a disk that is full, a reader that went away) the capture ends with one warning.
 * The link goes on as if there were none. `PcapFile` then cuts the file after its last whole batch, where it can.
 *
 * @module
 */
import { CHECKSUM_PARTIAL, completeChecksum, Frame } from "../wire/frame.ts";
import {
  encodePcapHeader,
  encodePcapRecord,
  PCAP_HEADER_LENGTH,
  PCAP_RECORD_HEADER_LENGTH,
  PCAP_SNAP_LENGTH,
} from "../wire/pcap.ts";
import { type Logger, SILENT } from "../../nat/base/logger.ts";
import { wallClockMs } from "./clock.ts";
import type { Link } from "./link.ts";
import { type FrameObserver, ObservedLink } from "./observed.ts";

/** Bytes that `PcapFile` gathers. */
const BUFFER_LENGTH = 1 << 17;

/** Where a capture goes. Both methods may throw. */
export interface PcapSink {
  /** Takes `bytes`, which are the caller's again when this returns. */
  write(bytes: Uint8Array): void;
  /** What was taken should become visible to readers. */
  flush(): void;
}

/** How a capture is made. */
export interface PcapLinkOptions {
  /** Told when the capture cannot go on; nobody unless given. */
  readonly logger?: Logger;
  /** Milliseconds since 1970 began (UTC), with a fraction; the program's clock unless given. */
  readonly now?: () => number;
}

/**
 * Records in `sink` what passes on `link`, which from then on belongs to what is returned. The sink stays the caller's.
 *
 * @example
 * ```ts
 * import { memoryLinkPair, pcapLink } from "@hawser/hawser/link";
 *
 * const parts: Uint8Array[] = [];
 * const [link, guest] = memoryLinkPair();
 * const recorded = pcapLink(link, { write: (bytes) => void parts.push(bytes.slice()), flush() {} });
 * await recorded.close();
 * ```
 */
export function pcapLink(link: Link, sink: PcapSink, options: PcapLinkOptions = {}): Link {
  return new PcapCapture(sink, options).record(link);
}

/** One capture of any number of links. */
export class PcapCapture {
  readonly #recorder: Recorder;

  /** Begins a capture in `sink`, which stays the caller's. */
  constructor(sink: PcapSink, options: PcapLinkOptions = {}) {
    this.#recorder = new Recorder(sink, options);
  }

  /** Records what passes on `link`, which from then on belongs to what is returned. */
  record(link: Link): Link {
    return new ObservedLink(link, this.#recorder);
  }
}

class Recorder implements FrameObserver {
  readonly #logger: Logger;
  readonly #now: () => number;
  /** A record: its header and a frame. */
  readonly #record = new Uint8Array(PCAP_RECORD_HEADER_LENGTH + PCAP_SNAP_LENGTH);
  readonly #copy = new Frame();
  /** Undefined once it has failed. */
  #sink: PcapSink | undefined;

  constructor(sink: PcapSink, options: PcapLinkOptions) {
    this.#logger = options.logger ?? SILENT;
    this.#now = options.now ?? wallClockMs;
    this.#sink = sink;
    encodePcapHeader(this.#record, 0);
    this.#write(PCAP_HEADER_LENGTH);
    this.flush();
  }

  frame(frame: Frame): void {
    if (this.#sink === undefined) return;
    const record = this.#record, length = frame.length, captured = Math.min(length, PCAP_SNAP_LENGTH);
    const at = encodePcapRecord(record, 0, this.#now(), captured, length);
    record.set(frame.bytes.subarray(frame.start, frame.start + captured), at);
    if (frame.checksum === CHECKSUM_PARTIAL && captured === length) this.#complete(frame, at);
    this.#write(at + captured);
  }

  flush(): void {
    try {
      this.#sink?.flush();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Adds to the copy of `frame` at `at` of the record what the link would have added. */
  #complete(frame: Frame, at: number): void {
    const copy = this.#copy.set(this.#record, at, at + frame.length);
    copy.checksum = frame.checksum;
    copy.transport = at + frame.transport - frame.start;
    copy.checksumField = frame.checksumField;
    completeChecksum(copy);
  }

  #write(length: number): void {
    try {
      this.#sink?.write(this.#record.subarray(0, length));
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#sink = undefined;
    const cause = error instanceof Error ? error.message : String(error);
    this.#logger.warn(`Capture ended: ${cause}`);
  }
}

/** What `PcapFile` writes to: a `Deno.FsFile`, or standard output. */
export interface PcapWriter {
  /** Writes some of `bytes` and returns how many. */
  writeSync(bytes: Uint8Array): number;
  /** Cuts what was written to `length` bytes, where that is possible. */
  truncateSync?(length: number): void;
  /** Closes it. */
  close?(): void;
}

/** A sink that gathers a batch and writes it in one call. */
export class PcapFile implements PcapSink, Disposable {
  readonly #writer: PcapWriter;
  readonly #buffer = new Uint8Array(BUFFER_LENGTH);
  #buffered = 0;
  #written = 0;

  /** Writes to `writer`, which is closed with this. */
  constructor(writer: PcapWriter) {
    this.#writer = writer;
  }

  /** Makes the file `path`, or empties it. Throws what `Deno.openSync` throws, with the path in the message. */
  static open(path: string): PcapFile {
    try {
      return new PcapFile(Deno.openSync(path, { write: true, create: true, truncate: true }));
    } catch (error) {
      if (error instanceof Error) error.message = `Cannot write capture ${path}: ${error.message}`;
      throw error;
    }
  }

  /** Takes a record. */
  write(bytes: Uint8Array): void {
    if (this.#buffered + bytes.length > BUFFER_LENGTH) this.flush();
    if (bytes.length > BUFFER_LENGTH) return this.#writeAll(bytes);
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.length;
  }

  /** Writes what was taken. */
  flush(): void {
    const length = this.#buffered;
    this.#buffered = 0;
    if (length > 0) this.#writeAll(this.#buffer.subarray(0, length));
  }

  /** Writes what was taken and closes the file. */
  [Symbol.dispose](): void {
    try {
      this.flush();
    } finally {
      this.#writer.close?.();
    }
  }

  #writeAll(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length;) done += this.#writer.writeSync(bytes.subarray(done));
    } catch (error) {
      this.#cut();
      throw error;
    }
    this.#written += bytes.length;
  }

  /** Whole records only: what is left of a batch that was written in part goes. */
  #cut(): void {
    try {
      this.#writer.truncateSync?.(this.#written);
    } catch {
      // A pipe cannot be cut: its reader sees a record that is short.
    }
  }
}
