/**
 * A descriptor that Hawser's caller has opened for the audit: a pipe, a socket, a terminal or a file.
 *
 * Hawser must never wait for whoever reads it, and must not change it for others: whether writes wait is a property of
 * the open file description, which every process that inherited the descriptor shares. So Hawser opens one of its own,
 * by /proc/self/fd, that does not wait. A socket cannot be opened so; it is sent to with a flag that says the same.
 *
 * What the caller did not open is none of its: a number that Hawser itself uses for something else, which can be seen
 * from that it is closed on exec, is refused.
 *
 * @module
 */
import {
  cString,
  describeErrno,
  EAGAIN,
  EINTR,
  errno,
  libc,
  MSG_NOSIGNAL,
  O_CLOEXEC,
  O_NONBLOCK,
} from "../net/linux/libc.ts";
import { fileOf, isInherited } from "../net/linux/process.ts";
import { type LineOutput, MOST_KEPT } from "./sink.ts";

const O_WRONLY = 1;
const O_ACCMODE = 3;
const O_NOCTTY = 0x100;
const O_APPEND = 0x400;
const F_SETFD = 2;
const F_GETFL = 3;
const FD_CLOEXEC = 1;
const MSG_DONTWAIT = 0x40;
const S_IFMT = 0o170000, S_IFREG = 0o100000, S_IFSOCK = 0o140000;

/**
 * Takes a descriptor of the caller's for Hawser alone: no program that is started gets it. Throws an `Error` if the
 * caller has not opened it for writing.
 */
export function claimDescriptor(fd: number): void {
  const c = libc(), flags = c.fcntl(fd, F_GETFL, 0);
  if (flags < 0 || !isInherited(fd)) throw new Error(`Cannot write to descriptor ${fd}: the caller has not opened it`);
  if ((flags & O_ACCMODE) === 0) throw new Error(`Cannot write to descriptor ${fd}: it is open for reading alone`);
  c.fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/** Lines to a descriptor. */
export class DescriptorOutput implements LineOutput {
  readonly patience: number;
  readonly #fd: number;
  readonly #isSocket: boolean;

  private constructor(fd: number, { patience, isSocket }: { patience: number; isSocket: boolean }) {
    this.#fd = fd;
    this.#isSocket = isSocket;
    this.patience = patience;
  }

  /**
   * Makes an output of `fd`, which stays open and may be closed by its owner, unless it is a socket. Throws an `Error`
   * if it cannot be written to.
   */
  static open(fd: number): DescriptorOutput {
    const type = (fileOf(fd)?.mode ?? 0) & S_IFMT;
    if (type === S_IFSOCK) return new DescriptorOutput(fd, { patience: MOST_KEPT, isSocket: true });
    const flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    const own = libc().open(cString(`/proc/self/fd/${fd}`), flags);
    if (own < 0) throw new Error(`Cannot write to descriptor ${fd}: ${describeErrno(errno())}`);
    return new DescriptorOutput(own, { patience: type === S_IFREG ? 0 : MOST_KEPT, isSocket: false });
  }

  /** Writes what it can. */
  write(bytes: Uint8Array): number {
    const c = libc(), length = BigInt(bytes.length);
    for (;;) {
      const count = this.#isSocket
        ? c.send(this.#fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
        : c.write(this.#fd, bytes, length);
      if (count >= 0) return count;
      const code = errno();
      if (code === EAGAIN) return 0;
      if (code !== EINTR) throw new Error(describeErrno(code));
    }
  }

  /** Closes what was opened. */
  [Symbol.dispose](): void {
    if (!this.#isSocket) libc().close(this.#fd);
  }
}
