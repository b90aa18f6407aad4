/**
 * A stream of frames over a `Deno.Conn`: for every system that Deno runs on, without FFI.
 *
 * One read and one write are under way at a time. What is sent while a write is under way gathers in a second queue, which
 * the next write takes whole; each is bounded, see `stream_framing.ts`. On Linux with `--allow-ffi` the link of
 * `linux_stream.ts` does the same without a promise a batch.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import { FramedLink, type FramedLinkOptions } from "./framed_link.ts";
import type { Link } from "./link.ts";
import { StreamOutput } from "./stream_framing.ts";

/** What a link over a connection is told. */
export interface StreamLinkOptions {
  /** What it is, for messages; `stream` unless given. */
  readonly name?: string;
  /** Largest IP packet in bytes; 1500 unless given. */
  readonly mtu?: number;
  /** Called once when it has ended. */
  readonly ended?: () => void;
}

/**
 * A link over a connection whose other end speaks QEMU's framing (`-netdev stream`): a 32-bit big-endian length before each frame.
 * The connection is the link's from now on, and closed with it.
 *
 * @example
 * ```ts ignore
 * const listener = Deno.listen({ transport: "unix", path: "/tmp/vm.sock" });
 * for await (const conn of listener) gateway.attach(streamLink(conn));
 * ```
 */
export function streamLink(conn: Deno.Conn, options: StreamLinkOptions = {}): Link {
  return new ConnLink(conn, { name: "stream", mtu: 1500, ...options });
}

class ConnLink extends FramedLink {
  readonly #conn: Deno.Conn;
  #gathering = new StreamOutput();
  #writing = new StreamOutput();
  #writer: Promise<void> | undefined;
  #reader: Promise<void> | undefined;

  constructor(conn: Deno.Conn, options: FramedLinkOptions) {
    super(options);
    this.#conn = conn;
  }

  protected override begin(): void {
    this.#reader = this.#read();
  }

  protected override queue(frame: Frame): boolean {
    return this.#gathering.push(frame);
  }

  protected override write(): void {
    if (this.#gathering.length > 0) this.#writer ??= this.#writeAll();
  }

  protected override free(): void {
    this.#conn.close();
  }

  protected override async freed(): Promise<void> {
    await Promise.all([this.#reader, this.#writer]);
  }

  async #read(): Promise<void> {
    const input = this.input;
    try {
      while (!this.closed) {
        input.makeRoom();
        const count = await this.#conn.read(input.bytes.subarray(input.end));
        if (this.closed) return;
        if (count === null) return this.finish();
        this.deliver(count);
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
