/**
 * `struct msghdr` with one buffer, one address and one control message, for recvmsg(2) and sendmsg(2).
 *
 * The structure holds pointers into arrays that belong to it, so it is made once and used again and again.
 *
 * @module
 */
import { addressOf } from "./libc.ts";
import { SOCKADDR_SIZE } from "./sockaddr.ts";

// The name at 0, its length at 8, the vector at 16, its count at 24, control at 32, its length at 40, flags at 48.
const MSGHDR_SIZE = 56;
const NAME_LENGTH = 8;
const CONTROL_LENGTH = 40;
// struct iovec: the buffer at 0, its length at 8.
const IOVEC_SIZE = 16;
const BUFFER_LENGTH = 8;

/** Bytes of a `struct cmsghdr`: length, level, type; the data follow. */
export const CMSG_HEADER = 16;

/** A message header and what it points to. */
export class MessageHeader {
  /** The structure. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MSGHDR_SIZE);
  /** The socket address, `SOCKADDR_SIZE` bytes. */
  readonly name: Uint8Array<ArrayBuffer> = new Uint8Array(SOCKADDR_SIZE);
  /** The control messages. */
  readonly control: DataView<ArrayBuffer>;
  readonly #header = new DataView(this.bytes.buffer);
  readonly #vector = new DataView(new ArrayBuffer(IOVEC_SIZE));
  // They are pointed to, and so must not be collected.
  readonly #pointedTo: readonly Uint8Array<ArrayBuffer>[];

  /** A header for the whole of `buffer`, with room for `controlSize` bytes of control messages. */
  constructor(buffer: Uint8Array<ArrayBuffer>, controlSize: number) {
    this.control = new DataView(new ArrayBuffer(controlSize));
    const vector = new Uint8Array(this.#vector.buffer), control = new Uint8Array(this.control.buffer);
    this.#pointedTo = [buffer, vector, control];
    const [bufferAt, vectorAt, controlAt] = this.#pointedTo.map(addressOf);
    this.#vector.setBigUint64(0, bufferAt!, true);
    this.#header.setBigUint64(0, addressOf(this.name), true);
    this.#header.setBigUint64(16, vectorAt!, true);
    this.#header.setBigUint64(24, 1n, true);
    this.#header.setBigUint64(32, controlAt!, true);
    this.bufferLength = buffer.length;
    this.nameLength = SOCKADDR_SIZE;
    this.controlLength = controlSize;
  }

  /** Bytes of the buffer to send, or to fill. */
  set bufferLength(length: number) {
    this.#vector.setBigUint64(BUFFER_LENGTH, BigInt(length), true);
  }

  /** Bytes of the address to send, or that there is room for. */
  set nameLength(length: number) {
    this.#header.setUint32(NAME_LENGTH, length, true);
  }

  /** Bytes of control messages: in, as many as there is room for; out, as many as came. */
  set controlLength(length: number) {
    this.#header.setBigUint64(CONTROL_LENGTH, BigInt(length), true);
  }

  /** See the setter. */
  get controlLength(): number {
    return this.#header.getUint32(CONTROL_LENGTH, true);
  }
}
