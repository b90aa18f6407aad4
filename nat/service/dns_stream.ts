/**
 * DNS over TCP at .3: a connection of a guest that ends in the gateway, which answers each query on it as it answers
 * one over UDP (RFC 7766).
 *
 * **Where it stands.** It is the socket of a TCP relay, in the place of one of the host, so connecting, closing and
 * resets are those of any flow; `relay/gateway_socket.ts` keeps the contract of sockets for it. It connects at once,
 * whatever the host's resolvers do: a guest whose resolvers are silent gets SERVFAIL in time, and local names and what
 * the cache knows at once.
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
import type { HostConnectHandler } from "../host.ts";
import { GatewaySocket } from "../relay/gateway_socket.ts";
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
export class DnsStream extends GatewaySocket implements Timed {
  readonly #context: RelayContext;
  readonly #user: DnsStreamUser;
  readonly #timer = new Timer(this);
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
    super(context, owner);
    this.#context = context;
    this.#user = user;
    this.accept();
    this.#rest();
  }

  // --- GatewaySocket ---

  /** Whether an answer waits to be read. */
  protected override get hasBytes(): boolean {
    return this.#answers.length > 0;
  }

  /** Whether nothing more is answered. */
  protected override get hasEnded(): boolean {
    return (this.#finished || this.#idle) && this.#underWay === 0 && this.#answers.length === 0;
  }

  /** Whether one more query can be answered. */
  protected override get hasRoom(): boolean {
    return this.#underWay < MAX_DNS_PIPELINED && this.#answerBytes < MAX_ANSWERS;
  }

  /** Answers. */
  protected override give(bytes: Uint8Array, start: number, end: number): number {
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
    return at - start;
  }

  /** Messages of the guest, as far as they can be answered. */
  protected override take(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && !this.hasFailed && this.hasRoom) at += this.#takeSome(bytes, at, end);
    return at - start;
  }

  /** The guest has finished: FIN follows once everything is answered. */
  protected override finish(): void {
    this.#finished = true;
    if (this.#kept > 0 || !this.#isLength) this.#context.counters.dnsMalformed++;
    this.notify();
  }

  /** Nothing more is asked; there is nobody to reset. */
  protected override release(): void {
    this.#context.timers.cancel(this.#timer);
    this.#user.dnsStreamClosed();
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
    this.notify();
  }

  /** Nothing was asked for `DNS_IDLE_MS`. */
  timerFired(): void {
    this.#idle = true;
    this.notify();
  }

  /** Takes some of `bytes[at, end)`: how many. */
  #takeSome(bytes: Uint8Array, at: number, end: number): number {
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
      // Only the guest breaks such a connection.
      return this.fail("reset");
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
    if (this.isClosed || this.#finished || this.#idle) return;
    if (this.#underWay > 0) this.#context.timers.cancel(this.#timer);
    else this.#context.timers.schedule(this.#timer, this.#context.now() + DNS_IDLE_MS);
  }
}
