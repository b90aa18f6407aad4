/**
 * The C library, by `Deno.dlopen`: the system calls that Deno has no API for.
 *
 * It is opened on first use and stays open, so that importing this works on every platform and without `--allow-ffi`,
 * and only using it fails where something is missing. Both C libraries of Linux are served, glibc and musl, on x86-64
 * and arm64, the two machines Deno runs on; the numbers below are the same on both. `library.ts` says how calls are
 * opened, and what they cost.
 *
 * **errno.** It lives at an address that belongs to the thread. It is read through a typed array over that address,
 * directly after the call that failed and before anything else is called. A call that runs on another thread
 * (`nonblocking: true`) leaves its errno there, out of reach: such a call must need none.
 *
 * @module
 */
import { FAST, openLibrary } from "./library.ts";

/** The system calls in use. Each answers -1 on failure and leaves the reason for `errno`. */
export interface Libc {
  /** open(2). */
  open(path: Uint8Array, flags: number): number;
  /** close(2). */
  close(fd: number): number;
  /** read(2). */
  read(fd: number, bytes: Uint8Array, length: bigint): number;
  /** write(2). */
  write(fd: number, bytes: Uint8Array, length: bigint): number;
  /** ioctl(2) whose argument is a buffer. */
  ioctl(fd: number, request: bigint, argument: Uint8Array): number;
  /** ioctl(2) whose argument is a number. */
  ioctlValue(fd: number, request: bigint, argument: bigint): number;
  /** fcntl(2) whose argument is a number. */
  fcntl(fd: number, command: number, argument: number): number;
  /** readlink(2). */
  readlink(path: Uint8Array, bytes: Uint8Array, length: bigint): number;
  /** socket(2). */
  socket(family: number, type: number, protocol: number): number;
  /** unlink(2). */
  unlink(path: Uint8Array): number;
  /** connect(2). */
  connect(fd: number, address: Uint8Array, length: number): number;
  /** bind(2). */
  bind(fd: number, address: Uint8Array, length: number): number;
  /** listen(2). */
  listen(fd: number, backlog: number): number;
  /** accept4(2); `addressLength` holds one 32-bit length in and out. */
  accept4(fd: number, address: Uint8Array, addressLength: Uint32Array, flags: number): number;
  /** getsockname(2); `addressLength` holds one 32-bit length in and out. */
  getsockname(fd: number, address: Uint8Array, addressLength: Uint32Array): number;
  /** recv(2). */
  recv(fd: number, bytes: Uint8Array, length: bigint, flags: number): number;
  /** send(2). */
  send(fd: number, bytes: Uint8Array, length: bigint, flags: number): number;
  /** recvfrom(2); `addressLength` holds one 32-bit length in and out. */
  recvfrom(
    fd: number,
    bytes: Uint8Array,
    length: bigint,
    flags: number,
    address: Uint8Array,
    addressLength: Uint32Array,
  ): number;
  /** sendto(2). */
  sendto(
    fd: number,
    bytes: Uint8Array,
    length: bigint,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number;
  /** recvmsg(2) on a `struct msghdr`. */
  recvmsg(fd: number, message: Uint8Array, flags: number): number;
  /** sendmsg(2) of a `struct msghdr`. */
  sendmsg(fd: number, message: Uint8Array, flags: number): number;
  /** shutdown(2). */
  shutdown(fd: number, how: number): number;
  /** setsockopt(2). */
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  /** getsockopt(2); `length` holds one 32-bit length in and out. */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array): number;
  /** if_nametoindex(3): 0 if no interface has the name. */
  interfaceIndex(name: Uint8Array): number;
  /** getrlimit(2); `limits` holds the soft and the hard one. */
  getrlimit(resource: number, limits: BigUint64Array): number;
  /** poll(2), for one descriptor and without waiting. */
  poll(descriptors: Uint8Array, count: bigint, timeoutMs: number): number;
  /** poll(2), on a thread of Deno's pool. */
  pollAsync(descriptors: Uint8Array, count: bigint, timeoutMs: number): Promise<number>;
  /** epoll_create1(2). */
  epollCreate(flags: number): number;
  /** epoll_ctl(2). */
  epollControl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  /** epoll_wait(2), on this thread. */
  epollWait(epoll: number, events: Uint8Array, most: number, timeoutMs: number): number;
  /** epoll_wait(2), on a thread of Deno's pool. */
  epollWaitAsync(epoll: number, events: Uint8Array, most: number, timeoutMs: number): Promise<number>;
  /** sched_yield(2). */
  yieldProcessor(): number;
  /** eventfd(2). */
  eventfd(initial: number, flags: number): number;
  /** kill(2). */
  kill(pid: number, signal: number): number;
  /** access(2). */
  access(path: Uint8Array, mode: number): number;
  /** inotify_init1(2). */
  inotifyInit(flags: number): number;
  /** inotify_add_watch(2). */
  inotifyAddWatch(inotify: number, path: Uint8Array, events: number): number;
  /** socketpair(2); `pair` holds two 32-bit descriptors. */
  socketpair(family: number, type: number, protocol: number, pair: Int32Array): number;
  /** read(2), on a thread of Deno's pool. */
  readAsync(fd: number, bytes: Uint8Array, length: bigint): Promise<number>;
  /** recv(2), on a thread of Deno's pool. */
  recvAsync(fd: number, bytes: Uint8Array, length: bigint, flags: number): Promise<number>;
  /** setrlimit(2). */
  setrlimit(resource: number, limits: BigUint64Array): number;
  /** posix_spawn(3), whose result is 0 or the reason itself. `argv` and `envp` hold pointers and end in 0. */
  posixSpawn(
    pid: Int32Array,
    path: Uint8Array,
    actions: Uint8Array,
    attributes: Uint8Array,
    argv: BigUint64Array,
    envp: BigUint64Array,
  ): number;
  /** posix_spawn_file_actions_init(3). */
  spawnActionsInit(actions: Uint8Array): number;
  /** posix_spawn_file_actions_adddup2(3). */
  spawnActionsDup(actions: Uint8Array, fd: number, newFd: number): number;
  /** posix_spawn_file_actions_addclose(3). */
  spawnActionsClose(actions: Uint8Array, fd: number): number;
  /** posix_spawn_file_actions_destroy(3). */
  spawnActionsDestroy(actions: Uint8Array): number;
  /** posix_spawnattr_init(3). */
  spawnAttributesInit(attributes: Uint8Array): number;
  /** posix_spawnattr_setflags(3). */
  spawnAttributesFlags(attributes: Uint8Array, flags: number): number;
  /** posix_spawnattr_setsigdefault(3); `set` is a `sigset_t`. */
  spawnAttributesDefaults(attributes: Uint8Array, set: Uint8Array): number;
  /** posix_spawnattr_destroy(3). */
  spawnAttributesDestroy(attributes: Uint8Array): number;
  /** waitid(2), on a thread of Deno's pool. */
  waitidAsync(kind: number, id: number, info: Uint8Array, options: number): Promise<number>;
  /** waitpid(2); `status` holds 32 bits. */
  waitpid(pid: number, status: Int32Array, options: number): number;
  /** prctl(2). */
  prctl(option: number, a: bigint, b: bigint, c: bigint, d: bigint): number;
  /** syscall(2) with up to three arguments, for what the C library has no function for. */
  syscall(call: bigint, a: bigint, b: bigint, c: bigint): number;
  /** syscall(2) whose second argument is read and whose third is written; either may be left out. */
  syscallInOut(
    call: bigint,
    a: bigint,
    input: Uint8Array | null,
    output: Uint8Array | null,
    d: bigint,
  ): number;
}

/**
 * Words of 32 bits of a `struct epoll_event`, which is packed on x86-64 alone; elsewhere its 64-bit data field is
 * aligned. The first word is the events.
 */
export const EPOLL_EVENT_WORDS: number = Deno.build.arch === "x86_64" ? 3 : 4;
/** Where the data field of a `struct epoll_event` begins, in words. */
export const EPOLL_DATA_WORD: number = EPOLL_EVENT_WORDS - 2;
/** epoll(7): reading would not wait. */
export const EPOLLIN = 1;
/** epoll_ctl(2): watch a descriptor. */
export const EPOLL_CTL_ADD = 1;
/** open(2): read only. */
export const O_RDONLY = 0;
/** open(2): read and write. */
export const O_RDWR = 2;
/** open(2): never wait. */
export const O_NONBLOCK = 0x800;
/** open(2): only what is a directory. */
export const O_DIRECTORY: number = Deno.build.arch === "x86_64" ? 0x10000 : 0x4000;
/** open(2): a name for the file, which need not be readable. */
export const O_PATH = 0x200000;
/** open(2): not inherited by programs that are started. */
export const O_CLOEXEC = 0x80000;
/**
 * open(2): do not follow a symbolic link at the end of the path; one of the few numbers in which the machines differ.
 */
export const O_NOFOLLOW: number = Deno.build.arch === "aarch64" ? 0x8000 : 0x20000;
/** socket(2): paths of this machine. */
export const AF_UNIX = 1;
/** socket(2): IPv4. */
export const AF_INET = 2;
/** socket(2): IPv6. */
export const AF_INET6 = 10;
/** socket(2): a stream, that is TCP. */
export const SOCK_STREAM = 1;
/** socket(2): packets on a connection. */
export const SOCK_SEQPACKET = 5;
/** socket(2): datagrams, that is UDP. */
export const SOCK_DGRAM = 2;
/** socket(2): packets of a protocol, as they are. */
export const SOCK_RAW = 3;
/** socket(2): never wait, and not inherited by programs that are started. */
export const SOCK_NONBLOCK_CLOEXEC = 0x80800;
/** socketpair(2): not inherited by programs that are started. */
export const SOCK_CLOEXEC = 0x80000;
/** send(2): answer EPIPE instead of raising SIGPIPE. */
export const MSG_NOSIGNAL = 0x4000;
/** send(2): answer EAGAIN instead of waiting for room. */
export const MSG_DONTWAIT = 0x40;
/** recv(2): look, and leave the bytes where they are. */
export const MSG_PEEK = 2;
/** recv(2): of a TCP socket, take the bytes without copying them. */
export const MSG_TRUNC = 0x20;
/** Options of UDP sockets. */
export const IPPROTO_UDP = 17;
/** udp(7): what is sent is several datagrams of this length, the last of which may be shorter. */
export const UDP_SEGMENT = 103;
/** recvmsg(2): take from the queue of errors. */
export const MSG_ERRQUEUE = 0x2000;
/** shutdown(2): end the sending direction. */
export const SHUT_WR = 1;
/** getrlimit(2): one more than the highest descriptor. */
export const RLIMIT_NOFILE = 7;
/** shutdown(2): end both directions. */
export const SHUT_RDWR = 2;
/** setsockopt(2): options of every socket. */
export const SOL_SOCKET = 1;
/** A listener may take over a port on which only connections are left. */
export const SO_REUSEADDR = 2;
/** Bytes that may wait to be sent. */
export const SO_SNDBUF = 7;
/** Bytes that may wait to be received. */
export const SO_RCVBUF = 8;
/** The pending error of a socket; reading clears it. */
export const SO_ERROR = 4;
/** Ask a silent peer now and then whether it is there. */
export const SO_KEEPALIVE = 9;
/** Urgent data stays in the stream (RFC 6093 section 5). */
export const SO_OOBINLINE = 10;
/** What close(2) does with unsent data. */
export const SO_LINGER = 13;
/** setsockopt(2): options of IPv4. */
export const IPPROTO_IP = 0;
/** The kernel chooses the port of a bound socket when it connects, and not before. */
export const IP_BIND_ADDRESS_NO_PORT = 24;
/** socket(2): ICMP. */
export const IPPROTO_ICMP = 1;
/** setsockopt(2): options of TCP. */
export const IPPROTO_TCP = 6;
/** setsockopt(2): options of IPv6. */
export const IPPROTO_IPV6 = 41;
/** socket(2): ICMPv6; setsockopt(2): options of its raw sockets. */
export const IPPROTO_ICMPV6 = 58;
/** setsockopt(2): options of raw sockets. */
export const SOL_RAW = 255;
/** Types of ICMP that a raw socket does not get, a bit each. */
export const ICMP_FILTER = 1;
/** Types of ICMPv6 that a raw socket does not get, a bit each. */
export const ICMP6_FILTER = 1;
/** Send small segments at once. */
export const TCP_NODELAY = 1;
/** After how many seconds of silence a peer is asked whether it is there. */
export const TCP_KEEPIDLE = 4;
/** How many seconds later it is asked again. */
export const TCP_KEEPINTVL = 5;
/** How often it is asked. */
export const TCP_KEEPCNT = 6;
/** Queue ICMP errors with the datagram's destination. */
export const IP_RECVERR = 11;
/** The same on IPv6. */
export const IPV6_RECVERR = 25;
/** An IPv6 socket never carries IPv4. */
export const IPV6_V6ONLY = 26;

/** Operation not permitted. */
export const EPERM = 1;
/** No such file or directory. */
export const ENOENT = 2;
/** No such process. */
export const ESRCH = 3;
/** A signal came first. */
export const EINTR = 4;
/** Input or output error; a TAP interface that is down. */
export const EIO = 5;
/** No such device. */
export const ENXIO = 6;
/** The arguments and the environment of a program are too large. */
export const E2BIG = 7;
/** The file is no program. */
export const ENOEXEC = 8;
/** Not an open descriptor. */
export const EBADF = 9;
/** Nothing now. */
export const EAGAIN = 11;
/** Out of memory. */
export const ENOMEM = 12;
/** No permission. */
export const EACCES = 13;
/** In use. */
export const EBUSY = 16;
/** No such device. */
export const ENODEV = 19;
/** Invalid argument. */
export const EINVAL = 22;
/** The system has no descriptors left. */
export const ENFILE = 23;
/** The process has no descriptors left. */
export const EMFILE = 24;
/** The descriptor's file does not know the request. */
export const ENOTTY = 25;
/** The directory is none. */
export const ENOTDIR = 20;
/** The other end does not read any more. */
export const EPIPE = 32;
/** The kernel does not know the system call. */
export const ENOSYS = 38;
/** A symbolic link where none is followed. */
export const ELOOP = 40;
/** The device behind the descriptor is gone. */
export const EBADFD = 77;
/** Too large for the socket or the path. */
export const EMSGSIZE = 90;
/** The socket is of another type. */
export const EPROTOTYPE = 91;
/** The kernel does not know the protocol. */
export const EPROTONOSUPPORT = 93;
/** The kernel does not know the address family. */
export const EAFNOSUPPORT = 97;
/** The address and port are in use. */
export const EADDRINUSE = 98;
/** No local address or port to use. */
export const EADDRNOTAVAIL = 99;
/** No route to the network. */
export const ENETUNREACH = 101;
/** Aborted. */
export const ECONNABORTED = 103;
/** Reset by the peer. */
export const ECONNRESET = 104;
/** The socket is not connected, or not any more. */
export const ENOTCONN = 107;
/** No buffers. */
export const ENOBUFS = 105;
/** The peer did not answer. */
export const ETIMEDOUT = 110;
/** Refused. */
export const ECONNREFUSED = 111;
/** The host is down. */
export const EHOSTDOWN = 112;
/** No route to the host. */
export const EHOSTUNREACH = 113;
/** Under way. */
export const EINPROGRESS = 115;

const ERRORS: Record<number, readonly [name: string, text: string]> = {
  [EPERM]: ["EPERM", "operation not permitted"],
  [ENOENT]: ["ENOENT", "no such file or directory"],
  [ESRCH]: ["ESRCH", "no such process"],
  [EINTR]: ["EINTR", "interrupted by a signal"],
  [EIO]: ["EIO", "input/output error"],
  [ENOTCONN]: ["ENOTCONN", "not connected"],
  [ENXIO]: ["ENXIO", "no such device or address"],
  [ELOOP]: ["ELOOP", "too many symbolic links"],
  [E2BIG]: ["E2BIG", "argument list too long"],
  [ENOEXEC]: ["ENOEXEC", "not a program of this machine"],
  [EBADF]: ["EBADF", "not an open descriptor"],
  [EAGAIN]: ["EAGAIN", "nothing available now"],
  [ENOMEM]: ["ENOMEM", "out of memory"],
  [EACCES]: ["EACCES", "permission denied"],
  [EBUSY]: ["EBUSY", "device or resource busy"],
  [ENODEV]: ["ENODEV", "no such device"],
  [EINVAL]: ["EINVAL", "invalid argument"],
  [ENFILE]: ["ENFILE", "the system has no file descriptors left"],
  [EMFILE]: ["EMFILE", "the process has no file descriptors left"],
  [ENOTTY]: ["ENOTTY", "wrong kind of file"],
  [ENOTDIR]: ["ENOTDIR", "not a directory"],
  [EPIPE]: ["EPIPE", "broken pipe"],
  [ENOSYS]: ["ENOSYS", "the kernel does not have this system call"],
  [EBADFD]: ["EBADFD", "the device is gone"],
  [EMSGSIZE]: ["EMSGSIZE", "message too large"],
  [EPROTOTYPE]: ["EPROTOTYPE", "socket of another type"],
  [EPROTONOSUPPORT]: ["EPROTONOSUPPORT", "protocol not supported"],
  [EAFNOSUPPORT]: ["EAFNOSUPPORT", "address family not supported"],
  [EADDRINUSE]: ["EADDRINUSE", "address in use"],
  [EADDRNOTAVAIL]: ["EADDRNOTAVAIL", "no address or port available"],
  [ENETUNREACH]: ["ENETUNREACH", "network unreachable"],
  [ECONNABORTED]: ["ECONNABORTED", "connection aborted"],
  [ECONNRESET]: ["ECONNRESET", "connection reset"],
  [ENOBUFS]: ["ENOBUFS", "no buffer space"],
  [ETIMEDOUT]: ["ETIMEDOUT", "timed out"],
  [ECONNREFUSED]: ["ECONNREFUSED", "connection refused"],
  [EHOSTDOWN]: ["EHOSTDOWN", "host is down"],
  [EHOSTUNREACH]: ["EHOSTUNREACH", "no route to host"],
  [EINPROGRESS]: ["EINPROGRESS", "under way"],
};

let opened: Libc | undefined;
let errnoWord: Int32Array = new Int32Array(1);

/**
 * The C library, opened on the first call. Throws `Deno.errors.NotSupported` where it cannot be there or is not found,
 * and `Deno.errors.NotCapable` without `--allow-ffi`.
 */
export function libc(): Libc {
  if (opened === undefined) [opened, errnoWord] = openLibrary() as [Libc, Int32Array];
  return opened;
}

/**
 * Opens now what flows need, of which each part takes a moment when it is first used. For when nobody waits. Throws
 * what `libc` throws.
 */
export function prepareSockets(): void {
  const c = libc();
  for (const name of FAST) void c[name];
}

/** Why the last call failed; meaningful directly after a synchronous call that answered -1. */
export function errno(): number {
  return errnoWord[0]!;
}

/** The name of an error number: `ECONNREFUSED`. */
export function errnoName(code: number): string {
  return ERRORS[code]?.[0] ?? `error ${code}`;
}

/** An error number in words: `connection refused (ECONNREFUSED)`. */
export function describeErrno(code: number): string {
  const known = ERRORS[code];
  return known ? `${known[1]} (${known[0]})` : `error ${code}`;
}

/** Text as a C string. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

/**
 * Where the bytes of an array are, for structures that hold pointers. The array must stay referenced while one does.
 */
export function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}
