/**
 * The host's resolvers, for the gateway's DNS address, as resolv.conf(5) names them.
 *
 * The file is looked at when somebody asks, at most once every `CHECK_MS`: where it is another file than before, or has
 * another size or time, it is read again. So a network that comes up later, a VPN or a laptop that has moved is noticed
 * with the next query, and nothing runs while nobody asks. A file that cannot be read names no resolver, unless
 * descriptors have run out; one that may not be read is never tried again, because Deno could ask for the permission on
 * the terminal each time.
 *
 * What is used of it: the first three `nameserver` lines, as the C library does; a link-local address with its zone
 * (`fe80::1%eth0`), as a router announces itself. Left out: addresses that are never relayed, link-local ones without a
 * zone, `search` and `options`.
 *
 * @module
 */
import { hostErrorOf } from "./deno_error.ts";
import { isUsableDnsServer, type Target } from "../nat/rules/translate.ts";
import { parseZoned } from "../net/wire/address.ts";
import { DNS_PORT } from "../net/wire/dns.ts";

/** Where resolvers are named on Unix. */
export const RESOLV_CONF = "/etc/resolv.conf";
/** Least time in milliseconds between two looks at the file. */
export const CHECK_MS = 1000;
/** Resolvers that are used of a file (MAXNS of the C library). */
export const MAX_RESOLVERS = 3;

/** The resolvers in the text of a resolv.conf, in its order. */
export function parseResolvers(text: string): readonly Target[] {
  const found: Target[] = [];
  for (const line of text.split("\n")) {
    const [keyword, value = ""] = line.trim().split(/\s+/);
    if (keyword !== "nameserver" || found.length === MAX_RESOLVERS) continue;
    const server = tryParse(value);
    if (server !== null && isUsableDnsServer(server)) found.push(server);
  }
  return found;
}

/** The resolvers that a resolv.conf names at any time. */
export class HostResolvers {
  readonly #path: string;
  readonly #now: () => number;
  #servers: readonly Target[] = [];
  /** What the file looked like when it was read; empty before, and while there is none. */
  #seen = "";
  #checkedAt = -Infinity;
  #denied = false;

  /** Nothing is read yet. `now` gives monotonic milliseconds. */
  constructor(options: { path?: string; now?: () => number } = {}) {
    this.#path = options.path ?? RESOLV_CONF;
    this.#now = options.now ?? (() => performance.now());
  }

  /** The resolvers, best first; the same array as long as the file has not changed. Throws nothing. */
  current(): readonly Target[] {
    const now = this.#now();
    if (this.#denied || now - this.#checkedAt < CHECK_MS) return this.#servers;
    this.#checkedAt = now;
    try {
      const { dev, ino, size, mtime, ctime } = Deno.statSync(this.#path);
      const seen = `${dev} ${ino} ${size} ${mtime?.getTime()} ${ctime?.getTime()}`;
      if (seen === this.#seen) return this.#servers;
      this.#servers = parseResolvers(Deno.readTextFileSync(this.#path));
      this.#seen = seen;
    } catch (error) {
      // A file that could not be opened for want of a descriptor names whom it has named.
      if (hostErrorOf(error) === "exhausted") return this.#servers;
      this.#denied = error instanceof Deno.errors.NotCapable;
      this.#seen = "";
      if (this.#servers.length > 0) this.#servers = [];
    }
    return this.#servers;
  }
}

function tryParse(text: string): Target | null {
  try {
    return { ...parseZoned(text), port: DNS_PORT };
  } catch {
    return null;
  }
}
