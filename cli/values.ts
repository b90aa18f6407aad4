/**
 * The values of options: each function reads one kind, and throws an `Error` whose message says what would be right.
 *
 * @module
 */
import { parsePortSpec } from "../forward/port_spec.ts";
import { DENY_NONE, parseEgressRule } from "../nat/rules/egress.ts";
import { parseDhcpOption } from "../nat/service/dhcp_options.ts";
import { Cidr, IpAddress } from "../net/wire/address.ts";

/** Least MTU: what every IPv4 host must be able to receive (RFC 791 section 3.2). */
export const LEAST_MTU = 576;
/** Greatest MTU: what slirp4netns and pasta use, a whole number of pages and words below the largest IPv4 packet. */
export const MOST_MTU = 65520;
/** Longest prefix: .15 is the guest, so a network has at least 32 addresses. */
export const LONGEST_PREFIX = 27;
const SHORTEST_PREFIX = 8;
const MOST_FLOWS = 1_000_000;
const MOST_SECONDS = 1_000_000;

/** Which host sockets carry the flows. */
export type HostKind = "ffi" | "deno";
/** How much is logged. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** A whole number of `least` to `most`. */
export function readInteger(text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value < least || value > most) {
    throw new RangeError(`it is a whole number from ${least} to ${most}`);
  }
  return value;
}

/** An MTU in bytes. */
export function readMtu(text: string): number {
  return readInteger(text, LEAST_MTU, MOST_MTU);
}

/** How many flows there may be at once, or may begin in a second. */
export function readMaxFlows(text: string): number {
  return readInteger(text, 1, MOST_FLOWS);
}

/** How many clients a forwarder serves at once. */
export function readMaxConnections(text: string): number {
  return readInteger(text, 1, MOST_FLOWS);
}

/** A time in whole seconds. */
export function readSeconds(text: string): number {
  return readInteger(text, 1, MOST_SECONDS);
}

/** An IPv4 network of at least 32 addresses, as text. */
export function readSubnet(text: string): string {
  const network = tryParse(() => text.includes("/") ? Cidr.parse(text) : undefined);
  if (!network?.address.isIpv4) throw new TypeError("it is an IPv4 network, such as 10.0.2.0/24");
  if (network.prefix > LONGEST_PREFIX) {
    throw new RangeError(
      `it is too small, at least a /${LONGEST_PREFIX} is needed, such as 10.0.2.0/${LONGEST_PREFIX}`,
    );
  }
  if (network.prefix < SHORTEST_PREFIX) throw new RangeError(`it is too large, at most a /${SHORTEST_PREFIX} will do`);
  const base = network.network, first = base.address.ipv4 >>> 24;
  if (!base.address.equals(network.address)) {
    throw new RangeError(`it names an address in a network, write ${base}`);
  }
  if (first === 0 || first === 127 || first >= 224) {
    throw new RangeError("it must be neither loopback, multicast nor reserved, take one such as 10.0.2.0/24");
  }
  return network.toString();
}

/** `none`, or a resolver as `ADDR` or `ADDR:PORT`, an IPv6 address with a port in brackets. */
export function readDns(text: string): string {
  if (text === "none") return text;
  const right = "it is ADDR, ADDR:PORT or none, such as 192.0.2.53:5353 or [2001:db8::53]:53";
  const bracketed = /^\[([^\]]*)\](?::(\d*))?$/.exec(text), dotted = /^([\d.]+)(?::(\d*))?$/.exec(text);
  const [, part = text, port] = bracketed ?? dotted ?? [];
  const address = tryParse(() => IpAddress.parse(part));
  if (!address || (bracketed && address.isIpv4)) throw new TypeError(right);
  if (port !== undefined) readPort(port);
  return text;
}

function readPort(text: string): number {
  try {
    return readInteger(text, 1, 65535);
  } catch {
    throw new RangeError("its port is a whole number from 1 to 65535");
  }
}

/** `GUESTADDR=HOSTADDR`, both of one family. */
export function readMap(text: string): string {
  const [guest, host, ...more] = text.split("=").map((part) => tryParse(() => IpAddress.parse(part)));
  if (!guest || !host || more.length > 0) {
    throw new TypeError("it is GUESTADDR=HOSTADDR, such as 10.0.2.100=127.0.0.1");
  }
  if (guest.isIpv4 !== host.isIpv4) throw new TypeError("both its addresses are of one family, IPv4 or IPv6");
  return text;
}

/** The file of a capture. */
export function readCaptureFile(text: string): string {
  if (text === "-") throw new TypeError("standard output is the command's, name a file");
  return text;
}

/** `CIDR[:PORTS]`: where guests may go or may not, as text. */
export function readEgressRule(text: string): string {
  parseEgressRule(text);
  return text;
}

/** As `readEgressRule`, or `none`. */
export function readDeny(text: string): string {
  return text === DENY_NONE ? text : readEgressRule(text);
}

/** `NAME=VALUE`: what DHCP tells, as text. */
export function readDhcpOption(text: string): string {
  parseDhcpOption(text);
  return text;
}

/** Forwards of TCP ports, in the form that a gateway takes. */
export function readTcpPorts(text: string): string {
  parsePortSpec("tcp", text);
  return `tcp:${text}`;
}

/** Forwards of UDP ports, in the form that a gateway takes. */
export function readUdpPorts(text: string): string {
  parsePortSpec("udp", text);
  return `udp:${text}`;
}

/** Which host sockets. */
export function readHostKind(text: string): HostKind {
  if (text === "ffi" || text === "deno") return text;
  throw new TypeError("it is ffi or deno");
}

/** How much is logged. */
export function readLogLevel(text: string): LogLevel {
  if (text === "debug" || text === "info" || text === "warn" || text === "error") return text;
  throw new TypeError("it is debug, info, warn or error");
}

function tryParse<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
