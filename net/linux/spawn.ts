/**
 * Starting a program by posix_spawn(3), and learning how it ended.
 *
 * Deno's own way cannot be used for the command of `hawser run`: it refuses variables named `LD_*` without every
 * permission, knows arguments and variables as text only, and keeps descriptors from the program. Here a program gets
 * exactly the bytes it is given, and every descriptor that this process would pass on and that is not closed for it.
 *
 * **Signals.** The program has those that the caller of this process ignored ignored, and no others: see `asCaller`.
 * PIPE, which Deno ignores, has its default effect again.
 *
 * **The end** is awaited by waitid(2) on a thread of Deno's pool, which leaves the process a zombie; it is reaped on
 * the thread of JavaScript. So `kill` never meets another process under the same number.
 *
 * @module
 */
import { bytesOf, type ByteText } from "./byte_text.ts";
import {
  addressOf,
  AF_UNIX,
  describeErrno,
  errno,
  libc,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from "./libc.ts";
import { withOpenFileLimit } from "./process.ts";
import { asCaller } from "./signal_actions.ts";

/** Bytes of posix_spawn_file_actions_t (80) and posix_spawnattr_t (336) in both C libraries, and more. */
const STRUCTURE_BYTES = 512;
const SIGNAL_SET_BYTES = 128;
const POSIX_SPAWN_SETSIGDEF = 4;
const POSIX_SPAWN_SETSID = 0x80;
const SIGPIPE = 13;
const P_PID = 1;
const WEXITED = 4;
const WNOWAIT = 0x1000000;
const SIGINFO_BYTES = 128;
const X_OK = 1;
/** A line that is longer is heard in parts. */
const MOST_LINE_CHARS = 16384;

/** A program to start. */
export interface Program {
  /** The file. */
  readonly path: ByteText;
  /** Its arguments, the name by which it is called first. */
  readonly args: readonly ByteText[];
  /** Its environment, `NAME=VALUE` each. */
  readonly env: readonly ByteText[];
  /** Descriptors of this process that become its 0, 1 and 2; those of this process unless given. */
  readonly stdio?: readonly [number, number, number];
  /** Descriptors that it does not get. */
  readonly closed?: readonly number[];
  /** Whether it leads a session of its own, without a terminal. */
  readonly ownSession?: boolean;
  /** Its soft limit of open files, if that is another than this process has. */
  readonly openFiles?: bigint | undefined;
}

/** How a process ended: by `exit`, or by a signal. */
export interface ProcessEnding {
  /** Its exit code, `null` if a signal ended it. */
  readonly code: number | null;
  /** The number of that signal. */
  readonly signal: number | null;
}

/** A program could not be started. */
export class SpawnError extends Error {
  /** The class's name, for messages. */
  override readonly name = "SpawnError";
  /** The reason's number. */
  readonly code: number;

  /** `code` is the reason's number. */
  constructor(code: number) {
    super(describeErrno(code));
    this.code = code;
  }
}

/** A program that was started. */
export class Child {
  /** Its process number, its own until `ended` has resolved. */
  readonly pid: number;
  /** Resolves to how it ended. Never rejects. */
  readonly ended: Promise<ProcessEnding>;
  #hasEnded = false;

  /** Called by `spawn`. */
  constructor(pid: number) {
    this.pid = pid;
    this.ended = this.#wait();
  }

  /** Sends it a signal, by number, unless it has ended. */
  kill(signal: number): void {
    if (!this.#hasEnded) libc().kill(this.pid, signal);
  }

  async #wait(): Promise<ProcessEnding> {
    const c = libc(), info = new Uint8Array(SIGINFO_BYTES), word = new Int32Array(1);
    // It fails only if a signal interrupts it.
    while (await c.waitidAsync(P_PID, this.pid, info, WEXITED | WNOWAIT) !== 0);
    this.#hasEnded = true;
    c.waitpid(this.pid, word, 0);
    // wait(2): the signal in the lowest seven bits, else the exit code in the second byte.
    const status = word[0]!, signal = status & 0x7f;
    return signal === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal };
  }
}

/** Starts a program. Throws a `SpawnError`. */
export function spawn(program: Program): Child {
  const c = libc();
  const actions = new Uint8Array(STRUCTURE_BYTES), attributes = new Uint8Array(STRUCTURE_BYTES);
  const argv = new PointerList(program.args), envp = new PointerList(program.env), pid = new Int32Array(1);
  c.spawnActionsInit(actions);
  c.spawnAttributesInit(attributes);
  try {
    program.stdio?.forEach((fd, number) => c.spawnActionsDup(actions, fd, number));
    for (const fd of program.closed ?? []) c.spawnActionsClose(actions, fd);
    c.spawnAttributesFlags(attributes, POSIX_SPAWN_SETSIGDEF | (program.ownSession ? POSIX_SPAWN_SETSID : 0));
    const path = bytesOf(`${program.path}\0`);
    const start = (defaults: readonly number[]) => {
      c.spawnAttributesDefaults(attributes, signalSet([SIGPIPE, ...defaults]));
      return c.posixSpawn(pid, path, actions, attributes, argv.pointers, envp.pointers);
    };
    const code = withOpenFileLimit(program.openFiles, () => asCaller(start));
    if (code !== 0) throw new SpawnError(code);
  } finally {
    c.spawnActionsDestroy(actions);
    c.spawnAttributesDestroy(attributes);
  }
  return new Child(pid[0]!);
}

/** A `sigset_t` of these signals. */
function signalSet(signals: readonly number[]): Uint8Array {
  const set = new Uint8Array(SIGNAL_SET_BYTES);
  for (const signal of signals) set[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  return set;
}

/** C strings and a list of pointers to them that ends in 0. */
class PointerList {
  readonly pointers: BigUint64Array<ArrayBuffer>;
  // It is pointed to, and so must not be collected.
  readonly #strings: Uint8Array<ArrayBuffer>;

  constructor(texts: readonly ByteText[]) {
    this.#strings = bytesOf(texts.map((text) => `${text}\0`).join("") + "\0");
    this.pointers = new BigUint64Array(texts.length + 1);
    let address = addressOf(this.#strings);
    texts.forEach((text, at) => {
      this.pointers[at] = address;
      address += BigInt(text.length + 1);
    });
  }
}

/** What became of a name that was looked for: a file to run, or why there is none. */
export type FoundProgram = { readonly path: ByteText } | { readonly missing: "absent" | "not executable" };

/** Looks for a program as a shell does: by its path if there is a slash in the name, else in the folders of `path`. */
export function findProgram(name: ByteText, path: ByteText): FoundProgram {
  const places = name.includes("/")
    ? [name]
    : path.split(":").map((folder) => `${folder === "" ? "." : folder}/${name}`);
  let missing: "absent" | "not executable" = "absent";
  for (const place of name === "" ? [] : places) {
    const found = lookAt(place);
    if (found === "executable") return { path: place };
    // Folders on the path that have this name are passed over; one that was named by its path is there.
    if (found === "not executable" || (found === "folder" && name.includes("/"))) missing = "not executable";
  }
  return { missing };
}

function lookAt(path: ByteText): "executable" | "not executable" | "folder" | "absent" {
  const c = libc(), bytes = bytesOf(`${path}\0`);
  const folder = c.open(bytes, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    c.close(folder);
    return "folder";
  }
  if (c.access(bytes, X_OK) === 0) return "executable";
  return c.access(bytes, 0) === 0 ? "not executable" : "absent";
}

/** One end of a pair of sockets that speaks in lines; the other end is for a program that is started. */
export class LineSocket {
  /** The other end; not inherited unless it is made one of the program's `stdio`, and to be closed by `started`. */
  readonly theirs: number;
  readonly #ours: number;
  readonly #hear: (line: string) => void;
  #theirsOpen = true;
  #open = true;
  #sending = true;
  /** Resolves when everybody who had the other end has closed it, and every line was heard. */
  readonly closed: Promise<void>;

  /** `hear` is called for each line. Throws an `Error` when descriptors have run out. */
  constructor(hear: (line: string) => void) {
    const pair = new Int32Array(2);
    if (libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
      throw new Error(`Cannot make a pair of sockets: ${describeErrno(errno())}`);
    }
    [this.#ours, this.theirs] = pair as unknown as [number, number];
    this.#hear = hear;
    this.closed = this.#listen();
  }

  /** To be called when the program has the other end, or never will. */
  started(): void {
    if (this.#theirsOpen) libc().close(this.theirs);
    this.#theirsOpen = false;
  }

  /** Sends a line, unless the other end is closed, or is so far behind that it does not fit in the socket. */
  say(line: string): void {
    if (!this.#open || !this.#sending) return;
    const bytes = new TextEncoder().encode(`${line}\n`);
    const count = Number(libc().send(this.#ours, bytes, BigInt(bytes.length), MSG_NOSIGNAL | MSG_DONTWAIT));
    // What follows would be read as the rest of this line.
    if (count >= 0 && count < bytes.length) this.finish();
  }

  /** Sends no more, which the other side sees as the end. */
  finish(): void {
    if (this.#open && this.#sending) libc().shutdown(this.#ours, SHUT_WR);
    this.#sending = false;
  }

  /** Hears and sends no more, whoever has the other end. */
  abandon(): void {
    this.started();
    if (this.#open) libc().shutdown(this.#ours, SHUT_RDWR);
    this.#sending = false;
  }

  async #listen(): Promise<void> {
    const c = libc(), buffer = new Uint8Array(4096), decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const count = await c.recvAsync(this.#ours, buffer, BigInt(buffer.length), 0);
      if (count <= 0) break;
      const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#hear(line);
      if (rest.length < MOST_LINE_CHARS) continue;
      this.#hear(rest);
      rest = "";
    }
    if (rest !== "") this.#hear(rest);
    this.#open = false;
    c.close(this.#ours);
  }
}
