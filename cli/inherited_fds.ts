/**
 * Descriptors that Hawser's caller has left open for it, as slirp4netns takes them: `--ready-fd` and
 * `--exit-fd`.
 *
 * Each may be a pipe, a socket or a file. Through the one Hawser says that it is ready; the end of the other, when the
 * program that holds its other end closes it or dies, is Hawser's own. What is written to that one is left unread. A
 * file has no other end, and so never ends Hawser. A descriptor that programs would not inherit is one of Deno's own,
 * and is refused.
 *
 * Without the C library Deno's Node layer adopts them, which knows pipes and sockets alone.
 *
 * @module
 */
import { describeErrno, errno, libc } from "../net/linux/libc.ts";

const F_GETFD = 1;
const F_GETFL = 3;
const O_ACCMODE = 3;
const FD_CLOEXEC = 1;
const POLLRDHUP = 0x2000;
const ONE = new TextEncoder().encode("1");

/** Throws an `Error` if `1` cannot be written to this descriptor of the caller's. */
export function checkReady(fd: number): void {
  if (!hasLibrary()) return;
  checkInherited("--ready-fd", fd);
  if ((libc().fcntl(fd, F_GETFL, 0) & O_ACCMODE) !== 0) return;
  throw new Error(`cannot use descriptor ${fd} (--ready-fd): it cannot be written to`);
}

/** Throws an `Error` if this is no descriptor of the caller's. */
export function checkExit(fd: number): void {
  if (hasLibrary()) checkInherited("--exit-fd", fd);
}

/** Writes `1` to a descriptor and closes it. Throws an `Error` when it is none that can be written to. */
export async function tellReady(fd: number): Promise<void> {
  const option = "--ready-fd";
  if (!hasLibrary()) {
    const socket = await adopt(option, fd, { readable: false, writable: true });
    return await new Promise<void>((resolve, reject) => {
      socket.on(
        "error",
        (error) => reject(new Error(`cannot write to descriptor ${fd} (${option}): ${error.message}`)),
      );
      socket.on("close", () => resolve());
      socket.end("1");
    });
  }
  checkReady(fd);
  const c = libc(), written = c.write(fd, ONE, 1n), code = errno();
  c.close(fd);
  if (written < 0) throw new Error(`cannot write to descriptor ${fd} (${option}): ${describeErrno(code)}`);
}

/**
 * Resolves when a descriptor has come to its end; what is written to it is ignored. Rejects with an `Error` if it is
 * not open.
 */
export async function whenClosed(fd: number): Promise<void> {
  const option = "--exit-fd";
  if (!hasLibrary()) {
    const socket = await adopt(option, fd, { readable: true, writable: false });
    socket.resume();
    return await new Promise((resolve) => {
      socket.on("error", () => resolve());
      socket.on("close", () => resolve());
    });
  }
  checkExit(fd);
  // A struct pollfd: the end is told whether it is asked for or not, but for that of a socket's other half.
  const record = new Int32Array([fd, POLLRDHUP]), bytes = new Uint8Array(record.buffer);
  while (await libc().pollAsync(bytes, 1n, -1) <= 0);
}

function checkInherited(option: string, fd: number): void {
  const flags = libc().fcntl(fd, F_GETFD, 0);
  if (flags < 0 || (flags & FD_CLOEXEC) !== 0) {
    throw new Error(`cannot use descriptor ${fd} (${option}): the caller has not left it open`);
  }
}

function hasLibrary(): boolean {
  return Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted";
}

async function adopt(option: string, fd: number, ways: { readable: boolean; writable: boolean }) {
  const { Socket } = await import("node:net");
  try {
    return new Socket({ fd, ...ways });
  } catch {
    throw new Error(`cannot use descriptor ${fd} (${option}): it must be an open pipe or socket`);
  }
}
