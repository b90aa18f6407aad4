/**
 * Taking a descriptor out of another process, by pidfd_open(2) and pidfd_getfd(2) (Linux 5.6).
 *
 * What comes back is a descriptor of this process for the same open file, so a /dev/net/tun that a child opened inside
 * its network namespace can be served from outside. The kernel asks for the right to trace that process: the same user
 * and a child of ours, or root.
 *
 * @module
 */
import { describeErrno, EBADF, EMFILE, ENFILE, ENOSYS, EPERM, errno, ESRCH, libc } from "./libc.ts";

const PIDFD_OPEN = 434n;
const PIDFD_GETFD = 438n;

/** A descriptor of a process, the caller's to close; `undefined` if there is none of that number. */
export function openPidfd(pid: number): number | undefined {
  const pidfd = libc().syscall(PIDFD_OPEN, BigInt(pid), 0n, 0n);
  return pidfd < 0 ? undefined : pidfd;
}

/**
 * A descriptor of this process for what `fd` is in process `pid`; not inherited by programs that are started, and to be
 * closed by the caller. Throws `Deno.errors.NotFound` when there is no such process or descriptor,
 * `Deno.errors.PermissionDenied` when the kernel or a sandbox refuses, `Deno.errors.NotSupported` before Linux 5.6.
 */
export function pidfdGetFd(pid: number, fd: number): number {
  const c = libc();
  const pidfd = c.syscall(PIDFD_OPEN, BigInt(pid), 0n, 0n);
  if (pidfd < 0) throw failure(pid, fd, errno());
  const taken = c.syscall(PIDFD_GETFD, BigInt(pidfd), BigInt(fd), 0n);
  const code = taken < 0 ? errno() : 0;
  c.close(pidfd);
  if (taken < 0) throw failure(pid, fd, code);
  return taken;
}

function failure(pid: number, fd: number, code: number): Error {
  const action = `Cannot take descriptor ${fd} of process ${pid}`;
  switch (code) {
    case ESRCH:
      return new Deno.errors.NotFound(`${action}: there is no such process`);
    case EBADF:
      return new Deno.errors.NotFound(`${action}: the process has no such descriptor open`);
    case EPERM:
      return new Deno.errors.PermissionDenied(
        `${action}: the kernel refuses pidfd_getfd, allow it where it is restricted: ` +
          "kernel.yama.ptrace_scope must be 0 or 1, and a container's seccomp profile must permit it (CAP_SYS_PTRACE)",
      );
    case ENOSYS:
      return new Deno.errors.NotSupported(`${action}: pidfd_getfd needs Linux 5.6 or newer, or is hidden by a sandbox`);
    case EMFILE:
    case ENFILE:
      return new Error(`${action}: ${describeErrno(code)}, raise the limit of open files (ulimit -n)`);
    default:
      return new Error(`${action}: ${describeErrno(code)}`);
  }
}
