/**
 * What Hawser gives up of itself, so that who gets in through a fault of it gets little: when, and what is said if the
 * kernel does not know it. The mechanisms are in `net/linux/privileges.ts` and `net/linux/seccomp.ts`.
 *
 * 1. At its first instruction the process hides from others of its user.
 * 2. When the gateway serves and no program is to be started any more, each thread of ours drops the capabilities that
 *   it does not need, and the system calls that a gateway never needs are denied on all threads. COMMAND of `run` has
 *   been started just before, so it has lost nothing: newuidmap and sudo work in it.
 *
 * @module
 */
import type { Logger } from "../nat/base/logger.ts";
import { type Capability, dropCapabilities, hideProcess, type Problem } from "../net/linux/privileges.ts";
import { originalEnvironment } from "../net/linux/process.ts";
import { denySystemCalls } from "../net/linux/seccomp.ts";

/** What a gateway keeps: its TAP, sockets for ICMP echo, ports below 1024, paths of sockets in folders of others. */
export const NEEDED_BY_GATEWAY: readonly Capability[] = ["netAdmin", "netRaw", "netBindService", "dacOverride"];

/** Hides this process from others of its user, where that can be done. */
export function hide(): void {
  if (!canHarden()) return;
  // COMMAND is to have it as it was, and a hidden process cannot read its own.
  originalEnvironment();
  hideProcess();
}

/**
 * Drops this thread's capabilities but `kept`, and denies what a gateway never needs on all threads, programs included.
 */
export function harden(logger: Logger, kept: readonly Capability[]): void {
  if (!canHarden()) return;
  tell(logger, hideProcess());
  tell(logger, dropCapabilities(kept));
  tell(logger, denySystemCalls());
}

/** A kernel that does not know something is no reason to worry the user; one that refuses it is. */
function tell(logger: Logger, problem: Problem | undefined): void {
  if (problem === undefined) return;
  const line = `Hawser is less hardened than it could be: ${problem.message}`;
  if (problem.isUnknown) logger.debug(line);
  else logger.warn(line);
}

function canHarden(): boolean {
  return Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted";
}
