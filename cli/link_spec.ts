/**
 * Where `hawser serve` waits for guests, as it is written on the command line.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { readInteger } from "./values.ts";

/** The network namespace in which a TAP interface is made: by path, or that of a process. */
export type NetnsSpec = { readonly path: string } | { readonly pid: number };

/** A link to listen on. */
export type LinkSpec =
  | {
    readonly kind: "unix" | "unixgram";
    readonly path: string;
    /** Whether its guests leave checksums and segmentation to this end; see `ListenerOptions`. */
    readonly offload?: true;
  }
  | { readonly kind: "unixpacket"; readonly path: string }
  | { readonly kind: "tcp" | "ws"; readonly hostname: string; readonly port: number }
  | { readonly kind: "tap"; readonly name: string; readonly netns: NetnsSpec | undefined };

/** Where `ip netns` keeps the namespaces it has named. */
const NAMED_NAMESPACES = "/run/netns/";

/** What follows a path whose guests leave checksums and segmentation to this end. */
export const OFFLOAD_SUFFIX = ",offload";

/** Reads a LINK. Throws an `Error` that says what would be right. */
export function readLink(text: string): LinkSpec {
  const colon = text.indexOf(":"), kind = text.slice(0, Math.max(0, colon)), rest = text.slice(colon + 1);
  switch (kind) {
    case "unix":
    case "unixgram":
      return readPath(kind, rest);
    case "unixpacket":
      if (rest !== "" && !rest.includes("\0")) return { kind, path: rest };
      throw new TypeError("a path follows unixpacket:, such as unixpacket:/tmp/uml.sock");
    case "tcp":
    case "ws":
      return { kind, ...readHostAndPort(kind, rest) };
    case "tap":
      return readTap(rest);
    default:
      throw new TypeError(
        "it is unix:PATH, tcp:HOST:PORT, unixgram:PATH, unixpacket:PATH, ws:HOST:PORT or tap:NAME[@NETNS], such as unix:/tmp/vm.sock",
      );
  }
}

function readPath(kind: "unix" | "unixgram", text: string): LinkSpec {
  const offload = text.endsWith(OFFLOAD_SUFFIX), path = offload ? text.slice(0, -OFFLOAD_SUFFIX.length) : text;
  if (path === "" || path.includes("\0")) {
    throw new TypeError(`a path follows ${kind}:, such as ${kind}:/tmp/vm.sock or ${kind}:/tmp/vm.sock,offload`);
  }
  return offload ? { kind, path, offload } : { kind, path };
}

function readHostAndPort(kind: string, text: string): { hostname: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  const hostname = bracketed ?? plain;
  if (hostname === undefined || port === undefined || !isHost(hostname)) {
    throw new TypeError(
      `an address and a port follow ${kind}:, such as ${kind}:127.0.0.1:5000 or ${kind}:[::1]:0 for a free port`,
    );
  }
  return { hostname: hostname === "localhost" ? "127.0.0.1" : hostname, port: readInteger(port, 0, 65535) };
}

function isHost(text: string): boolean {
  try {
    return text === "localhost" || IpAddress.parse(text) !== undefined;
  } catch {
    return false;
  }
}

function readTap(text: string): LinkSpec {
  const at = text.indexOf("@"), name = at < 0 ? text : text.slice(0, at);
  if (!/^[^\s/:@%]{1,15}$/.test(name) || name === "." || name === "..") {
    throw new TypeError("an interface's name of 1 to 15 letters follows tap:, such as tap:tap0 or tap:tap0@blue");
  }
  return { kind: "tap", name, netns: at < 0 ? undefined : readNetns(text.slice(at + 1)) };
}

function readNetns(text: string): NetnsSpec {
  const [, pid] = /^pid:(.*)$/.exec(text) ?? [];
  if (pid !== undefined) {
    try {
      return { pid: readInteger(pid, 1, 0x7fffffff) };
    } catch {
      throw new TypeError("a process's number follows pid:, such as tap:tap0@pid:4711");
    }
  }
  if (text === "" || text === "." || text === "..") {
    throw new TypeError(
      "a namespace's name, its path or pid:N follows @, such as tap:tap0@blue or tap:tap0@/run/netns/blue",
    );
  }
  return { path: text.includes("/") ? text : NAMED_NAMESPACES + text };
}
