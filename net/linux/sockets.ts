/**
 * Sockets of Linux that wait for others: TCP and unix listeners, and unix sockets of datagrams.
 *
 * All of them never wait and are not inherited by programs that are started. Failures are errors with what can be done;
 * a path that exists already is `Deno.errors.AddrInUse`, whatever lies there.
 *
 * @module
 */
import type { IpAddress } from "../wire/address.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  cString,
  describeErrno,
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  ECONNREFUSED,
  EMFILE,
  ENFILE,
  ENOENT,
  ENOTDIR,
  EPERM,
  errno,
  libc,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_NONBLOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./libc.ts";
import { readSockaddr, SOCKADDR_SIZE, SOCKADDR_UN_SIZE, unixSockaddr, writeSockaddr } from "./sockaddr.ts";

/**
 * Connections that the kernel may keep waiting; it cuts this to net.core.somaxconn. With few, a crowd would have others
 * wait for a second.
 */
const BACKLOG = 4096;
const ENABLE = new Uint8Array([1, 0, 0, 0]);

/**
 * Listens for TCP connections and tells the port, which the kernel chooses for 0. Throws `Deno.errors.AddrInUse` and
 * others.
 */
export function listenTcp(address: IpAddress, port: number): { fd: number; port: number } {
  const c = libc(), bytes = new Uint8Array(SOCKADDR_SIZE);
  const action = `Cannot listen on port ${port} of ${address}`;
  const fd = openSocket(action, address.isIpv4 ? AF_INET : AF_INET6, SOCK_STREAM);
  c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ENABLE, ENABLE.length);
  if (c.bind(fd, bytes, writeSockaddr(bytes, address, port)) < 0 || c.listen(fd, BACKLOG) < 0) {
    throw closing(fd, bindFailure(action, errno()));
  }
  const length = new Uint32Array([bytes.length]);
  c.getsockname(fd, bytes, length);
  return { fd, port: readSockaddr(bytes)!.port };
}

/** Listens at a path for streams. */
export function listenUnix(path: string): number {
  const action = `Cannot listen on ${path}`, fd = bindUnix(action, path, SOCK_STREAM);
  if (libc().listen(fd, BACKLOG) < 0) throw closing(fd, bindFailure(action, errno()));
  return fd;
}

/** Listens at a path for connections whose data are packets. */
export function listenUnixPackets(path: string): number {
  const action = `Cannot listen on ${path}`, fd = bindUnix(action, path, SOCK_SEQPACKET);
  if (libc().listen(fd, BACKLOG) < 0) throw closing(fd, bindFailure(action, errno()));
  return fd;
}

/** Opens a socket of datagrams at a path. */
export function openUnixDatagram(path: string): number {
  return bindUnix(`Cannot receive on ${path}`, path, SOCK_DGRAM);
}

/**
 * Whether some program has the socket at this path open; false for a socket that was left behind. Throws an `Error`
 * when that cannot be told.
 */
export function unixPathIsServed(path: string): boolean {
  const c = libc(), address = unixSockaddr(path), action = `Cannot tell whether ${path} is in use`;
  const fd = openSocket(action, AF_UNIX, SOCK_STREAM);
  const code = c.connect(fd, address, address.length) < 0 ? errno() : 0;
  c.close(fd);
  if (code === ECONNREFUSED || code === ENOENT) return false;
  if (code === EACCES) throw new Deno.errors.PermissionDenied(`${action}: ${describeErrno(code)}`);
  // Anything else comes from a socket that is open: it is of another type, or too many wait for it.
  return true;
}

/** Removes the file at a path. */
export function removeSocket(path: string): void {
  if (libc().unlink(cString(path)) === 0) return;
  const code = errno();
  if (code !== ENOENT) throw bindFailure(`Cannot remove ${path}`, code);
}

const peer = new Uint8Array(SOCKADDR_UN_SIZE);
const peerLength = new Uint32Array(1);

/**
 * The next connection of a listening socket, and who connected as text, empty for a unix socket; `undefined` when none
 * waits, or the one that did has given up. Throws an `Error` when descriptors have run out.
 */
export function acceptConnection(listener: number): { fd: number; from: string } | undefined {
  peerLength[0] = peer.length;
  const fd = libc().accept4(listener, peer, peerLength, SOCK_NONBLOCK_CLOEXEC);
  if (fd >= 0) return { fd, from: peerText() };
  const code = errno();
  if (code !== EMFILE && code !== ENFILE) return undefined;
  throw new Error(`Cannot accept a connection: ${describeErrno(code)}, raise the limit of open files (ulimit -n)`);
}

function peerText(): string {
  const from = readSockaddr(peer);
  if (from === undefined) return "";
  return from.address.isIpv4 ? `${from.address}:${from.port}` : `[${from.address}]:${from.port}`;
}

function bindUnix(action: string, path: string, type: number): number {
  const address = unixSockaddr(path), fd = openSocket(action, AF_UNIX, type);
  if (libc().bind(fd, address, address.length) < 0) throw closing(fd, bindFailure(action, errno()));
  return fd;
}

function openSocket(action: string, family: number, type: number): number {
  const fd = libc().socket(family, type | SOCK_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw bindFailure(action, errno());
  return fd;
}

function closing(fd: number, error: Error): Error {
  libc().close(fd);
  return error;
}

function bindFailure(action: string, code: number): Error {
  switch (code) {
    case EADDRINUSE:
      return new Deno.errors.AddrInUse(`${action}: it is in use, take another one or end the program that has it`);
    case EADDRNOTAVAIL:
      return new Deno.errors.AddrNotAvailable(`${action}: this machine has no such address`);
    case EACCES:
    case EPERM:
      return new Deno.errors.PermissionDenied(`${action}: permission denied`);
    case ENOENT:
    case ENOTDIR:
      return new Deno.errors.NotFound(`${action}: there is no such folder`);
    case EMFILE:
    case ENFILE:
      return new Error(`${action}: ${describeErrno(code)}, raise the limit of open files (ulimit -n)`);
    default:
      return new Error(`${action}: ${describeErrno(code)}`);
  }
}
