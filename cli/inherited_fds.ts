/**
 * Descriptors that Hawser's caller has left open for it, as slirp4netns takes them: `--ready-fd` and
 * `--exit-fd`.
 *
 * Both are pipes or sockets, of which Hawser holds one end. Through the one it says that it is ready; the end of the
 * other, when the program that holds its other end closes it or dies, is Hawser's own.
 *
 * @module
 */
import { Socket } from "node:net";

/** Writes `1` to a descriptor and closes it. Throws an `Error` when it is none that can be written to. */
export async function tellReady(fd: number): Promise<void> {
  const socket = adopt("--ready-fd", fd, { readable: false, writable: true });
  await new Promise<void>((resolve, reject) => {
    socket.on("error", (error) => reject(new Error(`cannot write to descriptor ${fd} (--ready-fd): ${error.message}`)));
    socket.on("close", () => resolve());
    socket.end("1");
  });
}

/**
 * Resolves when a descriptor has come to its end; what is written to it is ignored. Throws an `Error` when it cannot be
 * read.
 */
export function whenClosed(fd: number): Promise<void> {
  const socket = adopt("--exit-fd", fd, { readable: true, writable: false });
  socket.resume();
  return new Promise((resolve) => {
    socket.on("error", () => resolve());
    socket.on("close", () => resolve());
  });
}

function adopt(option: string, fd: number, ways: { readable: boolean; writable: boolean }): Socket {
  try {
    return new Socket({ fd, ...ways });
  } catch {
    throw new Error(`cannot use descriptor ${fd} (${option}): it must be an open pipe or socket`);
  }
}
