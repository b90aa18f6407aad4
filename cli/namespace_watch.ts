/**
 * Whether a network namespace that was given is still there: by its path, or as that of a process.
 *
 * A path names a namespace while that is mounted on it. Whoever deletes it unmounts it, which leaves an empty file for
 * a moment, removes that file, and may then give the name to another one. inotify(7) tells at once when something in
 * the folder is removed, so that whoever starts the same container again finds its ports free. It does not tell of
 * unmounting, and a user has few inotify instances, so it is looked once a second too whether the path still leads to
 * the same file. A process is watched by a descriptor of it, because its number may be another's the next moment.
 *
 * What cannot be looked at, for want of rights, counts as there.
 *
 * @module
 */
import { cString, ENOENT, ENOTDIR, errno, libc, O_CLOEXEC, O_NONBLOCK, O_PATH } from "../net/linux/libc.ts";
import { openPidfd } from "../net/linux/pidfd.ts";
import { fileOf } from "../net/linux/process.ts";
import type { NetnsSpec } from "./link_spec.ts";

const PERIOD_MS = 1000;
const POLLIN = 1;
// Something in the folder was removed, moved away, or put in its place.
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_DELETE = 0x200;
const NO_DESCRIPTOR = -1;

/** Looks after a namespace until it is disposed of. */
export class NamespaceWatch implements Disposable {
  readonly #gone = Promise.withResolvers<string>();
  /** Readable when it is worth looking; -1 if nothing tells. */
  readonly #fd: number;
  readonly #isThere: () => boolean;
  readonly #name: string;
  #isOver = false;
  /** Resolves to a sentence when the namespace is gone. */
  readonly gone: Promise<string> = this.#gone.promise;

  /** Watches this namespace, as it is now. */
  constructor(netns: NetnsSpec) {
    if ("pid" in netns) {
      const pidfd = openPidfd(netns.pid);
      this.#fd = pidfd ?? NO_DESCRIPTOR;
      this.#isThere = () => pidfd !== undefined && !isReadable(pidfd);
      this.#name = `process ${netns.pid}`;
    } else {
      this.#fd = watchFolder(netns.path.replace(/[^/]*$/, "") || ".");
      this.#isThere = watchPath(netns.path);
      this.#name = `namespace ${netns.path}`;
    }
    this.#watch();
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    this.#isOver = true;
  }

  async #watch(): Promise<void> {
    const c = libc(), record = pollRecord(this.#fd), events = new Uint8Array(4096);
    while (!this.#isOver && this.#isThere()) {
      // poll(2) passes over a descriptor that is none. What is read tells nothing that looking does not.
      if (await c.pollAsync(record, 1n, PERIOD_MS) > 0) c.read(this.#fd, events, BigInt(events.length));
    }
    if (this.#fd !== NO_DESCRIPTOR) c.close(this.#fd);
    if (!this.#isOver) this.#gone.resolve(`${this.#name} is gone`);
  }
}

/** A descriptor that is readable when something in a folder was removed; -1 if that cannot be had. */
function watchFolder(path: string): number {
  const c = libc(), fd = c.inotifyInit(O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return NO_DESCRIPTOR;
  if (c.inotifyAddWatch(fd, cString(path), IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE) >= 0) return fd;
  c.close(fd);
  return NO_DESCRIPTOR;
}

/** Tells whether a path leads to the same file as now. */
function watchPath(path: string): () => boolean {
  const first = identityOf(path);
  return () => {
    const now = identityOf(path);
    return now !== "none" && (now === first || now === "hidden" || first === "hidden");
  };
}

/** Which file a path leads to: the same text for the same file, `none`, or `hidden` if that cannot be told. */
function identityOf(path: string): string {
  const c = libc(), fd = c.open(cString(path), O_PATH | O_CLOEXEC), code = fd < 0 ? errno() : 0;
  if (fd < 0) return code === ENOENT || code === ENOTDIR ? "none" : "hidden";
  const identity = fileOf(fd)?.identity ?? "hidden";
  c.close(fd);
  return identity;
}

/** A `struct pollfd`. */
function pollRecord(fd: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([fd, POLLIN]).buffer);
}

function isReadable(fd: number): boolean {
  return libc().poll(pollRecord(fd), 1n, 0) > 0;
}
