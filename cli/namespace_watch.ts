/**
 * Whether a network namespace that was given is still there: by its path, or as that of a process.
 *
 * A path names a namespace while that is mounted on it. Whoever deletes it unmounts it, which leaves an empty file for
 * a moment, and may then give the name to another one. So it is looked once a second whether the path still leads to
 * the same file. A process is watched by a descriptor of it, because its number may be another's the next moment.
 *
 * What cannot be looked at, for want of rights, counts as there.
 *
 * @module
 */
import { cString, ENOENT, ENOTDIR, errno, libc, O_CLOEXEC, O_PATH } from "../net/linux/libc.ts";
import { openPidfd } from "../net/linux/pidfd.ts";
import { fileOf } from "../net/linux/process.ts";
import type { NetnsSpec } from "./link_spec.ts";

const PERIOD_MS = 1000;
const POLLIN = 1;

/** Looks after a namespace until it is disposed of. */
export class NamespaceWatch implements Disposable {
  readonly #gone = Promise.withResolvers<string>();
  readonly #pidfd: number | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Resolves to a sentence when the namespace is gone. */
  readonly gone: Promise<string> = this.#gone.promise;

  /** Watches this namespace, as it is now. */
  constructor(netns: NetnsSpec) {
    this.#pidfd = "pid" in netns ? openPidfd(netns.pid) : undefined;
    const isThere = "pid" in netns ? () => isRunning(this.#pidfd) : watchPath(netns.path);
    const name = "pid" in netns ? `process ${netns.pid}` : `namespace ${netns.path}`;
    this.#timer = setInterval(() => isThere() || this.#gone.resolve(`${name} is gone`), PERIOD_MS);
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#pidfd !== undefined) libc().close(this.#pidfd);
  }
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

/** A descriptor of a process is readable when it has ended. */
function isRunning(pidfd: number | undefined): boolean {
  if (pidfd === undefined) return false;
  const record = new Int32Array([pidfd, POLLIN]);
  return libc().poll(new Uint8Array(record.buffer), 1n, 0) <= 0;
}
