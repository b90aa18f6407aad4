/**
 * Looking from outside at what listens in a namespace: a program is started inside, and what is needed is taken from
 * it.
 *
 * First that is `ss -E`, for its socket (`net/linux/listening_sockets.ts`). It has served as soon as that was taken,
 * and is ended at once. It says nothing when it has opened the socket, so its descriptors are looked at every other
 * millisecond. Where this does not succeed, `cat` stays in the namespace, so that /proc has a process there to tell of.
 * It waits for a line that never comes, and ends when Hawser closes its socket or dies.
 *
 * Both are started before the command in the namespace, where Hawser starts that; and nothing that they say matters.
 *
 * @module
 */
import type { ByteText } from "../net/linux/byte_text.ts";
import { libc } from "../net/linux/libc.ts";
import {
  DiagListeningSockets,
  isBoundDiagSocket,
  type ListeningSockets,
  openDiagSocket,
  ProcListeningSockets,
  type Transport,
} from "../net/linux/listening_sockets.ts";
import { pidfdGetFd } from "../net/linux/pidfd.ts";
import { inheritedDescriptors } from "../net/linux/process.ts";
import { type Child, LineSocket, spawn, SpawnError } from "../net/linux/spawn.ts";
import { findTool } from "./tools.ts";

const SIGKILL = 9;
/** `ss` has nothing else open, so its socket is one of these. */
const LIKELY_DESCRIPTORS = [3, 4, 5, 6];
const LOOK_MS = 2;
/** How long `ss` may take to open its socket, on a machine that is busy. */
const MOST_LOOKS = 2500;

/** How to get into a namespace. */
export interface WayIn {
  /** The command line of a program that enters it and becomes the program whose words follow. */
  readonly words: readonly ByteText[];
  /** The environment in which tools run. */
  readonly env: readonly ByteText[];
  /** Descriptors for that program, which it is to inherit. */
  readonly passedOn?: readonly number[];
}

/**
 * Opens what tells about the listening sockets of the namespace, of the transports of these ports. Throws an `Error`
 * that says why nothing can be told.
 */
export async function openListeningPlace(
  way: WayIn,
  ports: readonly { readonly protocol: Transport }[],
): Promise<ListeningSockets> {
  const transports = [...new Set(ports.map(({ protocol }) => protocol))];
  const fd = await takeDiagSocket(way);
  if (fd !== undefined) {
    try {
      return tried(new DiagListeningSockets(fd, transports));
    } catch {
      // This kernel tells nothing that way.
    }
  }
  return await openProcPlace(way, transports);
}

/** The same of Hawser's own namespace, the host's. */
export async function openOwnPlace(ports: readonly { readonly protocol: Transport }[]): Promise<ListeningSockets> {
  const transports = [...new Set(ports.map(({ protocol }) => protocol))];
  try {
    return tried(new DiagListeningSockets(openDiagSocket(), transports));
  } catch {
    // This kernel tells nothing that way.
    const sockets = new ProcListeningSockets("self", transports);
    await sockets.look();
    return tried(sockets);
  }
}

/** The same sockets once they could be read. Throws what they throw, and they are closed. */
function tried<T extends ListeningSockets>(sockets: T): T {
  try {
    sockets.read();
    return sockets;
  } catch (error) {
    sockets[Symbol.dispose]();
    throw error;
  }
}

async function takeDiagSocket(way: WayIn): Promise<number | undefined> {
  const ss = findTool("ss", way.env);
  if (ss === undefined) return undefined;
  using visitor = new Visitor(way, [ss, "-E"]);
  for (let looks = 0; looks < MOST_LOOKS && !visitor.hasEnded; looks++) {
    for (const number of LIKELY_DESCRIPTORS) {
      const fd = takeDescriptor(visitor.pid, number);
      if (fd === undefined) continue;
      if (isBoundDiagSocket(fd)) return fd;
      libc().close(fd);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return undefined;
}

/** While a program enters a namespace, the kernel may refuse this for a moment. */
function takeDescriptor(pid: number, fd: number): number | undefined {
  try {
    return pidfdGetFd(pid, fd);
  } catch {
    return undefined;
  }
}

async function openProcPlace(way: WayIn, transports: readonly Transport[]): Promise<ListeningSockets> {
  const cat = findTool("cat", way.env), echo = findTool("sh", way.env);
  if (cat === undefined || echo === undefined) {
    throw new Error('cannot tell what listens in the namespace: install "ss" (Debian package iproute2)');
  }
  const visitor = new Visitor(way, [echo, "-c", 'echo in && exec "$1"', "sh", cat]);
  if (!await visitor.says("in")) {
    visitor[Symbol.dispose]();
    throw new Error(`cannot tell what listens in the namespace: ${visitor.complaint}`);
  }
  const sockets = new ProcListeningSockets(visitor.pid, transports);
  return {
    way: sockets.way,
    read: () => {
      // Another process may have its number by now.
      if (visitor.hasEnded) throw new Error("Cannot tell what listens: who looked there was ended");
      return sockets.read();
    },
    [Symbol.dispose]: () => visitor[Symbol.dispose](),
  };
}

/** A program in the namespace, for a while. */
class Visitor implements Disposable {
  readonly #child: Child;
  readonly #socket: LineSocket;
  readonly #lines: string[] = [];
  #hasEnded = false;
  #heard: () => void = () => {};

  constructor({ words, env, passedOn = [] }: WayIn, program: readonly ByteText[]) {
    this.#socket = new LineSocket((line) => {
      this.#lines.push(line);
      this.#heard();
    });
    const { theirs } = this.#socket;
    try {
      this.#child = spawn({
        path: words[0]!,
        args: [...words, ...program],
        env,
        stdio: [theirs, theirs, theirs],
        closed: inheritedDescriptors().filter((fd) => !passedOn.includes(fd)),
        ownSession: true,
      });
    } catch (error) {
      this.#socket.abandon();
      if (!(error instanceof SpawnError)) throw error;
      throw new Error(`cannot tell what listens in the namespace: ${error.message}`);
    }
    this.#socket.started();
    void this.#child.ended.then(() => {
      this.#hasEnded = true;
      this.#heard();
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get complaint(): string {
    return this.#lines.join("; ").replaceAll(/\s+/g, " ").trim() || "nobody can enter it";
  }

  /** Whether it says this before it ends. */
  async says(line: string): Promise<boolean> {
    while (!this.#lines.includes(line) && !this.#hasEnded) {
      await new Promise<void>((resolve) => this.#heard = resolve);
    }
    return this.#lines.includes(line);
  }

  [Symbol.dispose](): void {
    this.#child.kill(SIGKILL);
    this.#socket.abandon();
  }
}
