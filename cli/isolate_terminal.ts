/**
 * Giving the terminal back to who had it before COMMAND.
 *
 * A shell with job control gives the terminal to its jobs, and when it ends, to the process group that it found there.
 * Inside a PID namespace that group, which is Hawser's, has no number, so the shell cannot do the latter. The terminal
 * would be left to a group that no longer exists, and the next program that reads from it would be stopped.
 *
 * @module
 */
import { cString, errno, ESRCH, libc, O_CLOEXEC, O_RDWR } from "../net/linux/libc.ts";
import { ignoreSignals, resetSignals } from "../net/linux/signal_actions.ts";

const TIOCGPGRP = 0x540fn;
const TIOCSPGRP = 0x5410n;
const GETPGID = Deno.build.arch === "x86_64" ? 121n : 155n;
const SIGTTOU = 22;

/** The terminal of this process, if it has one and is in the foreground there. */
export class Foreground {
  readonly #fd: number;
  readonly #group: number = libc().syscall(GETPGID, 0n, 0n, 0n);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** What is to be given back later; `undefined` for a process without a terminal, or in the background. */
  static take(): Foreground | undefined {
    const fd = libc().open(cString("/dev/tty"), O_RDWR | O_CLOEXEC);
    if (fd < 0) return undefined;
    const foreground = new Foreground(fd);
    if (foreground.#current() === foreground.#group) return foreground;
    libc().close(fd);
    return undefined;
  }

  /** Takes the terminal back if it belongs to a group that has ended. To be called once. */
  giveBack(): void {
    const current = this.#current();
    if (current > 0 && current !== this.#group && libc().kill(-current, 0) < 0 && errno() === ESRCH) {
      // From the background that is allowed to who ignores TTOU.
      ignoreSignals([SIGTTOU]);
      libc().ioctl(this.#fd, TIOCSPGRP, new Uint8Array(Int32Array.of(this.#group).buffer));
      resetSignals([SIGTTOU]);
    }
    libc().close(this.#fd);
  }

  #current(): number {
    const group = new Int32Array(1);
    return libc().ioctl(this.#fd, TIOCGPGRP, new Uint8Array(group.buffer)) < 0 ? -1 : group[0]!;
  }
}
