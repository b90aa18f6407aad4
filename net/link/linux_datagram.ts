/**
 * Guests on one unix socket of datagrams, on Linux's sockets in the event loop.
 *
 * **In.** At most `DATAGRAMS_PER_TURN` a turn, and none behind one of a guest that has used its part of the turn
 * (`turn_shares.ts`), into one buffer, each with its sender's address, which is compared with the last one's before it
 * is looked up. Who has no path cannot be answered and is refused.
 *
 * **Out.** One call a frame, on the peer's way (`datagram_way.ts`), which leads to the socket that was at the peer's
 * path when it began. If nobody has that open any more, the path is looked at anew. What a peer has no room for waits
 * in a queue of its own (`datagram_queue.ts`).
 *
 * **Peers that vanish** show themselves when they are sent to. Those that are never sent to stay until there are
 * `MOST_GUESTS`: then the one that was silent longest makes room if that is `SILENT_MS` or more.
 *
 * @module
 */
import { Frame } from "../wire/frame.ts";
import { EAGAIN, ECONNREFUSED, ECONNRESET, ENOBUFS, ENOENT, ENOTCONN, EPERM, type Libc, libc } from "../linux/libc.ts";
import { type EventLoop, READABLE, type Watch } from "../linux/event_loop.ts";
import type { TurnShare } from "../linux/turn_shares.ts";
import { SOCKADDR_UN_SIZE } from "../linux/sockaddr.ts";
import { openUnixDatagram, removeSocket, unixPathIsServed } from "../linux/sockets.ts";
import { DatagramQueue, type DatagramSend, LOST, NO_ROOM, SENT } from "./datagram_queue.ts";
import { FrameStore } from "./frame_store.ts";
import { DATAGRAM_BUFFER, DatagramLink, isVfkitOpening } from "./datagram_link.ts";
import { type LinkListener, type ListenerOptions, MOST_GUESTS } from "./listener.ts";
import { DatagramWay, enlargeSendBuffer, peerName } from "./datagram_way.ts";
import { bindSocketPath, type BoundPath } from "./socket_path.ts";

const DATAGRAMS_PER_TURN = 32;
/** How long a peer must have been silent to make room for another. */
const SILENT_MS = 60_000;

/** A peer: where it is, and its link. */
interface Peer {
  readonly share: TurnShare;
  readonly key: string;
  /** Where its datagrams come from. */
  readonly address: Uint8Array;
  way: DatagramWay;
  readonly link: DatagramLink;
  readonly queue: DatagramQueue;
  heardAt: number;
}

/** A socket of datagrams in an event loop. */
export class LinuxDatagramListener implements LinkListener {
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #loop: EventLoop;
  readonly #libc: Libc = libc();
  readonly #fd: number;
  readonly #release: () => void;
  readonly #watch: Watch;
  readonly #endTurns: () => void;
  readonly #buffer = new Uint8Array(DATAGRAM_BUFFER);
  readonly #bufferLength = BigInt(DATAGRAM_BUFFER);
  readonly #from = new Uint8Array(SOCKADDR_UN_SIZE);
  readonly #fromLength = new Uint32Array(1);
  readonly #frame = new Frame();
  readonly #peers = new Map<string, Peer>();
  readonly #heard = new Set<Peer>();
  readonly #store = new FrameStore();
  #last: Peer | undefined;
  #vanished: DatagramLink[] = [];
  #closed = false;

  private constructor(path: string, bound: BoundPath<number>, options: ListenerOptions, loop: EventLoop) {
    this.address = `unixgram:${path}`;
    this.#options = options;
    this.#loop = loop;
    this.#fd = bound.socket;
    this.#release = bound.release;
    enlargeSendBuffer(bound.socket);
    try {
      this.#watch = loop.watch(bound.socket, { ready: () => this.#read() }, { level: true });
    } catch (error) {
      this.#libc.close(bound.socket);
      bound.release();
      throw error;
    }
    this.#endTurns = loop.onTurnEnd(() => this.#endTurn());
    this.#watch.setInterest(READABLE);
  }

  /** Binds a socket to `path`; see `listenForDatagrams`. */
  static async open(path: string, options: ListenerOptions, loop: EventLoop): Promise<LinuxDatagramListener> {
    const bound = await bindSocketPath(path, {
      bind: () => openUnixDatagram(path),
      isServed: () => unixPathIsServed(path),
      remove: () => removeSocket(path),
    });
    return new LinuxDatagramListener(path, bound, options, loop);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { link } of [...this.#peers.values()]) link.end();
    this.#endTurns();
    this.#loop.release(this.#watch);
    this.#release();
    await this.#loop.allClosed();
  }

  #read(): void {
    const buffer = this.#buffer, heard = this.#heard;
    for (let i = 0; i < DATAGRAMS_PER_TURN && !this.#closed; i++) {
      this.#fromLength[0] = SOCKADDR_UN_SIZE;
      const count = this.#libc.recvfrom(this.#fd, buffer, this.#bufferLength, 0, this.#from, this.#fromLength);
      if (count < 0) break;
      const peer = this.#peer();
      if (peer === undefined) continue;
      if (isVfkitOpening(buffer, count)) {
        this.#greeted(peer);
        continue;
      }
      heard.add(peer);
      if (!this.#pass(peer, count)) break;
    }
    for (const { link, queue } of heard) {
      if (queue.retryAt !== Infinity) link.dropped += queue.retry(this.#loop.now());
      link.received();
    }
    heard.clear();
  }

  /** A peer that greets anew has been started anew: what it had is over. */
  #greeted(peer: Peer): void {
    if (peer.link.greeted()) return;
    peer.link.end();
    this.#peer()?.link.greeted();
  }

  /** Hands out a datagram of `peer`, on its account. Returns whether it has time for more. */
  #pass({ link, share }: Peer, length: number): boolean {
    const { shares } = this.#loop, frame = this.#frame.set(this.#buffer, 0, length);
    const began = shares.isShared ? performance.now() : shares.began, hasTime = share.begin(began);
    link.receive(frame);
    if (!shares.isShared) return !share.isOver(length);
    const ended = performance.now();
    share.charge(began, ended);
    return hasTime;
  }

  /** Who sent the last datagram; `undefined` for someone who is not served. */
  #peer(): Peer | undefined {
    const from = this.#from, length = this.#fromLength[0]!;
    let peer = this.#last;
    if (peer === undefined || !isAddress(peer.address, from, length)) {
      const key = String.fromCharCode(...from.subarray(2, length));
      peer = this.#peers.get(key) ?? this.#begin(key, from.slice(0, length));
      this.#last = peer;
    }
    if (peer !== undefined) peer.heardAt = this.#loop.now();
    return peer;
  }

  #begin(key: string, address: Uint8Array): Peer | undefined {
    const refused = this.#options.refused ?? (() => {});
    if (address.length <= 2) {
      refused(`Refused a guest on ${this.address}: its socket has no path to send to, bind it to one`, false);
      return undefined;
    }
    if (this.#peers.size >= MOST_GUESTS && !this.#makeRoom()) {
      refused(`Refused a guest on ${this.address}: ${MOST_GUESTS} guests are the limit of a listener`, false);
      return undefined;
    }
    let way: DatagramWay;
    try {
      way = DatagramWay.open(this.#fd, address);
    } catch (error) {
      refused(`Refused a guest on ${this.address}: ${error instanceof Error ? error.message : error}`, false);
      return undefined;
    }
    const name = `${this.address} from ${peerName(address)}`;
    const { mtu = 1500, offload } = this.#options, share = this.#loop.shares.join();
    const link = new DatagramLink({ name, mtu, offload, payer: share }, {
      send: (frame) => queue.push(frame, this.#loop.now()),
      ended: () => this.#forget(peer),
      freed: () => Promise.resolve(),
    });
    const queue = new DatagramQueue(this.#store, (frame) => this.#send(peer, frame));
    const peer: Peer = {
      key,
      address,
      way,
      link,
      share,
      queue,
      heardAt: this.#loop.now(),
    };
    this.#peers.set(key, peer);
    this.#options.attach(link);
    return peer;
  }

  #send(peer: Peer, frame: Frame): ReturnType<DatagramSend> {
    const { bytes, start, length } = frame, from = start === 0 ? bytes : bytes.subarray(start);
    let code = peer.way.send(from, length);
    if (isElsewhere(code) && this.#findAnew(peer)) code = peer.way.send(from, length);
    if (code === 0) return SENT;
    if (code === EAGAIN || code === ENOBUFS) {
      this.#loop.requestTurn();
      return NO_ROOM;
    }
    if (isElsewhere(code)) {
      // The receiver is not told from within its own call.
      this.#vanished.push(peer.link);
      this.#loop.requestTurn();
    }
    return LOST;
  }

  /** Opens the way to the socket that is at the peer's path now. Returns whether there is one. */
  #findAnew(peer: Peer): boolean {
    try {
      const way = DatagramWay.open(this.#fd, peer.address);
      peer.way.close();
      peer.way = way;
      return true;
    } catch {
      return false;
    }
  }

  #endTurn(): number {
    if (this.#vanished.length > 0) {
      const vanished = this.#vanished;
      this.#vanished = [];
      for (const link of vanished) link.end();
    }
    const now = this.#loop.now();
    let next = Infinity;
    for (const { link, queue } of this.#peers.values()) {
      if (queue.retryAt <= now) link.dropped += queue.retry(now);
      next = Math.min(next, queue.retryAt);
    }
    return next;
  }

  /** Ends the peer that was silent longest, if that is long enough. */
  #makeRoom(): boolean {
    let stalest: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (stalest === undefined || peer.heardAt < stalest.heardAt) stalest = peer;
    }
    if (stalest === undefined || this.#loop.now() - stalest.heardAt < SILENT_MS) return false;
    stalest.link.end();
    return true;
  }

  #forget(peer: Peer): void {
    this.#peers.delete(peer.key);
    peer.queue.clear();
    peer.way.close();
    if (this.#last === peer) this.#last = undefined;
  }
}

/** Whether nobody is at the end of the way, or the peer is to be reached by another one now. */
function isElsewhere(code: number): boolean {
  return code === ECONNREFUSED || code === ENOENT || code === ENOTCONN || code === ECONNRESET || code === EPERM;
}

function isAddress(address: Uint8Array, bytes: Uint8Array, length: number): boolean {
  if (address.length !== length) return false;
  for (let i = 2; i < length; i++) if (address[i] !== bytes[i]) return false;
  return true;
}
