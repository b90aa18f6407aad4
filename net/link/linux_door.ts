/**
 * A `Door` on Linux's sockets, in the event loop.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { Acceptor } from "../linux/acceptor.ts";
import { LEFT_BY_NEWCOMERS } from "../linux/descriptors.ts";
import { type EventLoop, READABLE, type Watch } from "../linux/event_loop.ts";
import {
  describeErrno,
  EAGAIN,
  EINTR,
  errno,
  IPPROTO_TCP,
  type Libc,
  libc,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_KEEPALIVE,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "../linux/libc.ts";
import { readSockaddr } from "../linux/sockaddr.ts";
import { listenTcp, listenUnix, removeSocket, unixPathIsServed } from "../linux/sockets.ts";
import type { Arrival, Conversation, Door, DoorHandler, StreamAddress } from "./arrival.ts";
import type { FramedLinkOptions } from "./framed_link.ts";
import type { Link } from "./link.ts";
import { LinuxStreamLink } from "./linux_stream.ts";
import { bindSocketPath } from "./socket_path.ts";

const ACCEPTS_PER_TURN = 8;
/**
 * What a guest's unix socket may hold that it has not read, as far as the system allows: several turns' worth. With the
 * 208 KiB of its default it is full within one, and the gateway comes back for every quarter of what it has to write.
 */
const SEND_BUFFER = word(1 << 20);
const ENABLE = word(1);
/** After how many seconds of silence a guest on TCP is asked whether it is there, how often and how many times. */
const KEEP_ALIVE = [[TCP_KEEPIDLE, word(60)], [TCP_KEEPINTVL, word(15)], [TCP_KEEPCNT, word(4)]] as const;
/** What an arrival may have sent behind what was read of it, when it is closed. */
const unread = new Uint8Array(1 << 16);

/** Binds a door to `address`. Throws what `listenForStreams` says. */
export async function bindLinuxDoor(address: StreamAddress, loop: EventLoop): Promise<Door> {
  if ("path" in address) {
    const { path } = address;
    const { socket: fd, release } = await bindSocketPath(path, {
      bind: () => listenUnix(path),
      isServed: () => unixPathIsServed(path),
      remove: () => removeSocket(path),
    });
    return new LinuxDoor({ fd, place: path, release, isTcp: false }, loop);
  }
  const ip = IpAddress.parse(address.hostname === "localhost" ? "127.0.0.1" : address.hostname);
  const { fd, port } = listenTcp(ip, address.port);
  return new LinuxDoor({ fd, place: placeText(ip, port), release() {}, isTcp: true }, loop);
}

class LinuxDoor implements Door {
  readonly place: string;
  readonly #loop: EventLoop;
  readonly #fd: number;
  readonly #isTcp: boolean;
  readonly #release: () => void;
  #acceptor: Acceptor | undefined;
  #closed = false;

  constructor(socket: { fd: number; place: string; release: () => void; isTcp: boolean }, loop: EventLoop) {
    this.place = socket.place;
    this.#loop = loop;
    this.#fd = socket.fd;
    this.#isTcp = socket.isTcp;
    this.#release = socket.release;
  }

  open(handler: DoorHandler): void {
    const accepted = (fd: number, peer: Uint8Array) => this.#arrived(handler, fd, peer);
    const acceptFailed = (code: number) =>
      handler.refused(
        `Cannot accept a connection on ${this.place}: ${
          describeErrno(code)
        }, raise the limit of open files (ulimit -n)`,
        true,
      );
    this.#acceptor = new Acceptor(this.#loop, this.#fd, {
      handler: { accepted, acceptFailed },
      mostPerTurn: ACCEPTS_PER_TURN,
      left: LEFT_BY_NEWCOMERS,
    });
  }

  delay(callback: () => void, ms: number): () => void {
    return this.#loop.delay(callback, ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#acceptor === undefined) libc().close(this.#fd);
    else this.#acceptor.close();
    this.#release();
    await this.#loop.allClosed();
  }

  #arrived(handler: DoorHandler, fd: number, peer: Uint8Array): void {
    const c = libc();
    let from = "";
    if (this.#isTcp) {
      c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ENABLE, ENABLE.length);
      // A guest whose machine has died says nothing any more.
      c.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, ENABLE, ENABLE.length);
      for (const [option, value] of KEEP_ALIVE) c.setsockopt(fd, IPPROTO_TCP, option, value, value.length);
      const address = readSockaddr(peer);
      if (address !== undefined) from = placeText(address.address, address.port);
    } else {
      c.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER, SEND_BUFFER.length);
    }
    try {
      handler.arrived(new LinuxArrival(this.#loop, fd, from));
    } catch (error) {
      handler.refused(error instanceof Error ? error.message : String(error), true);
    }
  }
}

class LinuxArrival implements Arrival {
  readonly from: string;
  readonly #libc: Libc = libc();
  readonly #loop: EventLoop;
  readonly #fd: number;
  #watch: Watch | undefined;
  #over = false;

  constructor(loop: EventLoop, fd: number, from: string) {
    this.#loop = loop;
    this.#fd = fd;
    this.from = from;
  }

  listen(conversation: Conversation): void {
    try {
      this.#watch = this.#loop.watch(this.#fd, { ready: () => this.#read(conversation) });
    } catch (error) {
      this.close();
      throw error;
    }
    this.#watch.setInterest(READABLE);
  }

  say(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#over) this.#libc.send(this.#fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL);
  }

  link(options: FramedLinkOptions): Link {
    this.#over = true;
    if (this.#watch !== undefined) this.#loop.unwatch(this.#watch);
    return new LinuxStreamLink({ ...options, loop: this.#loop, fd: this.#fd });
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    // Bytes that nobody has read would make the kernel reset the connection, and what was said to it would be lost.
    this.#libc.shutdown(this.#fd, SHUT_WR);
    this.#libc.recv(this.#fd, unread, BigInt(unread.length), 0);
    if (this.#watch === undefined) this.#libc.close(this.#fd);
    else this.#loop.release(this.#watch);
  }

  #read(conversation: Conversation): void {
    const room = conversation.room(), count = this.#libc.recv(this.#fd, room, BigInt(room.length), 0);
    if (count >= 0) return conversation.took(count);
    const code = errno();
    if (code === EAGAIN) this.#watch!.ready &= ~READABLE;
    else if (code !== EINTR) conversation.took(0);
  }
}

function placeText(address: IpAddress, port: number): string {
  return address.isIpv4 ? `${address}:${port}` : `[${address}]:${port}`;
}

function word(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
