/**
 * DNS over TCP at .3: a connection of a guest that ends in the gateway, which answers each query on it as it answers
 * one over UDP (RFC 7766).
 *
 * **Where it stands.** It is the socket of a TCP relay, in the place of one of the host; so connecting, closing and
 * resets are those of any flow. It connects at once, whatever the host's resolvers do: a guest whose resolvers are
 * silent gets SERVFAIL in time, and local names and what the cache knows at once.
 *
 * **Messages** are of two bytes of length and so many more (RFC 1035 section 4.2.2). Each goes to the DNS service when
 * it is whole. Answers go back as they come, which need not be the order of the questions (RFC 7766 section 6.2.1.1).
 *
 * **The end.** After the guest's FIN every query under way is still answered, then comes ours. A connection on which
 * nothing is asked for `DNS_IDLE_MS` ends (RFC 7766 section 6.2.3). A message that is not whole when FIN comes is
 * dropped.
 *
 * **Limits.** A query has at most `MAX_DNS_QUERY` bytes; a longer one breaks the connection. While `MAX_DNS_PIPELINED`
 * queries are under way, or the guest has `MAX_ANSWERS` bytes of answers to read, nothing more of it is taken.
 *
 * @module
 */
import { readUint16, writeUint16 } from "../../net/wire/bytes.ts";
import { type Timed, Timer } from "../base/timers.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import type { EndsTurn } from "../flow/flow.ts";
import {
  FAILED,
  type HostConnectHandler,
  type HostError,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";
import { DNS_LENGTH_BYTES } from "./dns_tcp_exchange.ts";

/** Longest query in bytes: a name and its options need a tenth of it. */
export const MAX_DNS_QUERY = 4096;
/** Queries of one connection that may be under way at once. */
export const MAX_DNS_PIPELINED = 16;
/** How long a connection lives on which nothing is asked, in milliseconds. */
export const DNS_IDLE_MS = 30_000;

/** Bytes of answers that may wait to be read before nothing more is asked. */
const MAX_ANSWERS = 65_536;

/** Who answers what is asked on a connection. */
export interface DnsStreamUser {
  /**
   * A whole message, which is the receiver's. Exactly one `answer` follows, now or later, or none if this returns
   * false.
   */
  dnsStreamAsked(message: Uint8Array): boolean;
  /** The connection has ended: what is under way is of no use. */
  dnsStreamClosed(): void;
}

/** A guest's connection to DNS. */
export class DnsStream implements HostTcpSocket, EndsTurn, Timed {
  /** Why it broke: only the guest can do that. */
  readonly error: HostError = "reset";

  readonly #context: RelayContext;
  readonly #owner: HostConnectHandler;
  readonly #user: DnsStreamUser;
  readonly #timer = new Timer(this);
  #connected = false;
  #closed = false;
  #broken = false;
  #interest = 0;
  #isDue = false;
  /** The guest has finished. */
  #finished = false;
  /** Nothing was asked for too long. */
  #idle = false;
  #underWay = 0;

  /** The length of the guest's message, then the message: `kept` bytes of it are here. */
  #message = new Uint8Array(DNS_LENGTH_BYTES);
  #kept = 0;
  #isLength = true;

  /** Answers with their lengths; `given` bytes of the first have been read. */
  #answers: Uint8Array[] = [];
  #given = 0;
  #answerBytes = 0;

  /** A connection that is told to `owner` as any socket's is, and whose queries `user` answers. */
  constructor(context: RelayContext, owner: HostConnectHandler, user: DnsStreamUser) {
    this.#context = context;
    this.#owner = owner;
    this.#user = user;
    this.#makeDue();
    this.#rest();
  }

  // --- HostTcpSocket: what the relay does ---

  /** Says what the relay wants to be called for. */
  setInterest(interest: number): void {
    this.#interest = interest;
    if ((interest & READ && this.#canRead) || (interest & WRITE && this.#canWrite)) this.#makeDue();
  }

  /** Answers; EOF after the last one. */
  read(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#answers.length > 0) {
      const answer = this.#answers[0]!, part = answer.subarray(this.#given, this.#given + end - at);
      bytes.set(part, at);
      at += part.length;
      this.#given += part.length;
      if (this.#given < answer.length) break;
      this.#answers.shift();
      this.#answerBytes -= answer.length;
      this.#given = 0;
    }
    if (at > start) return at - start;
    if (this.#broken) return FAILED;
    return this.#hasEnded ? 0 : WOULD_BLOCK;
  }

  /** Takes messages of the guest, as far as they can be answered. */
  write(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && !this.#broken && this.#canWrite) at += this.#take(bytes, at, end);
    if (at > start) return at - start;
    return this.#broken ? FAILED : WOULD_BLOCK;
  }

  /** The guest has finished: FIN follows once everything is answered. */
  closeWrite(): void {
    this.#finished = true;
    if (this.#kept > 0 || !this.#isLength) this.#context.counters.dnsMalformed++;
    this.#makeDue();
  }

  /** Nothing more is read or asked. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#context.timers.cancel(this.#timer);
    this.#user.dnsStreamClosed();
  }

  /** As `close`: there is nobody to reset. */
  reset(): void {
    this.close();
  }

  // --- the service ---

  /** An answer, of which a copy is kept. */
  answer(bytes: Uint8Array, start: number, end: number): void {
    const framed = new Uint8Array(DNS_LENGTH_BYTES + end - start);
    writeUint16(framed, 0, end - start);
    framed.set(bytes.subarray(start, end), DNS_LENGTH_BYTES);
    this.#answers.push(framed);
    this.#answerBytes += framed.length;
    this.#underWay--;
    this.#rest();
    this.#makeDue();
  }

  // --- EndsTurn ---

  /** Tells the relay what it may do. */
  endTurn(): void {
    this.#isDue = false;
    if (this.#closed) return;
    if (!this.#connected) {
      this.#connected = true;
      return this.#owner.hostConnected();
    }
    if (this.#broken) return this.#owner.hostFailed(this.error);
    if (this.#interest & WRITE && this.#canWrite) this.#owner.hostWritable();
    if (!this.#closed && this.#interest & READ && this.#canRead) this.#owner.hostReadable();
  }

  /** Nothing was asked for `DNS_IDLE_MS`. */
  timerFired(): void {
    this.#idle = true;
    this.#makeDue();
  }

  get #hasEnded(): boolean {
    return (this.#finished || this.#idle) && this.#underWay === 0 && this.#answers.length === 0;
  }

  get #canRead(): boolean {
    return this.#answers.length > 0 || this.#hasEnded;
  }

  get #canWrite(): boolean {
    return this.#underWay < MAX_DNS_PIPELINED && this.#answerBytes < MAX_ANSWERS;
  }

  /** Takes some of `bytes[at, end)`: how many. */
  #take(bytes: Uint8Array, at: number, end: number): number {
    const count = Math.min(this.#message.length - this.#kept, end - at);
    this.#message.set(bytes.subarray(at, at + count), this.#kept);
    this.#kept += count;
    if (this.#kept === this.#message.length) this.#complete();
    return count;
  }

  /** A length or a message is whole. */
  #complete(): void {
    const message = this.#message, length = this.#isLength ? readUint16(message, 0) : 0;
    this.#kept = 0;
    if (length > MAX_DNS_QUERY) {
      this.#context.counters.dnsMalformed++;
      this.#broken = true;
      return this.#makeDue();
    }
    // A message without a byte is one too.
    if (this.#isLength && length > 0) {
      this.#isLength = false;
      this.#message = new Uint8Array(length);
      return;
    }
    const asked = this.#isLength ? new Uint8Array(0) : message;
    this.#isLength = true;
    this.#message = new Uint8Array(DNS_LENGTH_BYTES);
    // After our FIN there is no place for an answer.
    if (this.#idle) return;
    this.#underWay++;
    if (!this.#user.dnsStreamAsked(asked)) this.#underWay--;
    this.#rest();
  }

  /** Begins to wait for the next query if none is under way. */
  #rest(): void {
    if (this.#closed || this.#finished || this.#idle) return;
    if (this.#underWay > 0) this.#context.timers.cancel(this.#timer);
    else this.#context.timers.schedule(this.#timer, this.#context.now() + DNS_IDLE_MS);
  }

  #makeDue(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#context.due(this);
  }
}
