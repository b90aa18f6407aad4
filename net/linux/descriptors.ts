/**
 * The last descriptors of the process, kept for those who need them most.
 *
 * The kernel gives each new descriptor the lowest free number. So whoever gives up those with a number close to the
 * limit (RLIMIT_NOFILE) leaves these to others, and nobody counts. What is new and beyond its share is closed again at
 * once, and its owner told that descriptors have run out, before they really have:
 *
 * - The last `KEPT` are for the program itself: the list of resolvers, what the runtime opens. It cannot go on if it
 *   fails there.
 * - The `KEPT` before these are for the flows of guests who are in. No newcomer gets one of them: no connection to a
 *   listener of guests.
 *
 * A small limit is not kept as a whole: each of the two has a twelfth of it at most.
 *
 * The limit is read again before anything is refused, because it can change while the program runs (prlimit(1)).
 *
 * @module
 */
import { EMFILE, errno, type Libc, libc, RLIMIT_NOFILE, SOCK_NONBLOCK_CLOEXEC } from "./libc.ts";

/** How many descriptors a share has. */
export const KEPT = 20;
/** How many shares newcomers leave. */
export const LEFT_BY_NEWCOMERS = 2;
/** How many shares flows leave. */
export const LEFT_BY_FLOWS = 1;
const LARGEST_SHARE = 1 / 12;

const limits = new BigUint64Array(2);
let softLimit = 0;

/** Whether `fd`, which is new, is in one of the last `shares` of what the process can have. */
export function isKept(fd: number, shares: number): boolean {
  if (fd < softLimit - shares * KEPT) return false;
  softLimit = libc().getrlimit(RLIMIT_NOFILE, limits) === 0 ? Number(limits[0]) : Infinity;
  return fd >= softLimit - shares * Math.min(KEPT, Math.floor(softLimit * LARGEST_SHARE));
}

/** To be called when the kernel has refused a descriptor: the limit may be lower than it was. */
export function forgetLimit(): void {
  softLimit = 0;
}

/** A new, non-blocking socket for a guest's flow, or an error number below 0. */
export function openFlowSocket(c: Libc, family: number, type: number, protocol: number): number {
  const fd = c.socket(family, type | SOCK_NONBLOCK_CLOEXEC, protocol);
  if (fd < 0) {
    const code = errno();
    forgetLimit();
    return -code;
  }
  if (!isKept(fd, LEFT_BY_FLOWS)) return fd;
  c.close(fd);
  return -EMFILE;
}
