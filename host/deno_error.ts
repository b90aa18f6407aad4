/**
 * Errors of Deno's network functions in the classes that a guest can be told apart.
 *
 * @module
 */
import type { HostError, HostListenError } from "../nat/host.ts";

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

const LISTEN_BY_CODE: ReadonlyMap<string, HostListenError> = new Map<string, HostListenError>([
  ["EADDRINUSE", "addressInUse"],
  ["EACCES", "privileged"],
  ["EPERM", "privileged"],
  ["EADDRNOTAVAIL", "addressNotAvailable"],
  ["EAFNOSUPPORT", "addressNotAvailable"],
  ["EMFILE", "exhausted"],
  ["ENFILE", "exhausted"],
  ["ENOBUFS", "exhausted"],
  ["ENOMEM", "exhausted"],
]);

const LISTEN_BY_NAME: ReadonlyMap<string, HostListenError> = new Map<string, HostListenError>([
  ["AddrInUse", "addressInUse"],
  ["PermissionDenied", "privileged"],
  // Deno's own refusal: the permission is missing, not a right that the system grants.
  ["NotCapable", "notPermitted"],
  ["AddrNotAvailable", "addressNotAvailable"],
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
  return classOf(error, BY_CODE, BY_NAME);
}

/** The class of an error thrown by `Deno.listen` or by the `bind` of `node:dgram`, found the same way. */
export function listenErrorOf(error: unknown): HostListenError {
  return classOf(error, LISTEN_BY_CODE, LISTEN_BY_NAME);
}

function classOf<T extends string>(
  error: unknown,
  byCode: ReadonlyMap<string, T>,
  byName: ReadonlyMap<string, T>,
): T | "other" {
  if (!(error instanceof Error)) return "other";
  const code = "code" in error && typeof error.code === "string" ? byCode.get(error.code) : undefined;
  const known = code ?? byName.get(error.name);
  if (known !== undefined) return known;
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1];
  return byCode.get(BY_LINUX_NUMBER.get(number ?? "") ?? "") ?? "other";
}
