/**
 * A link over a TAP interface of Linux: the guest is a network namespace, or a virtual machine bridged to one.
 *
 * Frames are read from /dev/net/tun in batches when the event loop says that there are some, into one buffer, at most
 * `FRAMES_PER_TURN` a turn and as many as the guest has time for (`turn_shares.ts`), so that a flood from the guest
 * leaves other guests, sockets and timers their turn. They are written one by one, at once: the kernel queues them, and
 * drops them where its queue is full or the interface is down.
 *
 * With offload a virtio-net header (VIRTIO 1.2 section 5.1.6, legacy form, little-endian) stands before each frame and
 * says what `Frame` says: `NEEDS_CSUM` is `CHECKSUM_PARTIAL`, `gso_size` is `segmentSize`. It is written into the
 * headroom of a frame that is sent, so a frame leaves in one write without a copy.
 *
 * A socket of packets has the same reads and writes without a header, and so is a link like a TAP without offload
 * (`packetLink`); its other end's closing is a read of nothing, which a TAP never answers.
 *
 * A device that is deleted under the link ends it with `closed(error)`. Importing this works everywhere; using it needs
 * Linux and `--allow-ffi`.
 *
 * @module
 */
import { CHECKSUM_PARTIAL, CHECKSUM_VERIFIED, Frame } from "../wire/frame.ts";
import { describeErrno, EAGAIN, EINTR, errno, type Libc, libc } from "../linux/libc.ts";
import { type EventLoop, READABLE, type Watch } from "../linux/event_loop.ts";
import type { TurnShare } from "../linux/turn_shares.ts";
import { configureTun, openTun } from "../linux/tun.ts";
import type { Link, LinkReceiver } from "./link.ts";

const FRAMES_PER_TURN = 32;
const VNET_HEADER = 10;
const LARGEST_FRAME = 65536 + 64;

/** The events of a `pollfd`, whose result is the upper half of the same word. */
const POLLIN = 1;

const FLAG_NEEDS_CSUM = 1;
const FLAG_DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;

/** Where a TAP link comes from. */
export interface TapLinkOptions {
  /** The loop that tells when there are frames. */
  loop: EventLoop;
  /** Name of the interface; `tap0` unless given. */
  name?: string;
  /**
   * An open descriptor of /dev/net/tun, not yet an interface; it becomes the link's even if this throws. Unless given,
   * one is opened in this thread's network namespace.
   */
  fd?: number;
  /** Largest IP packet that the interface is configured for; 1500, Linux's default, unless given. */
  mtu?: number;
  /** Whether checksums and TCP segmentation are left to the kernel; true unless given. */
  offload?: boolean;
  /** Called once when it has ended. */
  ended?: () => void;
}

/**
 * Creates a TAP interface and gives the link over it; configuring the interface is the caller's business. Throws
 * `Deno.errors.NotSupported` on other systems, `NotCapable` without `--allow-ffi`, and what `openTun` and
 * `configureTun` throw.
 *
 * @example
 * ```ts ignore
 * const link = tapLink({ loop, name: "tap0", mtu: 65520 });
 * ```
 */
export function tapLink(options: TapLinkOptions): Link {
  const { loop, name = "tap0", mtu = 1500, offload = true } = options;
  if (Deno.build.os !== "linux") {
    throw new Deno.errors.NotSupported(`Cannot create TAP interface ${name}: this needs Linux, not ${Deno.build.os}`);
  }
  const fd = options.fd ?? openTun();
  try {
    configureTun(fd, { name, offload });
  } catch (error) {
    libc().close(fd);
    throw error;
  }
  return new TapLink({ loop, fd, name: `tap ${name}`, mtu, offload, ended: options.ended ?? (() => {}) });
}

/** A link over a connected socket of packets, a frame each. The descriptor becomes the link's, even if this throws. */
export function packetLink(options: {
  /** The loop that tells when there are frames. */
  readonly loop: EventLoop;
  /** The socket. */
  readonly fd: number;
  /** What it is, for messages. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** Called once when the first frame has come. */
  readonly spoke: () => void;
  /** Called once when it has ended. */
  readonly ended: () => void;
}): Link {
  return new TapLink({ ...options, offload: false });
}

class TapLink implements Link {
  readonly name: string;
  readonly mtu: number;
  readonly headroom: number;
  readonly offload: boolean;
  dropped = 0;
  readonly #libc: Libc = libc();
  readonly #loop: EventLoop;
  readonly #fd: number;
  /** Whose time the guest's work takes. */
  readonly payer: TurnShare;
  readonly #frame = new Frame();
  readonly #buffer: Uint8Array;
  readonly #ended: () => void;
  readonly #spoke: (() => void) | undefined;
  readonly #bufferLength: bigint;
  #watch: Watch | undefined;
  #receiver: LinkReceiver | undefined;
  #closed = false;

  constructor(options: Required<TapLinkOptions> & { readonly spoke?: () => void }) {
    this.name = options.name;
    this.#spoke = options.spoke;
    this.mtu = options.mtu;
    this.offload = options.offload;
    this.headroom = options.offload ? VNET_HEADER : 0;
    this.#loop = options.loop;
    this.#fd = options.fd;
    this.payer = options.loop.shares.join();
    this.#ended = options.ended;
    this.#buffer = new Uint8Array(this.headroom + LARGEST_FRAME);
    this.#bufferLength = BigInt(this.#buffer.length);
  }

  get underWay(): number {
    return this.#closed || !isReadable(this.#libc, this.#fd) ? 0 : 1;
  }

  start(receiver: LinkReceiver): void {
    if (this.#closed) throw new Error(`Cannot start link ${this.name}: it is closed`);
    if (this.#receiver) throw new Error(`Cannot start link ${this.name}: it is started already`);
    this.#watch = this.#loop.watch(this.#fd, { ready: () => this.#read(receiver) }, {
      level: true,
      share: this.payer,
    });
    this.#receiver = receiver;
    this.#watch.setInterest(READABLE);
  }

  send(frame: Frame): boolean {
    const bytes = frame.bytes, start = frame.start - this.headroom;
    if (this.#closed || start < 0) {
      this.dropped++;
      return false;
    }
    if (this.offload) writeVnetHeader(bytes, start, frame);
    // Whatever the failure, the frame is lost and TCP repairs it; a device that is gone shows itself to the reader.
    if (this.#libc.write(this.#fd, start === 0 ? bytes : bytes.subarray(start), BigInt(frame.end - start)) < 0) {
      this.dropped++;
      return false;
    }
    return true;
  }

  flush(): void {}

  async close(): Promise<void> {
    this.#end();
    await this.#loop.allClosed();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #read(receiver: LinkReceiver): void {
    const bytes = this.#buffer, frame = this.#frame, headroom = this.headroom;
    let received = 0;
    while (received < FRAMES_PER_TURN && !this.#closed) {
      const length = this.#libc.read(this.#fd, bytes, this.#bufferLength);
      if (length < 0) {
        const code = errno();
        if (code !== EAGAIN && code !== EINTR) {
          this.#end(new Error(`Cannot read from link ${this.name}: ${describeErrno(code)}`));
        }
        break;
      }
      received++;
      if (length <= headroom) {
        if (length === 0) this.#end();
        continue;
      }
      frame.set(bytes, headroom, length);
      if (this.offload) readVnetHeader(bytes, frame);
      receiver.receive(frame);
      if (this.payer.isOver(length)) break;
    }
    if (received > 0 && !this.#closed) receiver.flush();
    if (received > 0) this.#spoke?.();
  }

  #end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#watch) this.#loop.release(this.#watch);
    else this.#libc.close(this.#fd);
    this.#ended();
    this.#receiver?.closed(error);
  }
}

function isReadable(libc: Libc, fd: number): boolean {
  const record = new Int32Array([fd, POLLIN]);
  return libc.poll(new Uint8Array(record.buffer), 1n, 0) > 0;
}

function readVnetHeader(bytes: Uint8Array, frame: Frame): void {
  const flags = bytes[0]!;
  if (bytes[1] !== GSO_NONE) frame.segmentSize = bytes[4]! | (bytes[5]! << 8);
  if ((flags & FLAG_NEEDS_CSUM) !== 0) {
    frame.checksum = CHECKSUM_PARTIAL;
    frame.transport = frame.start + (bytes[6]! | (bytes[7]! << 8));
    frame.checksumField = bytes[8]! | (bytes[9]! << 8);
  } else if ((flags & FLAG_DATA_VALID) !== 0 || frame.segmentSize !== 0) {
    frame.checksum = CHECKSUM_VERIFIED;
  }
}

function writeVnetHeader(bytes: Uint8Array, offset: number, frame: Frame): void {
  const transport = frame.transport - frame.start, segmentSize = frame.segmentSize;
  if (frame.checksum === CHECKSUM_PARTIAL) {
    bytes[offset] = FLAG_NEEDS_CSUM;
    bytes[offset + 6] = transport;
    bytes[offset + 7] = transport >> 8;
    bytes[offset + 8] = frame.checksumField;
    bytes[offset + 9] = frame.checksumField >> 8;
  } else {
    bytes.fill(0, offset, offset + VNET_HEADER);
  }
  if (segmentSize === 0) {
    bytes.fill(0, offset + 1, offset + 6);
    return;
  }
  const headers = transport + (bytes[frame.transport + 12]! >> 4) * 4;
  bytes[offset + 1] = bytes[frame.start + 12] === 0x86 ? GSO_TCPV6 : GSO_TCPV4;
  bytes[offset + 2] = headers;
  bytes[offset + 3] = headers >> 8;
  bytes[offset + 4] = segmentSize;
  bytes[offset + 5] = segmentSize >> 8;
}
