/**
 * A forwarder on the host alone: whoever connects to one place is joined with another.
 *
 * **A connection.** The target is connected to first; the client is not read before that. If there are several
 * targets, they are tried in order. If none takes the connection, the client is closed; that is logged once a cause,
 * until a target takes a connection again. Then `pump.ts` carries the bytes, half-closes included. Both ends are probed
 * by TCP's keep-alive, so that one that has vanished does not stay for ever even without an idle timeout.
 *
 * **Bounds.** At most `maxConnections` clients are served at once. Further ones wait in the kernel's queue, are not
 * refused, and have their turn when another one has ended. Where accepting fails, for want of descriptors say, that is
 * logged once and tried again after a pause.
 *
 * **Ending.** `stop` accepts no more, leaves live connections a while and then cuts them. A shorter while may be given
 * later.
 *
 * @module
 */
import { delay } from "@std/async";
import { type Logger, SILENT } from "../nat/base/logger.ts";
import { RateLimitedLog } from "../nat/base/rate_limited_log.ts";
import { pump, type PumpConn, type PumpResult } from "./pump.ts";
import { formatStreamEndpoint, type StreamEndpoint } from "./stream_endpoint.ts";
import { listenStream, type StreamListener } from "./stream_ports.ts";

/** Clients served at once unless told otherwise. */
export const MAX_CONNECTIONS_DEFAULT = 1024;
/** How long connecting to the target may take, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
const ACCEPT_PAUSE_MS = 100;

/** How a forwarder works. */
export interface ForwarderOptions {
  /** Cuts a connection on which no byte has moved for so many milliseconds. Default never. */
  readonly idleTimeoutMs?: number;
  /** Clients served at once. Default `MAX_CONNECTIONS_DEFAULT`. */
  readonly maxConnections?: number;
  /** Where lines go: each connection at `info`, what fails at `warn`. Default nowhere. */
  readonly logger?: Logger;
  /** Whether a client is served; any other is closed. Default all are. */
  admits?(client: Deno.Addr): boolean;
}

/** The two ends of a connection. */
export type Side = "client" | "target";

/** A forwarder that listens. */
export class Forwarder implements AsyncDisposable {
  #listener: StreamListener;
  #targets: readonly StreamEndpoint[];
  #idleTimeoutMs: number | undefined;
  #maxConnections: number;
  #logger: Logger;
  #admits: (client: Deno.Addr) => boolean;
  #log: RateLimitedLog;
  #live = new Set<Promise<void>>();
  /** For each client, who of both has said all that it had to say, and the other has it. */
  #saying = new Set<Record<Side, boolean>>();
  /** Called when one of them has, or a client has ended. */
  #said: () => void = () => {};
  #cut = new AbortController();
  #stopping = new AbortController();
  #accepting: Promise<void>;
  /** Called when a connection has ended, or none is wanted any more. */
  #roomMade: () => void = () => {};
  /** Why the target could not be had, and for how many clients since it last could. */
  #complaint = "";
  #failures = 0;

  private constructor(listener: StreamListener, targets: readonly StreamEndpoint[], options: ForwarderOptions) {
    this.#listener = listener;
    this.#targets = targets;
    this.#idleTimeoutMs = options.idleTimeoutMs;
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS_DEFAULT;
    this.#logger = options.logger ?? SILENT;
    this.#admits = options.admits?.bind(options) ?? (() => true);
    this.#log = new RateLimitedLog(this.#logger, () => performance.now());
    this.#accepting = this.#accept();
  }

  /**
   * Listens, and begins to forward to the target, or to the first of several that takes a connection. None need be
   * there yet. Throws what `listenStream` throws.
   */
  static async start(
    listen: StreamEndpoint,
    target: StreamEndpoint | readonly StreamEndpoint[],
    options: ForwarderOptions = {},
  ): Promise<Forwarder> {
    return new Forwarder(await listenStream(listen), [target].flat(), options);
  }

  /** Where it listens, with the real port. */
  get endpoint(): StreamEndpoint {
    return this.#listener.endpoint;
  }

  /** How many clients there are, those whose target is being connected to included. */
  get connections(): number {
    return this.#live.size;
  }

  /**
   * Accepts no more, and resolves when the last connection has ended, by itself or because `graceMs` are over. May be
   * called again.
   */
  async stop(graceMs: number): Promise<void> {
    this.refuse();
    const timer = setTimeout(() => this.#cut.abort(), graceMs);
    await this.#accepting;
    await Promise.all(this.#live);
    clearTimeout(timer);
  }

  /** Accepts no more. What there is goes on. */
  refuse(): void {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    this.#listener.close();
    this.#roomMade();
  }

  /** Resolves when each client, or the target of each, has said all that it had to say, and the other side has it. */
  async drained(side: Side): Promise<void> {
    while ([...this.#saying].some((connection) => !connection[side])) {
      await new Promise<void>((resolve) => this.#said = resolve);
    }
  }

  /** Stops and cuts what there is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cut.abort();
    await this.stop(0);
  }

  async #accept(): Promise<void> {
    const { signal } = this.#stopping;
    let complaint = "";
    while (!signal.aborted) {
      if (this.#live.size >= this.#maxConnections) {
        this.#log.warn(() => `${this.#maxConnections} connections are the limit: further clients wait`);
        await new Promise<void>((resolve) => this.#roomMade = resolve);
        continue;
      }
      try {
        this.#begin(await this.#listener.accept());
        complaint = "";
      } catch (error) {
        if (signal.aborted) return;
        const cause = (error as Error).message;
        if (cause !== complaint) this.#log.warn(() => `Cannot accept clients: ${cause}; they wait until that works`);
        complaint = cause;
        await delay(ACCEPT_PAUSE_MS, { signal }).catch(() => {});
      }
    }
  }

  #begin(client: Deno.Conn): void {
    if (!this.#admits(client.remoteAddr)) return client.close();
    const said = { client: false, target: false };
    this.#saying.add(said);
    const serving = this.#serve(client, said).finally(() => {
      this.#live.delete(serving);
      this.#saying.delete(said);
      this.#roomMade();
      this.#said();
    });
    this.#live.add(serving);
  }

  async #serve(client: Deno.Conn, said: Record<Side, boolean>): Promise<void> {
    const name = nameOf(client.remoteAddr), began = performance.now();
    let target: Deno.Conn;
    try {
      target = await connectFirst(this.#targets, this.#cut.signal);
    } catch (error) {
      client.close();
      return this.#complain((error as Error).message);
    }
    tune(client);
    tune(target);
    if (this.#failures > 0) {
      this.#logger.info(`${this.#targetText()} can be had again, after ${this.#failures} clients were closed`);
    }
    this.#complaint = "";
    this.#failures = 0;
    const tell = (side: Side) => {
      said[side] = true;
      this.#said();
    };
    const result = await pump(telling(client, () => tell("target")), telling(target, () => tell("client")), {
      signal: this.#cut.signal,
      ...(this.#idleTimeoutMs !== undefined && { idleTimeoutMs: this.#idleTimeoutMs }),
    });
    this.#logger.info(`${name} ${describe(result)} after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }

  #complain(cause: string): void {
    if (this.#cut.signal.aborted) return;
    this.#failures++;
    if (cause === this.#complaint) return;
    this.#complaint = cause;
    this.#log.warn(() => `Cannot connect to ${this.#targetText()}: ${cause}; its clients are closed until that works`);
  }

  #targetText(): string {
    return this.#targets.map(formatStreamEndpoint).join(" and ");
  }
}

/** A connection that tells when the end of what goes there has been passed on. */
function telling(conn: Deno.Conn, ended: () => void): PumpConn {
  return {
    read: (into) => conn.read(into),
    write: (bytes) => conn.write(bytes),
    closeWrite: async () => {
      await conn.closeWrite();
      ended();
    },
    close: () => conn.close(),
  };
}

/** Connects to the first target that can be had, or rejects with what the last one said. */
async function connectFirst(targets: readonly StreamEndpoint[], signal: AbortSignal): Promise<Deno.Conn> {
  let failure: unknown;
  for (const target of targets) {
    try {
      return await connect(target, signal);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Connects, for `CONNECT_TIMEOUT_MS` at most. */
async function connect(target: StreamEndpoint, signal: AbortSignal): Promise<Deno.Conn> {
  // A Unix socket answers at once.
  if (target.transport === "unix") return await Deno.connect(target);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), CONNECT_TIMEOUT_MS);
  try {
    return await Deno.connect({ ...target, signal: AbortSignal.any([late.signal, signal]) });
  } catch (error) {
    if (late.signal.aborted) throw new Deno.errors.TimedOut(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Small pieces leave at once, and a peer that has vanished is found out. */
function tune(conn: Deno.Conn): void {
  if (conn.remoteAddr.transport !== "tcp") return;
  const tcp = conn as Deno.TcpConn;
  try {
    tcp.setNoDelay(true);
    tcp.setKeepAlive(true);
  } catch {
    // It is broken already: the pump will tell.
  }
}

function nameOf(address: Deno.Addr): string {
  return address.transport === "tcp" ? formatStreamEndpoint({ ...address, transport: "tcp" }) : "a client";
}

function describe({ reason, bytesFromA, bytesFromB, failure }: PumpResult): string {
  const end = failure?.end === "a" ? "the client" : "the target";
  const what = failure === null ? "" : ` (${end}, ${failure.operation}: ${failure.error.message})`;
  return `${reason}${what}: ${bytesFromA} bytes to the target, ${bytesFromB} back`;
}
