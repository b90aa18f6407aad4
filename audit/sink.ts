/**
 * Where records go: a file, a descriptor or a program's function, behind one interface that never waits.
 *
 * A sink takes a record or keeps it until it can be written. What it keeps has a bound, and beyond that a record is
 * lost, which the caller is told. `isAvailable` says whether more may happen that has to be recorded: of a file, if all
 * is written; of a pipe or socket, whose reader may be slow, if no more than `MOST_KEPT` bytes wait; of a function, if
 * it has not thrown. What waits goes out in order, with the next record or with `flush`, and a line of which only a
 * part was written is completed before another begins.
 *
 * @module
 */
import type { AuditRecord } from "./records.ts";

/** Bytes that may wait for a slow reader while new flows still begin. */
export const MOST_KEPT = 1 << 20;
/** Bytes that may wait beside these, about flows that live while nothing can be written. */
const MOST_LATE = 1 << 20;
/** Records that may wait for a program's function that throws. */
const MOST_RECORDS = 16_384;
const NEWLINE = 10;

/** Where records go. */
export interface RecordSink extends Disposable {
  /** Whether everything is written, or near enough: see above. */
  readonly isAvailable: boolean;
  /** What is wrong, for people; meaningful while it is not available. */
  readonly problem: string;
  /** Whether something waits to be written. */
  readonly waits: boolean;
  /** Takes a record. Returns false if there was no room to keep it. Never throws. */
  put(record: AuditRecord): boolean;
  /** Tries to write what waits. Never throws. */
  flush(): void;
}

/** What lines are written to. */
export interface LineOutput extends Disposable {
  /** Bytes that may wait while more may happen: see above. */
  readonly patience: number;
  /** Writes what it can without waiting. Returns how many bytes, 0 if none now; throws an `Error` if it fails. */
  write(bytes: Uint8Array): number;
}

/** Records as lines of JSON. */
export class LineSink implements RecordSink {
  readonly #output: LineOutput;
  readonly #encoder = new TextEncoder();
  /** Lines that wait, of the first one what is left of it. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #failure: string | null = null;

  /** Writes to `output`, which belongs to the sink from now on. */
  constructor(output: LineOutput) {
    this.#output = output;
  }

  /** As `RecordSink` has it. */
  get isAvailable(): boolean {
    return this.#failure === null && this.#waitingBytes <= this.#output.patience;
  }

  /** What is wrong. */
  get problem(): string {
    return this.#failure ?? "its reader does not read";
  }

  /** Whether something waits. */
  get waits(): boolean {
    return this.#waitingBytes > 0;
  }

  /** Takes a record. */
  put(record: AuditRecord): boolean {
    const text = JSON.stringify(record), bytes = this.#encoder.encode(`${text}\n`);
    if (this.#waitingBytes + bytes.length > this.#output.patience + MOST_LATE) {
      this.flush();
      if (this.#waitingBytes + bytes.length > this.#output.patience + MOST_LATE) return false;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.flush();
    return true;
  }

  /** Tries to write what waits. */
  flush(): void {
    let written = 0;
    try {
      for (let line = this.#waiting[0]; line !== undefined; line = this.#waiting[written]) {
        // After a part of a line the next try says why it was not all.
        const count = this.#output.write(line);
        this.#waitingBytes -= count;
        if (count === line.length) written++;
        else if (count > 0) this.#waiting[written] = line.subarray(count);
        else break;
      }
      this.#failure = null;
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
    }
    if (written === this.#waiting.length) this.#waiting.length = 0;
    else if (written > 0) this.#waiting.splice(0, written);
  }

  /** Writes what it can, and closes the output. */
  [Symbol.dispose](): void {
    this.flush();
    this.#output[Symbol.dispose]();
  }
}

/** Records for a function of the program. */
export class CallbackSink implements RecordSink {
  readonly #listener: (record: AuditRecord) => void;
  readonly #waiting: AuditRecord[] = [];
  #failure = "";

  /** Calls `listener` with each record; while it throws nothing is available. */
  constructor(listener: (record: AuditRecord) => void) {
    this.#listener = listener;
  }

  /** As `RecordSink` has it. */
  get isAvailable(): boolean {
    return this.#waiting.length === 0;
  }

  /** What is wrong. */
  get problem(): string {
    return this.#failure;
  }

  /** Whether something waits. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes a record. */
  put(record: AuditRecord): boolean {
    if (this.#waiting.length >= MOST_RECORDS) return false;
    this.#waiting.push(record);
    this.flush();
    return true;
  }

  /** Tries to write what waits. */
  flush(): void {
    let taken = 0;
    try {
      for (const record of this.#waiting) {
        this.#listener(record);
        taken++;
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
    }
    this.#waiting.splice(0, taken);
  }

  /** Does nothing. */
  [Symbol.dispose](): void {}
}

/** The file of an audit, which is a regular one: appended to, and made for its owner alone if it is not there. */
export class FileOutput implements LineOutput {
  readonly patience: number = 0;
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Opens `path`. A line that an earlier run has left unfinished is ended first. Throws an `Error` that says what is
   * wrong and what would be right.
   */
  static open(path: string): FileOutput {
    return new FileOutput(openOwnFile(path, { append: true }));
  }

  /** Writes what it can. */
  write(bytes: Uint8Array): number {
    return this.#file.writeSync(bytes);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Opens a regular file of Hawser's, to be read and written, for its owner alone if it is new. Throws an `Error`. */
export function openOwnFile(path: string, { append }: { append: boolean }): Deno.FsFile {
  const before = statOf(path);
  // To open a pipe would wait for its reader.
  if (before !== undefined && !before.isFile) throw notRegular(path);
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true, create: true, append, mode: 0o600 });
  } catch (error) {
    throw new Error(`Cannot open ${path}: ${reasonOf(error)}`);
  }
  try {
    if (!file.statSync().isFile) throw notRegular(path);
    if (append) endLastLine(file);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

/** Ends a line that was left unfinished; readers pass over it. */
function endLastLine(file: Deno.FsFile): void {
  const { size } = file.statSync(), last = new Uint8Array(1);
  if (size === 0) return;
  file.seekSync(size - 1, Deno.SeekMode.Start);
  if (file.readSync(last) === 1 && last[0] !== NEWLINE) file.writeSync(Uint8Array.of(NEWLINE));
}

function notRegular(path: string): Error {
  return new Error(`Cannot open ${path}: it is no regular file; a pipe or a terminal is given as fd:N`);
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

/** What is wrong, without the path, which Deno puts behind it. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/: open '.*'$/s, "").replace(/ \(os error \d+\)/, "");
}
