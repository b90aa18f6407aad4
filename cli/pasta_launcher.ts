/**
 * How a program goes on in the background as soon as it is ready, as daemon(3) does it: its caller is free then, and
 * not before.
 *
 * Deno cannot fork. So the first process, the **launcher**, starts the same command line once more, in a session of its
 * own, and waits. The second one has /dev/null as standard input and output, and for standard error a socket to the
 * launcher, which passes on what comes. When it is ready it says so on that socket, and puts /dev/null, or its log
 * file, in the place of it: then the launcher ends with 0, and nobody waits for a descriptor that is still open
 * somewhere. If it ends before, the launcher ends with its exit code, 1 at least. If the launcher is gone before, so is
 * its child, because nobody would know of it. A variable of the environment tells the child that it is one.
 *
 * Descriptors that the caller left open go no further than the launcher, but for those that are named.
 *
 * @module
 */
import { libc, MSG_NOSIGNAL } from "../net/linux/libc.ts";
import { inheritedDescriptors, linkOf, originalCommandLine, originalEnvironment } from "../net/linux/process.ts";
import { LineSocket, spawn } from "../net/linux/spawn.ts";
import { writeStderr } from "./log.ts";
import { keepOnly } from "./permissions.ts";
import { openNull, replaceStderr } from "./standard_descriptors.ts";

/** The file of this program, whatever has become of its name. */
const ITSELF = "/proc/self/exe";
const DELETED = " (deleted)";
const LAUNCHED = "HAWSER_LAUNCHED=1";
const READY = "hawser:ready";
const STDERR = 2;
const FAILED = 1;

/** Whether this process was started by a launcher. */
export function isLaunched(): boolean {
  return originalEnvironment()?.includes(LAUNCHED) ?? false;
}

/**
 * Starts the child, which gets the descriptors `kept` too. Resolves to the exit code when it is ready or has ended.
 * Throws an `Error` if it cannot be started.
 */
export async function launch(kept: readonly number[]): Promise<number> {
  keepOnly(["read", "env", "ffi"]);
  const words = originalCommandLine(), env = originalEnvironment();
  if (words === undefined || env === undefined) {
    throw new Error("cannot go to the background without /proc, which is not mounted here: say --foreground");
  }
  // Under its name, which tools show, if that still is the file's.
  const file = linkOf(ITSELF), path = file === undefined || file.endsWith(DELETED) ? ITSELF : file;
  const ready = Promise.withResolvers<number>();
  const socket = new LineSocket((line) => line === READY ? ready.resolve(0) : writeStderr(`${line}\n`));
  const none = openNull();
  const child = spawn({
    path,
    args: words,
    env: [...env, LAUNCHED],
    stdio: [none, none, socket.theirs],
    closed: inheritedDescriptors().filter((fd) => !kept.includes(fd)),
    ownSession: true,
  });
  libc().close(none);
  socket.started();
  const failed = Promise.all([child.ended, socket.closed]).then(([{ code }]) => code || FAILED);
  return await Promise.race([ready.promise, failed]);
}

/**
 * Tells the launcher that everything is ready; from then on standard error is `log`, or nothing. `kept` are descriptors
 * that stay what they are. Throws an `Error` if the launcher has ended.
 */
export function tellLauncher(
  { log, kept }: { readonly log: number | undefined; readonly kept: readonly number[] },
): void {
  const bytes = new TextEncoder().encode(`${READY}\n`);
  const sent = libc().send(STDERR, bytes, BigInt(bytes.length), MSG_NOSIGNAL);
  replaceStderr(log ?? openNull(), kept);
  if (sent < 0) throw new Error("whoever started it has ended before it was ready");
}
