/**
 * Where streams come from and go to: a TCP port or a Unix socket, as text and as what Deno's functions take.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";

/** A TCP address, by name or number, or the path of a Unix socket. */
export type StreamEndpoint =
  | { readonly transport: "tcp"; readonly hostname: string; readonly port: number }
  | { readonly transport: "unix"; readonly path: string };

const SHAPE = "it is HOST:PORT, [V6]:PORT or unix:PATH, such as 127.0.0.1:8080 or unix:/run/app.sock";
const UNIX = "unix:";

/**
 * Reads `HOST:PORT`, `[V6]:PORT` or `unix:PATH`; the port is at least `leastPort`. Throws a `TypeError` or `RangeError`
 * whose message is what is wrong alone, for whoever knows what the text was given for.
 */
export function parseStreamEndpoint(text: string, leastPort: 0 | 1): StreamEndpoint {
  if (text.startsWith(UNIX)) {
    const path = text.slice(UNIX.length);
    if (path === "" || path.includes("\0")) throw new TypeError(SHAPE);
    return { transport: "unix", path };
  }
  const [, bracketed, single, digits] = /^(?:\[([^\]]*)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  if (digits === undefined) throw new TypeError(SHAPE);
  const port = Number(digits);
  if (port < leastPort || port > 65535) throw new RangeError(`its port is from ${leastPort} to 65535`);
  return { transport: "tcp", hostname: bracketed === undefined ? readHost(single!) : readIpv6(bracketed), port };
}

/** The text that `parseStreamEndpoint` reads. */
export function formatStreamEndpoint(endpoint: StreamEndpoint): string {
  if (endpoint.transport === "unix") return `${UNIX}${endpoint.path}`;
  const { hostname, port } = endpoint;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** A name, or an IPv4 address that is a whole one: the resolver would make something of `10.1` too. */
function readHost(text: string): string {
  return /^[\d.]+$/.test(text) ? readAddress(text) : text;
}

function readIpv6(text: string): string {
  if (!text.includes(":")) throw new TypeError(SHAPE);
  return readAddress(text);
}

function readAddress(text: string): string {
  try {
    return IpAddress.parse(text).toString();
  } catch {
    throw new TypeError(SHAPE);
  }
}
