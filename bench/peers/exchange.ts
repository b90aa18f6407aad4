/**
 * One client of round trips: system calls that wait, on the thread that calls it.
 *
 * @module
 */
import {
  AF_INET,
  AF_INET6,
  describeErrno,
  errno,
  IPPROTO_TCP,
  libc,
  MSG_NOSIGNAL,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../../net/linux/libc.ts";
import { SOCKADDR_SIZE, writeSockaddr } from "../../net/linux/sockaddr.ts";
import { IpAddress } from "../../net/wire/address.ts";

/** What one client does. */
export interface Share {
  /** `rr`: over one connection; else one for each exchange. */
  kind: string;
  /** Address of the server, of either family. */
  target: string;
  /** Its ports, which are taken by turns. */
  ports: readonly number[];
  /** Exchanges that are not counted, before those that are. */
  warmUp: number;
  /** Exchanges. */
  count: number;
}

const SO_RCVTIMEO = 20;
// It is connect's limit too.
const SO_SNDTIMEO = 21;
// struct timeval: five seconds.
const PATIENCE = new Uint8Array(new BigInt64Array([5n, 0n]).buffer);
const ENABLE = new Uint8Array([1, 0, 0, 0]);

const c = libc(), byte = new Uint8Array(1);

/** A connection. Throws an `Error` where the server is not reached. */
export function connect({ target, ports }: Share, turn: number): number {
  const server = IpAddress.parse(target), address = new Uint8Array(SOCKADDR_SIZE);
  const fd = c.socket(server.isIpv4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
  const length = writeSockaddr(address, server, ports[turn % ports.length]!);
  for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) c.setsockopt(fd, SOL_SOCKET, option, PATIENCE, PATIENCE.length);
  if (fd < 0 || c.connect(fd, address, length) < 0) throw new Error(`Cannot connect: ${describeErrno(errno())}`);
  c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ENABLE, ENABLE.length);
  return fd;
}

/** Sends a byte and awaits its echo. Throws an `Error` where none comes. */
export function exchange(fd: number): void {
  if (c.send(fd, byte, 1n, MSG_NOSIGNAL) !== 1 || c.recv(fd, byte, 1n, 0) !== 1) throw new Error("No echo came");
}

/** Microseconds of each exchange, on this thread, which waits for nothing else. */
export function measure(share: Share): number[] {
  const { kind, warmUp, count } = share, samples: number[] = [];
  const open = kind === "rr" ? connect(share, 0) : -1;
  for (let i = -warmUp; i < count; i++) {
    const began = performance.now();
    const fd = open < 0 ? connect(share, warmUp + i) : open;
    exchange(fd);
    if (open < 0) c.close(fd);
    if (i >= 0) samples.push((performance.now() - began) * 1000);
  }
  if (open >= 0) c.close(open);
  return samples;
}
