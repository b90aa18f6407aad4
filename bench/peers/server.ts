/**
 * The host's side of round trips: an echo server on 127.0.0.1 and on ::1, on ports that it chooses and
 * prints, those of ::1 on a line of their own. One thread that
 * waits in `epoll_wait` and does nothing else, so that it costs little beside the stacks.
 *
 * Thousands of connections to one port would leave as many ports of a kernel in TIME-WAIT, and it would search for a
 * free one for longer than a stack takes for all the rest: first the host's, for whichever stack comes later. So there
 * are several.
 *
 * @module
 */
import {
  EPOLL_CTL_ADD,
  EPOLL_DATA_WORD,
  EPOLL_EVENT_WORDS,
  EPOLLIN,
  IPPROTO_TCP,
  libc,
  MSG_NOSIGNAL,
  TCP_NODELAY,
} from "../../net/linux/libc.ts";
import { acceptConnection, listenTcp } from "../../net/linux/sockets.ts";
import { IpAddress } from "../../net/wire/address.ts";

const PORTS = 16;
const EVENTS = 64;
const ENABLE = new Uint8Array([1, 0, 0, 0]);

const c = libc(), epoll = c.epollCreate(0);
const record = new Uint32Array(EPOLL_EVENT_WORDS), events = new Uint32Array(EPOLL_EVENT_WORDS * EVENTS);
const recordBytes = new Uint8Array(record.buffer), eventBytes = new Uint8Array(events.buffer);
const buffer = new Uint8Array(4096);

function watch(fd: number): void {
  record[0] = EPOLLIN;
  record[EPOLL_DATA_WORD] = fd;
  c.epollControl(epoll, EPOLL_CTL_ADD, fd, recordBytes);
}

function acceptAll(listener: number): void {
  for (
    let connection = acceptConnection(listener);
    connection !== undefined;
    connection = acceptConnection(listener)
  ) {
    c.setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, ENABLE, ENABLE.length);
    watch(connection.fd);
  }
}

// What is sent back is no more than what came, so that the socket takes all of it at once.
function echo(fd: number): void {
  const count = c.recv(fd, buffer, BigInt(buffer.length), 0);
  if (count <= 0 || c.send(fd, buffer, BigInt(count), MSG_NOSIGNAL) !== count) c.close(fd);
}

const listeners = ["127.0.0.1", "::1"].map((address) =>
  Array.from({ length: PORTS }, () => listenTcp(IpAddress.parse(address), 0))
);
const listening = new Set(listeners.flat().map(({ fd }) => fd));
console.log(listeners.map((family) => family.map(({ port }) => port).join()).join("\n"));
for (const fd of listening) watch(fd);
while (true) {
  const count = c.epollWait(epoll, eventBytes, EVENTS, -1);
  for (let i = 0; i < count; i++) {
    const ready = events[i * EPOLL_EVENT_WORDS + EPOLL_DATA_WORD]!;
    if (listening.has(ready)) acceptAll(ready);
    else echo(ready);
  }
}
