/**
 * The way to a peer's socket of datagrams: where it was when the peer began, whatever becomes of its path.
 *
 * A path is only a name, and whoever may write to its folder can give it to another socket. So the file that is there
 * is held by a descriptor (`O_PATH`, no symbolic link at the end), and the socket reached through that: a path that is
 * or becomes a link to another program's socket leads nowhere.
 *
 * - A socket of our own is **connected** to it that way, once; sending needs no path then, and what one peer has not
 *   read takes no room from another.
 * - A peer that has connected its own socket to the listener's takes datagrams from that alone, and refuses to be
 *   connected to. Each is sent from the **listener's** socket then, through the held file.
 * - An **abstract** address has no file, and names its socket itself.
 *
 * @module
 */
import {
  AF_UNIX,
  describeErrno,
  EACCES,
  ELOOP,
  ENXIO,
  errno,
  libc,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_NONBLOCK_CLOEXEC,
  SOL_SOCKET,
} from "../linux/libc.ts";
import { unixSockaddr, unixSockaddrPath } from "../linux/sockaddr.ts";
import { printablePath } from "./socket_path.ts";

/** Bytes that a socket may have sent and their receivers not read, as far as the system allows. */
const SEND_BUFFER = new Uint8Array(Uint32Array.of(8 << 20).buffer);

/** An open way to one socket. */
export class DatagramWay {
  /** The socket that sends: one that is connected, or the listener's. */
  readonly #fd: number;
  /** Where it sends to, unless it is connected. */
  readonly #address: Uint8Array | undefined;
  /** The descriptor to close. */
  readonly #own: number;

  private constructor(fd: number, address: Uint8Array | undefined, own: number) {
    this.#fd = fd;
    this.#address = address;
    this.#own = own;
  }

  /**
   * Opens the way to the socket at `address`, as the kernel wrote it, for the listener's socket `fd`. Throws an `Error`
   * if there is no socket.
   */
  static open(fd: number, address: Uint8Array): DatagramWay {
    if (isAbstract(address)) return new DatagramWay(fd, address, -1);
    const c = libc(), held = hold(address), heldAddress = unixSockaddr(`/proc/self/fd/${held}`);
    const own = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK_CLOEXEC, 0);
    if (own >= 0 && c.connect(own, heldAddress, heldAddress.length) === 0) {
      c.close(held);
      enlargeSendBuffer(own);
      return new DatagramWay(own, undefined, own);
    }
    if (own >= 0) c.close(own);
    return new DatagramWay(fd, heldAddress, held);
  }

  /** Sends a datagram. Returns 0, or the number of the error. */
  send(bytes: Uint8Array, length: number): number {
    const address = this.#address, c = libc(), size = BigInt(length);
    const sent = address === undefined
      ? c.send(this.#fd, bytes, size, 0)
      : c.sendto(this.#fd, bytes, size, 0, address, address.length);
    return sent < 0 ? errno() : 0;
  }

  /** Closes what it has opened. */
  close(): void {
    if (this.#own >= 0) libc().close(this.#own);
  }
}

/** Lets a socket's receivers leave as much unread as the system allows. */
export function enlargeSendBuffer(fd: number): void {
  libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER, SEND_BUFFER.length);
}

/** A peer's address for messages: one line, whatever is in it. */
export function peerName(address: Uint8Array): string {
  if (!isAbstract(address)) return printablePath(unixSockaddrPath(address, address.length));
  return `@${printablePath(new TextDecoder().decode(address.subarray(3)))}`;
}

function isAbstract(address: Uint8Array): boolean {
  return address[2] === 0;
}

/** A descriptor of the socket's file. */
function hold(address: Uint8Array): number {
  const path = new Uint8Array(address.length), c = libc(), name = peerName(address);
  path.set(address.subarray(2));
  const opened = c.open(path, O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), code = opened < 0 ? errno() : 0;
  if (opened >= 0) c.close(opened);
  // What cannot be opened in this way is a socket, or nobody may read it.
  if (code !== ENXIO && code !== EACCES) {
    if (code === ELOOP) throw new Error(`${name} is a symbolic link, its socket must be there itself`);
    throw new Error(`${name} is no socket${code === 0 ? "" : `, ${describeErrno(code)}`}`);
  }
  const held = c.open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (held < 0) throw new Error(`${name} cannot be reached, ${describeErrno(errno())}`);
  return held;
}
