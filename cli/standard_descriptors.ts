/**
 * What the process has in place of its caller's standard descriptors, when it goes on in the background or logs to a
 * file.
 *
 * Deno writes to duplicates of 1 and 2 that it made when it began. So whoever is to see the end of an output sees it
 * only when every descriptor of this process that has the same file open has another one in its place.
 *
 * @module
 */
import { cString, describeErrno, errno, libc, O_CLOEXEC, O_RDWR } from "../net/linux/libc.ts";
import { fileOf, isInherited, listFolder } from "../net/linux/process.ts";

const DUP3: bigint = Deno.build.arch === "x86_64" ? 292n : 24n;
const O_WRONLY = 1;
const O_APPEND = 0x400;
const STDERR = 2;

/** A descriptor of /dev/null, the caller's to close. Throws an `Error` if there is none. */
export function openNull(): number {
  return openFile("/dev/null", O_RDWR);
}

/** A descriptor that appends to the log file, which is made if it is not there. Throws an `Error` if it cannot be. */
export function openLog(path: string): number {
  try {
    Deno.openSync(path, { append: true, create: true }).close();
  } catch (error) {
    throw new Error(`cannot write ${path} (--log-file): ${error instanceof Error ? error.message : error}`);
  }
  return openFile(path, O_WRONLY | O_APPEND);
}

/** Puts `fd` in the place of standard error, and closes `fd`; `kept` are descriptors that stay what they are. */
export function replaceStderr(fd: number, kept: readonly number[]): void {
  const caller = fileOf(STDERR)?.identity;
  for (const name of listFolder("/proc/self/fd")) {
    const other = Number(name);
    if (other !== STDERR && (isInherited(other) || kept.includes(other) || fileOf(other)?.identity !== caller)) {
      continue;
    }
    libc().syscall(DUP3, BigInt(fd), BigInt(other), other === STDERR ? 0n : BigInt(O_CLOEXEC));
  }
  libc().close(fd);
}

function openFile(path: string, flags: number): number {
  const fd = libc().open(cString(path), flags | O_CLOEXEC);
  if (fd >= 0) return fd;
  throw new Error(`cannot open ${path}: ${describeErrno(errno())}`);
}
