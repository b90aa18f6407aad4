/**
 * What a process can give up of its own: being looked into, and capabilities.
 *
 * **Not dumpable.** Another process of the same user may trace a process, read and write its memory by /proc/PID/mem,
 * and take its descriptors; and the command of `hawser run` is a process of the same user. `hideProcess` ends that:
 * only who has CAP_SYS_PTRACE may. It also ends core dumps. A program that is started is dumpable again.
 *
 * **Capabilities** are a thread's, and Linux has no call that drops them on all. So each thread that runs our code
 * drops its own, and threads that it starts later have no more. What Deno started before, a few helpers of V8, keeps
 * them; what they are good for is what `seccomp.ts` denies on every thread.
 *
 * @module
 */
import { addressOf, describeErrno, EINVAL, ENOSYS, errno, libc } from "./libc.ts";

const PR_SET_DUMPABLE = 4;
const IS_X86 = Deno.build.arch === "x86_64";
const CAPGET = IS_X86 ? 125n : 90n;
const CAPSET = IS_X86 ? 126n : 91n;
const VERSION_3 = 0x20080522;

/** Why something could not be given up. */
export interface Problem {
  /** What was tried, and what the kernel said. */
  readonly message: string;
  /** Whether this kernel just does not know it. */
  readonly isUnknown: boolean;
}

/** The problem of the call that failed last. */
export function problem(what: string): Problem {
  const code = errno();
  return { message: `${what}: ${describeErrno(code)}`, isUnknown: code === ENOSYS || code === EINVAL };
}

/** Capabilities by number (capabilities(7)). */
export const CAPABILITIES = {
  /** Files of others: sockets at paths in folders of theirs. */
  dacOverride: 1,
  /** Signals to processes of other users: the command may have become another. */
  kill: 5,
  /** Ports below 1024. */
  netBindService: 10,
  /** Interfaces: the TAP. */
  netAdmin: 12,
  /** Raw sockets: ICMP echo where ping sockets are not allowed. */
  netRaw: 13,
} as const;

/** Everything that administers the system, entering namespaces among it. */
const CAP_SYS_ADMIN = 21;

/**
 * Whether this thread may enter the namespaces that belong to its user namespace or lie within it, without entering
 * that one before.
 */
export function canEnterNamespaces(): boolean {
  const header = new Uint32Array([VERSION_3, 0]), sets = new Uint32Array(6);
  const answer = libc().syscall(
    CAPGET,
    addressOf(new Uint8Array(header.buffer)),
    addressOf(new Uint8Array(sets.buffer)),
    0n,
  );
  return answer >= 0 && (sets[0]! & 1 << CAP_SYS_ADMIN) !== 0;
}

/** The name of a capability that can be kept. */
export type Capability = keyof typeof CAPABILITIES;

/**
 * Hides this process from others of its user: no tracing, no reading of its memory, no taking of its descriptors.
 * Answers why it could not, or `undefined`. Throws what `libc` throws.
 */
export function hideProcess(): Problem | undefined {
  return libc().prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n) < 0 ? problem("not dumpable") : undefined;
}

/**
 * Drops every capability of this thread but these. Answers why it could not, or `undefined`. Throws what `libc` throws.
 */
export function dropCapabilities(kept: readonly Capability[]): Problem | undefined {
  const c = libc(), header = new Uint32Array([VERSION_3, 0]), sets = new Uint32Array(6);
  const at = addressOf(new Uint8Array(header.buffer)), setsAt = addressOf(new Uint8Array(sets.buffer));
  if (c.syscall(CAPGET, at, setsAt, 0n) < 0) return problem("capabilities");
  const mask = kept.reduce((bits, name) => bits | 1 << CAPABILITIES[name], 0);
  // Effective, permitted, inheritable; first the low 32 of each, then the high ones, of which none is kept.
  for (let i = 0; i < 3; i++) sets[i] = sets[i]! & mask;
  sets.fill(0, 3);
  return c.syscall(CAPSET, at, setsAt, 0n) < 0 ? problem("capabilities") : undefined;
}
