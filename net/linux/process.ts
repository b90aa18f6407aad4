/**
 * What this process was given by its caller, byte for byte: arguments, environment, descriptors, limits.
 *
 * Deno shows arguments and variables as text and replaces what is not UTF-8; it refuses to read /proc without every
 * permission; and it raises the soft limit of open files to the hard one when it starts. So this reads /proc through
 * the C library. Where /proc is not mounted there is no answer, and the callers fall back on what Deno shows.
 *
 * **The limit of open files** that the caller had cannot be read any more, so it is taken from the process that started
 * this one. That is wrong only if a program changed its own soft limit and then became Hawser by `exec`.
 *
 * @module
 */
import {
  addressOf,
  cString,
  errno,
  libc,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  RLIMIT_NOFILE,
} from "./libc.ts";
import { bytesOf, type ByteText, byteText, readableText } from "./byte_text.ts";

const CHUNK = 65536;
const GETDENTS64 = Deno.build.arch === "x86_64" ? 217n : 61n;
/** Of a `struct linux_dirent64`: the record's length at 16, the name at 19. */
const ENTRY_LENGTH = 16;
const ENTRY_NAME = 19;
const NEWFSTATAT = Deno.build.arch === "x86_64" ? 262n : 79n;
const READLINKAT = Deno.build.arch === "x86_64" ? 267n : 78n;
const AT_FDCWD = -100n;
const AT_SYMLINK_NOFOLLOW = 0x100n;
/** A `struct stat`, and where its st_mode is. */
const STAT_BYTES = 144;
const STAT_MODE = Deno.build.arch === "x86_64" ? 24 : 16;
const STAT_LINKS = Deno.build.arch === "x86_64" ? 16 : 20;
const STAT_INODE = 8;
const AT_EMPTY_PATH = 0x1000n;
const PATH_BYTES = 4096;
const F_GETFD = 1;
const FD_CLOEXEC = 1;
/** Ancestors that are asked for at most. */
const MOST_ANCESTORS = 16;

/** The whole of a file as bytes, or `undefined` if it cannot be read. For small files and those of /proc. */
export function readFileBytes(path: string): Uint8Array | undefined {
  const c = libc(), fd = c.open(cString(path), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return undefined;
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const chunk = new Uint8Array(CHUNK), count = c.read(fd, chunk, BigInt(CHUNK));
      if (count < 0) return undefined;
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      length += count;
    }
  } finally {
    c.close(fd);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The first bytes of a file, at most `most`, or `undefined` if it cannot be read. */
export function readFileStart(path: ByteText, most: number): Uint8Array | undefined {
  const c = libc(), fd = c.open(bytesOf(`${path}\0`), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return undefined;
  const bytes = new Uint8Array(most), count = c.read(fd, bytes, BigInt(most));
  c.close(fd);
  return count < 0 ? undefined : bytes.subarray(0, count);
}

function readWords(path: string): ByteText[] | undefined {
  const bytes = readFileBytes(path);
  if (bytes === undefined) return undefined;
  const words = byteText(bytes).split("\0");
  // Each word ends in a NUL, the last one too.
  words.pop();
  return words;
}

/**
 * The bytes of `words`, which were the last arguments of this process. `undefined` if the arguments cannot be read or
 * are others.
 */
export function originalWords(words: readonly string[]): ByteText[] | undefined {
  const all = readWords("/proc/self/cmdline");
  if (all === undefined || all.length < words.length) return undefined;
  const last = words.length === 0 ? [] : all.slice(-words.length);
  return last.every((word, at) => readableText(word) === words[at]) ? last : undefined;
}

/** The words with which this process was started, the program's name first. `undefined` without /proc. */
export function originalCommandLine(): readonly ByteText[] | undefined {
  return readWords("/proc/self/cmdline");
}

let environment: ByteText[] | undefined;

/**
 * The environment with which this process was started: `NAME=VALUE` each, as it was. `undefined` without /proc. It is
 * read once, because a process that has hidden itself (`privileges.ts`) cannot read it any more.
 */
export function originalEnvironment(): readonly ByteText[] | undefined {
  return environment ??= readWords("/proc/self/environ");
}

/** The descriptors above 2 that a program started by this process would inherit. Empty without /proc. */
export function inheritedDescriptors(): number[] {
  // The folder itself is closed again.
  return listFolder("/proc/self/fd").map(Number).filter((fd) => fd > 2 && isInherited(fd));
}

/** Whether a descriptor is open, and a program started by this process would inherit it. */
export function isInherited(fd: number): boolean {
  const flags = libc().fcntl(fd, F_GETFD, 0);
  return flags >= 0 && (flags & FD_CLOEXEC) === 0;
}

/** What a descriptor has open, as stat(2) has it. */
export interface OpenFile {
  /** Type and permissions. */
  readonly mode: number;
  /** The filesystem's number and the file's: equal for the same file. */
  readonly identity: string;
  /** How many names it has. */
  readonly links: number;
}

/** What a descriptor has open; `undefined` if it is not open. */
export function fileOf(fd: number): OpenFile | undefined {
  const status = new Uint8Array(STAT_BYTES), view = new DataView(status.buffer);
  if (libc().syscallInOut(NEWFSTATAT, BigInt(fd), Uint8Array.of(0), status, AT_EMPTY_PATH) < 0) return undefined;
  return {
    mode: view.getUint32(STAT_MODE, true),
    identity: `${view.getBigUint64(0, true)}:${view.getBigUint64(STAT_INODE, true)}`,
    links: view.getUint32(STAT_LINKS, true),
  };
}

/**
 * The names in a folder but for `.` and `..`; none if it cannot be read. For /proc and /dev, which Deno keeps to
 * itself.
 */
export function listFolder(path: string): ByteText[] {
  const c = libc(), folder = c.open(cString(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return [];
  const entries = new Uint8Array(CHUNK), view = new DataView(entries.buffer), names: ByteText[] = [];
  for (;;) {
    const length = c.syscall(GETDENTS64, BigInt(folder), addressOf(entries), BigInt(CHUNK));
    if (length <= 0) break;
    for (let at = 0; at < length; at += view.getUint16(at + ENTRY_LENGTH, true)) {
      const end = entries.indexOf(0, at + ENTRY_NAME);
      const name = byteText(entries.subarray(at + ENTRY_NAME, end));
      if (name !== "." && name !== "..") names.push(name);
    }
  }
  c.close(folder);
  return names;
}

/**
 * Type and permissions of a file, as stat(2) has them, without following a symbolic link; `undefined` if there is none.
 */
export function modeOf(path: ByteText): number | undefined {
  const status = new Uint8Array(STAT_BYTES);
  if (libc().syscallInOut(NEWFSTATAT, AT_FDCWD, bytesOf(`${path}\0`), status, AT_SYMLINK_NOFOLLOW) < 0) {
    return undefined;
  }
  return new DataView(status.buffer).getUint32(STAT_MODE, true);
}

/** Where a symbolic link leads; `undefined` if it is none. */
export function linkOf(path: ByteText): ByteText | undefined {
  const target = new Uint8Array(PATH_BYTES);
  const length = libc().syscallInOut(READLINKAT, AT_FDCWD, bytesOf(`${path}\0`), target, BigInt(target.length));
  return length < 0 ? undefined : byteText(target.subarray(0, length));
}

/** The children of a process, by number. Empty without /proc. */
export function childrenOf(pid: number): number[] {
  return listFolder("/proc").filter((name) => /^[1-9]/.test(name) && parentOf(name) === String(pid)).map(Number);
}

/** The limits of open files of this process. */
export function openFileLimits(): { soft: bigint; hard: bigint } {
  const limits = new BigUint64Array(2);
  if (libc().getrlimit(RLIMIT_NOFILE, limits) < 0) throw new Error(`Cannot read the limit of open files: ${errno()}`);
  return { soft: limits[0]!, hard: limits[1]! };
}

/** Calls `body` while the soft limit of open files is `soft`, at most the hard one. */
export function withOpenFileLimit<T>(soft: bigint | undefined, body: () => T): T {
  const before = openFileLimits(), c = libc();
  if (soft === undefined || soft >= before.hard || soft === before.soft) return body();
  c.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(soft, before.hard));
  try {
    return body();
  } finally {
    c.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(before.soft, before.hard));
  }
}

/** The soft limit of open files that the caller of this process had: see above. `undefined` if it cannot be told. */
export function callerOpenFileLimit(): bigint | undefined {
  let pid = parentOf("self");
  // `deno task` is no caller: it has raised the limit too.
  for (let i = 0; pid !== undefined && isDenoTask(pid) && i < MOST_ANCESTORS; i++) pid = parentOf(pid);
  const limits = pid === undefined ? undefined : readFileBytes(`/proc/${pid}/limits`);
  if (limits === undefined) return undefined;
  const [, soft] = /^Max open files\s+(\d+)/m.exec(byteText(limits)) ?? [];
  return soft === undefined ? undefined : BigInt(soft);
}

function parentOf(pid: string): string | undefined {
  const status = readFileBytes(`/proc/${pid}/status`);
  return status && /^PPid:\s+([1-9]\d*)$/m.exec(byteText(status))?.[1];
}

function isDenoTask(pid: string): boolean {
  const [program, ...args] = readWords(`/proc/${pid}/cmdline`) ?? [];
  return program !== undefined && /(^|\/)deno[^/]*$/.test(program) && args.includes("task");
}
