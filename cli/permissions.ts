/**
 * Giving up Deno's permissions at run time: each command keeps what it still needs, once its options are known and
 * again once it serves.
 *
 * docs/permissions.md has the table.
 *
 * @module
 */
import type { Logger } from "../nat/base/logger.ts";
import type { AuditSettings } from "./audit_settings.ts";
import type { GatewaySettings } from "./gateway_settings.ts";
import type { GuestSource } from "./guest_source.ts";
import type { RunOptions } from "./options.ts";
import type { ServeOptions } from "./serve_options.ts";

const ALL = ["read", "write", "net", "env", "run", "sys", "ffi", "import"] as const;

/** The name of a permission. */
export type Permission = typeof ALL[number];

/** Gives up every permission but these; one that is not there does not come. Tells `logger` what is left. */
export function keepOnly(kept: readonly Permission[], logger?: Logger): void {
  for (const name of ALL) {
    if (!kept.includes(name)) Deno.permissions.revokeSync({ name });
  }
  if (logger === undefined) return;
  const left = ALL.filter((name) => Deno.permissions.querySync({ name }).state === "granted");
  logger.debug(`Permissions from here on: ${left.join(", ") || "none"}`);
}

/** What `run` needs from the start on: files, FFI, the environment where there is no /proc, its options. */
export function neededByRun({ host, pcap, ...options }: RunOptions): Permission[] {
  const writes = pcap !== undefined || writesFiles(options);
  return ["read", "env", "ffi", ...when("net", host === "deno"), ...when("write", writes)];
}

/** What `serve` needs from the start on. */
export function neededByServe({ host, links, pcap, pidFile, ...options }: ServeOptions): Permission[] {
  const hasPath = links.some(({ kind }) => kind === "unix" || kind === "unixgram");
  const writes = (pcap !== undefined && pcap !== "-") || pidFile !== undefined || writesFiles(options);
  return [
    "read",
    "ffi",
    ...when("net", host === "deno"),
    ...when("write", writes || (host === "deno" && hasPath)),
  ];
}

/** What a gateway needs once it serves: FFI for its sockets, files for resolv.conf and the paths of sockets. */
export function neededByGateway({ host }: GatewaySettings, sources: readonly GuestSource[]): Permission[] {
  const isDeno = host === "deno", hasPath = sources.some(({ kind }) => kind === "unix" || kind === "unixgram");
  return [
    "read",
    "ffi",
    ...when("net", isDeno),
    ...when("write", isDeno && hasPath),
  ];
}

/** Whether files are written that these name. */
function writesFiles({ audit, learn }: AuditSettings): boolean {
  return learn !== undefined || (audit !== undefined && "path" in audit);
}

function when(permission: Permission, isNeeded: boolean): Permission[] {
  return isNeeded ? [permission] : [];
}
