/**
 * Errors of Deno's network functions in the classes that a guest can be told apart.
 *
 * @module
 */
import type { HostError } from "../nat/host.ts";

const BY_CODE: ReadonlyMap<string, HostError> = new Map<string, HostError>([
  ["ECONNREFUSED", "refused"],
  ["ECONNRESET", "reset"],
  ["ECONNABORTED", "reset"],
  ["EPIPE", "reset"],
  ["ENOTCONN", "reset"],
  ["ENETUNREACH", "networkUnreachable"],
  ["ENETDOWN", "networkUnreachable"],
  ["EADDRNOTAVAIL", "networkUnreachable"],
  ["EAFNOSUPPORT", "networkUnreachable"],
  ["EHOSTUNREACH", "hostUnreachable"],
  ["EHOSTDOWN", "hostUnreachable"],
  ["EACCES", "prohibited"],
  ["EPERM", "prohibited"],
  ["ETIMEDOUT", "timedOut"],
  ["EMFILE", "exhausted"],
  ["ENFILE", "exhausted"],
  ["ENOBUFS", "exhausted"],
  ["ENOMEM", "exhausted"],
  ["EADDRINUSE", "exhausted"],
]);

const BY_NAME: ReadonlyMap<string, HostError> = new Map<string, HostError>([
  ["ConnectionRefused", "refused"],
  ["ConnectionReset", "reset"],
  ["ConnectionAborted", "reset"],
  ["BrokenPipe", "reset"],
  ["NotConnected", "reset"],
  ["NetworkUnreachable", "networkUnreachable"],
  ["AddrNotAvailable", "networkUnreachable"],
  ["PermissionDenied", "prohibited"],
  ["NotCapable", "prohibited"],
  ["TimedOut", "timedOut"],
  ["AddrInUse", "exhausted"],
]);

// Deno gives no code to some errors that reach it as a number only.
const BY_LINUX_NUMBER: ReadonlyMap<string, string> = new Map([
  ["1", "EPERM"],
  ["13", "EACCES"],
  ["23", "ENFILE"],
  ["24", "EMFILE"],
  ["99", "EADDRNOTAVAIL"],
  ["101", "ENETUNREACH"],
  ["105", "ENOBUFS"],
  ["110", "ETIMEDOUT"],
  ["112", "EHOSTDOWN"],
  ["113", "EHOSTUNREACH"],
]);

/**
 * The class of an error thrown by `Deno.connect`, `read`, `write` or a `node:dgram` callback: by its `code`, by its
 * name, then by the operating system's number in its message (Linux); `other` for anything else, `AbortError`
 * included.
 */
export function hostErrorOf(error: unknown): HostError {
  if (!(error instanceof Error)) return "other";
  const code = "code" in error && typeof error.code === "string" ? BY_CODE.get(error.code) : undefined;
  const known = code ?? BY_NAME.get(error.name);
  if (known !== undefined) return known;
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1];
  return BY_CODE.get(BY_LINUX_NUMBER.get(number ?? "") ?? "") ?? "other";
}
