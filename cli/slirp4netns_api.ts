/**
 * The API socket of slirp4netns: forwards of ports, added, listed and removed while it runs.
 *
 * A client connects, sends one JSON object, half-closes, and reads one JSON object until the end. slirp4netns reads
 * once, and clients rely on it who do not half-close; so a request is answered as soon as it is a whole object, or when
 * the client has finished, or when it has paused for `PAUSE_MS`.
 *
 * **Requests.** `add_hostfwd` with `proto` (`tcp`, `udp`, and with a family `tcp4`, `tcp6`, `udp4`, `udp6`),
 * `host_addr` (empty: every address of the family), `host_port`, `guest_addr` (empty: the one that `-c` gives; of IPv6
 * the one that the guest speaks from) and `guest_port`; `list_hostfwd`; `remove_hostfwd` with `id`. The answer is
 * `{"return":…}` or `{"error":{"desc":…}}`, in slirp4netns's words with the cause behind them. slirp4netns 1.2 answers
 * `list_hostfwd` with `entries` outside of `return`, and documents them within: here they are at both places.
 *
 * **Limits.** A request has less than `REQUEST_BYTES`; `CLIENTS` are served at once, and further ones wait. Whoever may
 * connect to the path may forward ports: it is as accessible as the folder and the caller's umask make it.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../net/wire/address.ts";

/** Bytes that a request has at most, and one more. */
export const REQUEST_BYTES = 4096;
const CLIENTS = 16;
/** Time in milliseconds for which a client may stay silent. */
const PAUSE_MS = 1000;

const ANY_IPV4 = "0.0.0.0";
const ANY_IPV6 = "::";
const MOST_PORT = 65535;

/** Adds a forward, `tcp:SPEC` or `udp:SPEC`. Rejects with an `Error` that says why that cannot be. */
export type AddForward = (spec: string) => Promise<readonly AddedForward[]>;

/** A forward that was added. */
export interface AddedForward {
  /** Takes it back. */
  remove(): Promise<void>;
}

/** A forward as `list_hostfwd` tells it. */
interface Entry {
  readonly id: number;
  readonly proto: string;
  readonly host_addr: string;
  readonly host_port: number;
  readonly guest_addr: string;
  readonly guest_port: number;
}

/** A request that cannot be followed. */
class BadRequest extends Error {}

/** The requests of one slirp4netns. */
export class Slirp4netnsApi {
  readonly #forward: AddForward;
  readonly #guest: string;
  /** What was added, by its number. */
  readonly #entries = new Map<number, { readonly forwards: readonly AddedForward[]; readonly entry: Entry }>();
  #nextId = 1;

  /** `guest` is the address to which forwards of IPv4 lead unless told otherwise. */
  constructor(forward: AddForward, guest: IpAddress) {
    this.#forward = forward;
    this.#guest = `${guest}`;
  }

  /** Answers a request in JSON. Never rejects. */
  async answer(request: string): Promise<string> {
    try {
      return JSON.stringify(await this.#follow(parse(request)));
    } catch (error) {
      if (error instanceof BadRequest) return errorAnswer(error.message);
      throw error;
    }
  }

  async #follow({ execute, arguments: given }: Record<string, unknown>): Promise<unknown> {
    if (typeof execute !== "string") throw new BadRequest("no execute found");
    const values = (typeof given === "object" && given !== null ? given : {}) as Record<string, unknown>;
    switch (execute) {
      case "add_hostfwd":
        return { return: { id: await this.#add(values) } };
      case "list_hostfwd": {
        const entries = [...this.#entries.values()].map(({ entry }) => entry);
        return { return: { entries }, entries };
      }
      case "remove_hostfwd":
        await this.#remove(values["id"]);
        return { return: {} };
      default:
        throw new BadRequest("unknown execute");
    }
  }

  async #add(values: Record<string, unknown>): Promise<number> {
    const [, protocol, version] = /^(tcp|udp)([46]?)$/.exec(String(values["proto"])) ?? bad("proto");
    const is6 = version === "6", hostText = textOf(values["host_addr"], "host_addr") || (is6 ? ANY_IPV6 : ANY_IPV4);
    const host = addressOf(hostText, "host_addr"), port = portOf(values["host_port"], "host_port");
    if (version !== "" && host.isIpv4 === is6) bad("host_addr");
    const guestText = textOf(values["guest_addr"], "guest_addr") || (host.isIpv4 ? this.#guest : "");
    const guest = guestText === "" ? undefined : addressOf(guestText, "guest_addr");
    const guestPort = portOf(values["guest_port"], "guest_port");
    const target = guest === undefined ? `${guestPort}` : formatEndpoint(guest, guestPort).replace(/:(\d+)$/, "/$1");
    const address = host.isIpv4 ? `${host}` : `[${host}]`;
    let forwards: readonly AddedForward[];
    try {
      forwards = await this.#forward(`${protocol}:${address}/${port}:${target}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new BadRequest(`add_hostfwd: slirp_add_hostfwd failed: ${why}`);
    }
    const id = this.#nextId++;
    const addresses = { host_addr: `${host}`, host_port: port, guest_addr: guestText, guest_port: guestPort };
    this.#entries.set(id, { forwards, entry: { id, proto: `${protocol}${version}`, ...addresses } });
    return id;
  }

  async #remove(id: unknown): Promise<void> {
    const found = typeof id === "number" ? this.#entries.get(id) : undefined;
    if (found === undefined) throw new BadRequest("remove_hostfwd: bad arguments.id");
    this.#entries.delete(found.entry.id);
    await Promise.all(found.forwards.map((forward) => forward.remove()));
  }
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadRequest("cannot parse JSON");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new BadRequest("json_object() failed");
}

function bad(name: string): never {
  throw new BadRequest(`add_hostfwd: bad arguments.${name}`);
}

function textOf(value: unknown, name: string): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : bad(name);
}

function addressOf(text: string, name: string): IpAddress {
  try {
    return IpAddress.parse(text);
  } catch {
    return bad(name);
  }
}

function portOf(value: unknown, name: string): number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= MOST_PORT ? value : bad(name);
}

function errorAnswer(problem: string): string {
  return JSON.stringify({ error: { desc: `bad request: ${problem}` } });
}

/** A socket on which an API is asked. Disposing of it closes it and removes its path. */
export class ApiSocket implements AsyncDisposable {
  readonly #listener: Deno.UnixListener;
  readonly #path: string;
  readonly #api: Slirp4netnsApi;
  readonly #serving: Promise<void>;

  /**
   * Listens at `path`, in place of a socket that is there. Throws an `Error` if that cannot be, and if there is another
   * kind of file.
   */
  constructor(path: string, api: Slirp4netnsApi) {
    this.#path = path;
    this.#api = api;
    try {
      removeSocket(path);
      this.#listener = Deno.listen({ transport: "unix", path });
    } catch (error) {
      throw new Error(`cannot listen on ${path} (--api-socket): ${error instanceof Error ? error.message : error}`);
    }
    this.#serving = this.#serve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    try {
      removeSocket(this.#path);
    } catch {
      // Deno's right to write is gone by then, or somebody has removed it.
    }
  }

  async #serve(): Promise<void> {
    const clients = new Set<Promise<void>>();
    for (;;) {
      while (clients.size >= CLIENTS) await Promise.race(clients);
      let conn: Deno.UnixConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) break;
        // Descriptors have run out; they come back.
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS / 10));
        continue;
      }
      const client: Promise<void> = this.#attend(conn).finally(() => clients.delete(client));
      clients.add(client);
    }
    await Promise.all(clients);
  }

  async #attend(conn: Deno.UnixConn): Promise<void> {
    try {
      const answer = await this.#answer(conn), bytes = new TextEncoder().encode(answer);
      for (let at = 0; at < bytes.length;) at += await within(conn.write(bytes.subarray(at)));
      await conn.closeWrite();
    } catch {
      // The client has gone, or does not read.
    } finally {
      conn.close();
    }
  }

  async #answer(conn: Deno.UnixConn): Promise<string> {
    const buffer = new Uint8Array(REQUEST_BYTES);
    let length = 0;
    while (length < buffer.length) {
      const count = await within(conn.read(buffer.subarray(length))).catch(() => null);
      if (count === null) return await this.#api.answer(textIn(buffer, length));
      length += count;
      if (length < buffer.length && isWhole(textIn(buffer, length))) break;
    }
    return length === buffer.length ? errorAnswer("too large message") : await this.#api.answer(textIn(buffer, length));
  }
}

function textIn(buffer: Uint8Array, length: number): string {
  return new TextDecoder().decode(buffer.subarray(0, length));
}

function isWhole(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function within<T>(promise: Promise<T>): Promise<T> {
  const silence = Promise.withResolvers<never>();
  const timer = setTimeout(() => silence.reject(new Error("it was silent for too long")), PAUSE_MS);
  try {
    return await Promise.race([promise, silence.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function removeSocket(path: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (!info.isSocket) throw new Error("there is a file of that name that is no socket");
  Deno.removeSync(path);
}
