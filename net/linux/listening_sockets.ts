/**
 * What listens in a network namespace: asked of the kernel by netlink, or read from /proc.
 *
 * **Netlink** (NETLINK_SOCK_DIAG) tells about the namespace in which its socket was opened, whoever has it now. So a
 * program inside opens one, and it is taken out of that program by `pidfd_getfd`. The kernel filters by state itself
 * and answers within the call that asks: nothing waits, and nothing is ever half an answer.
 *
 * That program is `ss -E` of iproute2, because it opens such a socket and then waits (`cli/listening_place.ts` starts
 * it). It wants to be told of sockets that end; the socket is taken out of these groups, or news that nobody reads
 * would fill it. What is in it already has no number of a question of ours.
 *
 * **Without it** the tables in /proc/PID/net of a process that stays there are read: where there is no `ss`, or the
 * kernel has no `inet_diag`. For them the kernel walks through all connections of the machine, which takes it 10 to 60
 * ms. So they are read on another thread, and once a second.
 *
 * **Ephemeral ports.** A socket of UDP that is bound and not connected may be a server's or that of a client, which
 * asks several servers. One on a port that the kernel gives to clients counts as a client's.
 *
 * @module
 */
import { byteText } from "./byte_text.ts";
import {
  AF_INET,
  AF_INET6,
  cString,
  describeErrno,
  EINTR,
  ENOBUFS,
  ENOENT,
  errno,
  type Libc,
  libc,
  O_CLOEXEC,
  O_RDONLY,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
} from "./libc.ts";
import { type ListeningSocket, QUESTION_BYTES, readAnswer, readProcTable, writeQuestion } from "./sock_diag.ts";

/** A transport. */
export type Transport = ListeningSocket["protocol"];

/** Who knows what listens in a namespace. */
export interface ListeningSockets extends Disposable {
  /** How it is known. */
  readonly way: "netlink" | "/proc";
  /** What listens. Throws an `Error` if that cannot be told any more. */
  read(): readonly ListeningSocket[];
}

const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const SOL_NETLINK = 270;
const NETLINK_DROP_MEMBERSHIP = 2;
const GROUPS = [1, 2, 3, 4];
const SO_PROTOCOL = 38;
const SO_DOMAIN = 39;
const MSG_DONTWAIT = 0x40;
/** The kernel fills a buffer of this size at a time. */
const BUFFER = 1 << 15;
const FAMILIES = [AF_INET, AF_INET6] as const;
/** How long a look at /proc serves. */
const PROC_PERIOD_MS = 1000;
const ACTION = "Cannot tell what listens";
/** What Linux gives to clients unless told otherwise (ip(7), `ip_local_port_range`). */
const FIRST_EPHEMERAL = 32768, LAST_EPHEMERAL = 60999;

/** A socket of NETLINK_SOCK_DIAG, opened here. Throws an `Error` if the kernel gives none. */
export function openDiagSocket(): number {
  const fd = libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) throw new Error(`${ACTION}: ${describeErrno(errno())}`);
  return fd;
}

/** Whether a descriptor is a socket of NETLINK_SOCK_DIAG that has been bound to groups, as that of `ss -E` is. */
export function isBoundDiagSocket(fd: number): boolean {
  const c = libc();
  if (option(c, fd, SO_DOMAIN) !== AF_NETLINK || option(c, fd, SO_PROTOCOL) !== NETLINK_SOCK_DIAG) return false;
  const address = new Uint8Array(12);
  return c.getsockname(fd, address, new Uint32Array([address.length])) === 0 &&
    new DataView(address.buffer).getUint32(8, true) !== 0;
}

function option(c: Libc, fd: number, name: number): number {
  const value = new Uint8Array(4);
  if (c.getsockopt(fd, SOL_SOCKET, name, value, new Uint32Array([value.length])) < 0) return -1;
  return new DataView(value.buffer).getInt32(0, true);
}

/** What listens where a socket of NETLINK_SOCK_DIAG was opened. */
export class DiagListeningSockets implements ListeningSockets {
  readonly way = "netlink";
  readonly #libc: Libc = libc();
  readonly #fd: number;
  readonly #transports: readonly Transport[];
  readonly #bytes = new Uint8Array(BUFFER);
  #sequence = 0;

  /** Takes over the socket, which is closed by disposal. */
  constructor(fd: number, transports: readonly Transport[]) {
    this.#fd = fd;
    this.#transports = transports;
    for (const group of GROUPS) {
      // It may not be in them: then the kernel refuses, and all is well.
      this.#libc.setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, new Uint8Array([group, 0, 0, 0]), 4);
    }
  }

  read(): ListeningSocket[] {
    const sockets: ListeningSocket[] = [];
    for (const protocol of this.#transports) {
      for (const family of FAMILIES) this.#ask(family, protocol, sockets);
    }
    return sockets;
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#fd);
  }

  #ask(family: typeof FAMILIES[number], protocol: Transport, sockets: ListeningSocket[]): void {
    const c = this.#libc, bytes = this.#bytes, question = { family, protocol, sequence: this.#nextSequence() };
    writeQuestion(bytes, question);
    while (c.send(this.#fd, bytes.subarray(0, QUESTION_BYTES), BigInt(QUESTION_BYTES), MSG_DONTWAIT) < 0) {
      if (errno() !== EINTR) throw new Error(`${ACTION}: ${describeErrno(errno())}`);
    }
    for (;;) {
      const count = c.recv(this.#fd, bytes, BigInt(bytes.length), MSG_DONTWAIT), code = count < 0 ? errno() : 0;
      // News that did not fit is lost, which is no matter.
      if (code === EINTR || code === ENOBUFS) continue;
      if (count < 0) throw new Error(`${ACTION}: ${describeErrno(code)}`);
      const progress = readAnswer(bytes.subarray(0, count), question, (socket) => {
        if (isServer(socket)) sockets.push(socket);
      });
      if (progress === "done") return;
      if (progress === "refused") throw new Error(`${ACTION}: the kernel does not list sockets of ${protocol}`);
    }
  }

  #nextSequence(): number {
    // 0 is the number of news.
    this.#sequence = this.#sequence % 0xffffffff + 1;
    return this.#sequence;
  }
}

/** What listens in the network namespace of a process. */
export class ProcListeningSockets implements ListeningSockets {
  readonly way = "/proc";
  readonly #folder: string;
  readonly #transports: readonly Transport[];
  #told: readonly ListeningSocket[] = [];
  #failure: Error | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = -Infinity;

  /** `process`: its number, or `self`. It has to be there for as long as this is read. */
  constructor(process: number | "self", transports: readonly Transport[]) {
    this.#folder = `/proc/${process}/net`;
    this.#transports = transports;
  }

  /** What listened at the last look that is over. Begins another one if that is long ago. */
  read(): readonly ListeningSocket[] {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#looking === undefined && performance.now() - this.#lookedAt >= PROC_PERIOD_MS) void this.look();
    return this.#told;
  }

  /** Looks anew, after the look that is under way if there is one. Never rejects: what is wrong, `read` throws. */
  async look(): Promise<void> {
    while (this.#looking !== undefined) await this.#looking;
    this.#lookedAt = performance.now();
    this.#looking = this.#readTables().then((told) => {
      this.#told = told;
    }, (error) => {
      this.#failure = error;
    });
    await this.#looking;
    this.#looking = undefined;
  }

  [Symbol.dispose](): void {}

  async #readTables(): Promise<ListeningSocket[]> {
    const sockets: ListeningSocket[] = [];
    for (const protocol of this.#transports) {
      const first = await this.#readFile(protocol);
      if (first === undefined) throw new Error(`${ACTION}: there is no ${this.#folder}/${protocol} any more`);
      // A kernel without IPv6 has no table of it.
      for (const text of [first, await this.#readFile(`${protocol}6`) ?? ""]) {
        sockets.push(...readProcTable(text, protocol).filter(isServer));
      }
    }
    return sockets;
  }

  async #readFile(name: string): Promise<string | undefined> {
    const c = libc(), path = `${this.#folder}/${name}`, fd = c.open(cString(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      if (errno() === ENOENT) return undefined;
      throw new Error(`${ACTION}: ${path}: ${describeErrno(errno())}`);
    }
    const bytes = new Uint8Array(BUFFER);
    let text = "", count: number;
    while ((count = await c.readAsync(fd, bytes, BigInt(bytes.length))) > 0) text += byteText(bytes.subarray(0, count));
    c.close(fd);
    if (count < 0) throw new Error(`${ACTION}: ${path} cannot be read`);
    return text;
  }
}

function isServer({ protocol, port }: ListeningSocket): boolean {
  return protocol === "tcp" || port < FIRST_EPHEMERAL || port > LAST_EPHEMERAL;
}
