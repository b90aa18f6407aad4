/**
 * The values of options: each function reads one kind, and throws an `Error` whose message says what would be right.
 *
 * @module
 */
import { parsePortRequest } from "../forward/port_spec.ts";
import { isGroupMac, parseMac } from "../net/wire/address.ts";
import { checkFlowLimit } from "../nat/flow/quota.ts";
import { checkNamesTtl } from "../nat/rules/bindings.ts";

/** Least MTU: what every IPv4 host must be able to receive (RFC 791 section 3.2). */
export const LEAST_MTU = 576;
/** Greatest MTU: what slirp4netns and pasta use, a whole number of pages and words below the largest IPv4 packet. */
export const MOST_MTU = 65520;
const MOST_CLIENTS = 1_000_000;
const MOST_SECONDS = 1_000_000;

/** Which host sockets carry the flows. */
export type HostKind = "ffi" | "deno";
/** How much is logged. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** A whole number of `least` to `most`. */
export function readInteger(text: string, least: number, most: number): number {
  const value = readNumber(text);
  if (value >= least && value <= most) return value;
  throw new RangeError(`it is a whole number from ${least} to ${most}`);
}

/** A whole number in digits alone, or NaN. */
function readNumber(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : NaN;
}

/** An MTU in bytes. */
export function readMtu(text: string): number {
  return readInteger(text, LEAST_MTU, MOST_MTU);
}

/** How many flows there may be at once, or may begin in a second. */
export function readFlowLimit(text: string): number {
  return checkFlowLimit(readNumber(text));
}

/** What TCP flows that only a name allows must say. */
export function readNames(text: string): "verify" | "strict" {
  if (text === "verify" || text === "strict") return text;
  throw new TypeError("it is verify or strict");
}

/** For how many seconds an address at least keeps a name. */
export function readNamesTtl(text: string): number {
  return checkNamesTtl(readNumber(text));
}

/** How many clients a forwarder serves at once. */
export function readMaxConnections(text: string): number {
  return readInteger(text, 1, MOST_CLIENTS);
}

/** A time in whole seconds. */
export function readSeconds(text: string): number {
  return readInteger(text, 1, MOST_SECONDS);
}

/** Reads what `parse` accepts, and leaves it text. */
export function checkedBy(parse: (text: string) => unknown): (text: string) => string {
  return (text) => {
    parse(text);
    return text;
  };
}

/** The file of a capture. */
export function readCaptureFile(text: string): string {
  if (text === "-") throw new TypeError("standard output is the command's, name a file");
  return text;
}

/** Forwards of TCP ports, in the form that a gateway takes. */
export function readTcpPorts(text: string): string {
  parsePortRequest("tcp", text);
  return `tcp:${text}`;
}

/** Forwards of UDP ports, in the form that a gateway takes. */
export function readUdpPorts(text: string): string {
  parsePortRequest("udp", text);
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

/** The value of a variable of the environment, if it has one and Deno may read it. */
export function fromEnvironment(variable: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable }).state !== "granted") return undefined;
  return Deno.env.get(variable) || undefined;
}

/** The MAC address of one interface, which stays text. */
export function readMac(text: string): string {
  if (!isGroupMac(parseMac(text))) return text;
  throw new RangeError("it is a group's address, take one whose first byte is even");
}
