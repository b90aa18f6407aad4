/**
 * A stream of frames over a `Deno.Conn`: for every system that Deno runs on, without FFI.
 *
 * One read and one write are under way at a time. Frames are handed out for `PASS_MS` at a time, so that a guest whose
 * frames are costly leaves others their turn; the next read waits for the last of them. What is sent while a write is
 * under way gathers in a second queue, which the next write takes whole; each is bounded, see `stream_framing.ts`. On
 * Linux with `--allow-ffi` the link of `linux_stream.ts` does the same without a promise a batch.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import { setImmediate } from "node:timers";
import { FramedLink, type FramedLinkOptions, type WorkLimit } from "./framed_link.ts";
import { StreamOutput } from "./stream_framing.ts";

/** Milliseconds for which frames are handed out at a time. */
const PASS_MS = 1;
const FRAMES_PER_LOOK = 8;
/** How long the last words may take to leave. */
const PARTING_MS = 500;

/** A link over a connection of Deno's. */
export class ConnLink extends FramedLink {
  readonly #conn: Deno.Conn;
  readonly #pass = new Pass();
  #gathering: StreamOutput;
  #writing: StreamOutput;
  #writer: Promise<void> | undefined;
  #reader: Promise<void> | undefined;
  #parting: Promise<void> | undefined;

  constructor(conn: Deno.Conn, options: FramedLinkOptions) {
    super(options);
    this.#conn = conn;
    this.#gathering = new StreamOutput(this.prefix);
    this.#writing = new StreamOutput(this.prefix);
  }

  protected override begin(): void {
    this.#reader = this.#read();
  }

  protected override queue(frame: Frame): boolean {
    return this.#gathering.push(frame);
  }

  protected override queueBytes(bytes: Uint8Array): boolean {
    return this.#gathering.pushBytes(bytes, 0, bytes.length);
  }

  protected override write(): void {
    if (this.#gathering.length > 0) this.#writer ??= this.#writeAll();
  }

  protected override free(farewell: Uint8Array<ArrayBuffer> | undefined): void {
    if (farewell === undefined) this.#conn.close();
    else this.#parting = this.#part(farewell);
  }

  protected override async freed(): Promise<void> {
    await Promise.all([this.#parting, this.#reader, this.#writer]);
  }

  /** Sends the last words behind what waits, for at most `PARTING_MS`, and closes the connection. */
  async #part(farewell: Uint8Array<ArrayBuffer>): Promise<void> {
    let closed = false;
    const close = () => {
      if (!closed) this.#conn.close();
      closed = true;
    };
    const timer = setTimeout(close, PARTING_MS);
    try {
      await this.#writer;
      const { bytes, start, end } = this.#gathering;
      const last = new Uint8Array(end - start + farewell.length);
      last.set(bytes.subarray(start, end));
      last.set(farewell, end - start);
      if (this.#writing.length === 0) {
        for (let at = 0; at < last.length;) at += await this.#conn.write(last.subarray(at));
      }
    } catch {
      // The connection is broken already, or it took too long.
    } finally {
      clearTimeout(timer);
      close();
    }
  }

  async #read(): Promise<void> {
    const input = this.input;
    try {
      while (!this.closed) {
        input.makeRoom();
        const count = await this.#conn.read(input.bytes.subarray(input.end));
        if (this.closed) return;
        if (count === null) return this.finish();
        let hasRest = this.deliver(count, this.#pass.begin());
        while (hasRest) {
          await new Promise((resolve) => setImmediate(resolve));
          hasRest = !this.closed && this.deliver(0, this.#pass.begin());
        }
      }
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) this.finish();
      else this.fail("read from", messageOf(error));
    }
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#gathering.length > 0 && !this.closed) {
        const output = this.#gathering;
        this.#gathering = this.#writing;
        this.#writing = output;
        while (output.length > 0 && !this.closed) {
          output.taken(await this.#conn.write(output.bytes.subarray(output.start, output.end)));
        }
      }
    } catch {
      // A broken connection shows itself to the reader, which ends the link.
    } finally {
      this.#writer = undefined;
    }
  }
}

/** The time in which frames are handed out. */
class Pass implements WorkLimit {
  #until = 0;
  #frames = 0;

  /** It begins now. */
  begin(): this {
    this.#until = performance.now() + PASS_MS;
    return this;
  }

  isOver(): boolean {
    return ++this.#frames % FRAMES_PER_LOOK === 0 && performance.now() >= this.#until;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
