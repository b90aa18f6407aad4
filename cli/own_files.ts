/**
 * The files of Hawser's own under `run --isolate`: captures, records, rules, and rules that are learnt. COMMAND, which
 * runs as the same user, is to change none of them and to read none.
 *
 * **Paths** are covered (`isolate_covers.ts`). Only what is there can be, so what Hawser will write is made now.
 *
 * **Descriptors** that the caller has left open for COMMAND may lead to such a file too, or to the other end of a pipe
 * of records. COMMAND does not get those above 2; of its standard descriptors none may be one, since a program without
 * these opens others in their place.
 *
 * @module
 */
import { LearnFile } from "../audit/learn_file.ts";
import { openOwnFile } from "../audit/sink.ts";
import { libc } from "../net/linux/libc.ts";
import { readableText } from "../net/linux/byte_text.ts";
import { fileOf, inheritedDescriptors, linkOf } from "../net/linux/process.ts";
import { IsolationError } from "./isolate_view.ts";
import type { RunOptions } from "./options.ts";

const F_SETFD = 2;
const FD_CLOEXEC = 1;
const S_IFMT = 0o170000, S_IFCHR = 0o020000;
const STANDARD = ["input", "output", "error"];

/**
 * Makes the files, keeps descriptors of them from COMMAND, and returns their paths. Throws an `Error` for a file that
 * cannot be had, and an `IsolationError` if a standard descriptor is one of them.
 */
export function hideOwnFiles(options: Pick<RunOptions, "pcap" | "audit" | "learn" | "rulesFiles">): string[] {
  const { pcap, audit, learn, rulesFiles } = options;
  // A pipe of rules has been read to its end.
  const paths = rulesFiles.filter((path) => Deno.statSync(path).isFile);
  if (pcap !== undefined) paths.push(makeCapture(pcap));
  if (audit !== undefined && "path" in audit) {
    openOwnFile(audit.path, { append: true }).close();
    paths.push(audit.path);
  }
  if (learn !== undefined) {
    LearnFile.prepare(learn);
    paths.push(learn);
  }
  const identities = new Map(paths.flatMap((path) => {
    const identity = identityOf(path);
    return identity === undefined ? [] : [[identity, path] as const];
  }));
  if (audit !== undefined && "fd" in audit) {
    const identity = identityAt(audit.fd), path = readableText(linkOf(`/proc/self/fd/${audit.fd}`) ?? "");
    if (identity !== undefined) identities.set(identity, `descriptor ${audit.fd}`);
    if (identity !== undefined && identityOf(path) === identity) paths.push(path);
  }
  for (const [fd, name] of STANDARD.entries()) {
    const path = identities.get(identityAt(fd) ?? "");
    if (path === undefined) continue;
    throw new IsolationError(`cannot hide ${path} from the command: it is its standard ${name}, name another file`);
  }
  for (const fd of inheritedDescriptors()) {
    if (identities.has(identityAt(fd) ?? "")) libc().fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return paths;
}

function makeCapture(path: string): string {
  try {
    Deno.openSync(path, { append: true, create: true }).close();
  } catch {
    // The gateway says why, when it opens the file.
  }
  return path;
}

/** What a descriptor has open, unless it is a device, which many have open. */
function identityAt(fd: number): string | undefined {
  const file = fileOf(fd);
  return file === undefined || (file.mode & S_IFMT) === S_IFCHR ? undefined : file.identity;
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, isCharDevice } = Deno.statSync(path);
    return isCharDevice ? undefined : `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
