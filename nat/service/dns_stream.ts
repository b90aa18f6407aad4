/**
 * DNS over TCP at .3: a connection to the host's resolver in which the gateway answers for local names.
 *
 * **Where it stands.** Between a TCP relay and its host socket, as a socket to the one and a handler to the other; so
 * connecting, closing and resets are those of any flow. What is not a query for a local name (`dns_local.ts`) passes byte by
 * byte and whole, a broken message too.
 *
 * **Guest to resolver.** Messages are of two bytes of length and so many more (RFC 1035 section 4.2.2). One of up to
 * `MAX_LOCAL_QUERY` bytes is kept until it is complete: then it is answered, or passed on. A longer one is no question for a
 * name alone and passes at once. What is kept of a message that never gets complete passes on with the guest's FIN.
 *
 * **Resolver to guest.** The gateway's answer goes between two of the resolver's, which are counted off for that. The order
 * of answers need not be that of the questions (RFC 7766 section 6.2.1.1).
 *
 * **Limits.** One message and one answer are held. While that answer has not left, or the message has not, nothing more of the
 * guest is taken. After the resolver's end no answer can be given, and queries for local names are dropped. A socket that is closed
 * before it has taken the message is reset: the resolver has ended by then, and nobody would read an answer.
 *
 * **Left out.** The cache: who asks over TCP mostly wants an answer that is too large to be kept. Without a resolver, or where
 * it does not take the connection, the guest is refused, local names or not.
 *
 * @module
 */
import { readUint16, writeUint16 } from "../../net/wire/bytes.ts";
import type { RelayContext } from "../flow/context.ts";
import type { EndsTurn } from "../flow/flow.ts";
import {
  FAILED,
  type HostConnectHandler,
  type HostEndpoint,
  type HostError,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";
import { encodeLocalDnsAnswer } from "./dns_local.ts";
import { readDnsQuery } from "./dns_query.ts";

/** Longest query that may be one for a local name: no name and no OPT record without options needs more. */
export const MAX_LOCAL_QUERY = 512;

/** Bytes of a message's length. */
const LENGTH_BYTES = 2;
/** Longest answer that `encodeLocalDnsAnswer` writes. */
const MAX_ANSWER = 512;
const NO_ANSWER = new Uint8Array(0);

/** A guest's connection to a resolver. */
export class DnsStream implements HostTcpSocket, HostConnectHandler, EndsTurn {
  readonly #context: RelayContext;
  readonly #gateway: number;
  readonly #owner: HostConnectHandler;
  readonly #socket: HostTcpSocket;
  #interest = 0;
  #isDue = false;
  /** The socket has refused what is kept. */
  #failed = false;
  #closed = false;

  /** The guest's message, its length included: `[passed, kept)` of it is here. */
  #message = new Uint8Array(LENGTH_BYTES + MAX_LOCAL_QUERY);
  #kept = 0;
  #passed = 0;
  /** Whether what is kept goes to the resolver. */
  #passing = false;
  /** Bytes of a longer message that are still to come and pass. */
  #longLeft = 0;
  /** The guest has finished, and the resolver is told once nothing is kept. */
  #finishing = false;

  /** The gateway's answer, its length included: `[given, length)` of it is still to be given. */
  #answer: Uint8Array = NO_ANSWER;
  #given = 0;
  /** Bytes of the resolver's message that are still to come. */
  #hostLeft = 0;
  /** The first byte of its length where the second is to come; else -1. */
  #hostLength = -1;
  #hostEnded = false;

  /** Connects to the resolver `target`; the answer goes to `owner`. `gateway` is the address that local names stand for. */
  constructor(context: RelayContext, flow: { target: HostEndpoint; owner: HostConnectHandler; gateway: number }) {
    this.#context = context;
    this.#gateway = flow.gateway;
    this.#owner = flow.owner;
    this.#socket = context.host.connectTcp(flow.target, this);
  }

  // --- HostTcpSocket: what the relay does ---

  /** That of the host's socket. */
  get error(): HostError {
    return this.#socket.error;
  }

  /** Says what the relay wants to be called for; it does so at the end of every turn in which it has read or written. */
  setInterest(interest: number): void {
    this.#interest = interest;
    this.#applyInterest();
  }

  /** The gateway's answer where one may be given, else what the resolver says. */
  read(bytes: Uint8Array, start: number, end: number): number {
    const waits = this.#answerWaits;
    if (waits && this.#mayAnswer) return this.#giveAnswer(bytes, start, end);
    // Not beyond the place for the answer, which is known once the message's length is.
    const last = waits ? Math.min(end, start + Math.max(this.#hostLeft, 1)) : end;
    const count = this.#socket.read(bytes, start, last);
    if (count > 0) {
      this.#countOff(bytes, start, start + count);
    } else if (count !== WOULD_BLOCK) {
      this.#hostEnded = true;
      this.#answer = NO_ANSWER;
    }
    return count;
  }

  /** Takes messages of the guest as far as they can be answered, passed on, or kept. */
  write(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      const count = this.#take(bytes, at, end);
      if (count > 0) at += count;
      else if (at === start) return count;
      else break;
    }
    return at - start;
  }

  /** Passes on what is kept, then FIN. */
  closeWrite(): void {
    this.#finishing = true;
    this.#passing = this.#kept > 0;
    this.#passOn();
  }

  /** Closes the socket. */
  close(): void {
    this.#closed = true;
    if (this.#passing) this.#socket.reset();
    else this.#socket.close();
  }

  /** Resets the socket. */
  reset(): void {
    this.#closed = true;
    this.#socket.reset();
  }

  // --- HostConnectHandler: what the host tells ---

  /** The resolver takes the connection. */
  hostConnected(): void {
    this.#owner.hostConnected();
  }

  /** It does not. */
  hostConnectFailed(error: HostError): void {
    this.#owner.hostConnectFailed(error);
  }

  /** The relay reads, by way of `read`. */
  hostReadable(): void {
    this.#owner.hostReadable();
  }

  /** What is kept goes first. */
  hostWritable(): void {
    if (this.#passing) this.#passOn();
    this.#applyInterest();
    if (this.#interest & WRITE && !this.#passing && !this.#answerWaits) this.#owner.hostWritable();
  }

  /** The connection to the resolver broke. */
  hostFailed(error: HostError): void {
    this.#owner.hostFailed(error);
  }

  // --- EndsTurn ---

  /** The relay hears of what happened within its own calls: a failure, or an answer to read. */
  endTurn(): void {
    this.#isDue = false;
    if (this.#closed) return;
    if (this.#failed) this.#owner.hostFailed(this.#socket.error);
    else if (this.#interest & READ) this.#owner.hostReadable();
  }

  // --- guest to resolver ---

  /** Takes some of `bytes[at, end)`: how many, `WOULD_BLOCK` or `FAILED`. */
  #take(bytes: Uint8Array, at: number, end: number): number {
    if (this.#answerWaits) return WOULD_BLOCK;
    if (this.#passing) {
      const outcome = this.#passOn();
      if (outcome < 0) return outcome;
    }
    if (this.#longLeft > 0) {
      const count = this.#socket.write(bytes, at, Math.min(end, at + this.#longLeft));
      if (count > 0) this.#longLeft -= count;
      return count;
    }
    const wanted = this.#kept < LENGTH_BYTES
      ? LENGTH_BYTES - this.#kept
      : LENGTH_BYTES + readUint16(this.#message, 0) - this.#kept;
    const count = Math.min(wanted, end - at);
    this.#message.set(bytes.subarray(at, at + count), this.#kept);
    this.#kept += count;
    if (this.#kept >= LENGTH_BYTES) this.#decide(readUint16(this.#message, 0));
    return count;
  }

  /** What becomes of the message of `length` bytes of which its length is kept, at least. */
  #decide(length: number): void {
    if (length > MAX_LOCAL_QUERY) this.#longLeft = length;
    else if (this.#kept < LENGTH_BYTES + length) return;
    else if (this.#answerLocally(length)) return;
    this.#passing = true;
    this.#passOn();
  }

  /** Answers the message that is kept if it is a query for a local name. */
  #answerLocally(length: number): boolean {
    const query = readDnsQuery(this.#message, LENGTH_BYTES, LENGTH_BYTES + length);
    if (query === null) return false;
    const answer = new Uint8Array(LENGTH_BYTES + MAX_ANSWER);
    const size = encodeLocalDnsAnswer(answer, LENGTH_BYTES, query, this.#gateway);
    if (size === 0) return false;
    this.#kept = 0;
    if (this.#hostEnded) return true;
    writeUint16(answer, 0, size);
    this.#answer = answer.subarray(0, LENGTH_BYTES + size);
    this.#given = 0;
    return true;
  }

  /** Passes on what is kept and then, where the guest has finished, FIN: 0 when that is done, `WOULD_BLOCK` or `FAILED`. */
  #passOn(): number {
    while (this.#passed < this.#kept) {
      const count = this.#socket.write(this.#message, this.#passed, this.#kept);
      if (count === FAILED) {
        this.#failed = true;
        this.#makeDue();
      }
      if (count < 0) return count;
      this.#passed += count;
    }
    this.#kept = this.#passed = 0;
    this.#passing = false;
    if (this.#finishing) this.#socket.closeWrite();
    return 0;
  }

  // --- resolver to guest ---

  get #answerWaits(): boolean {
    return this.#given < this.#answer.length;
  }

  /** Whether the guest has had the resolver's last message whole. One of the gateway's that has begun goes on. */
  get #mayAnswer(): boolean {
    return this.#hostLeft === 0 && this.#hostLength < 0;
  }

  #giveAnswer(bytes: Uint8Array, start: number, end: number): number {
    const part = this.#answer.subarray(this.#given, this.#given + end - start);
    bytes.set(part, start);
    this.#given += part.length;
    return part.length;
  }

  /** Counts the resolver's bytes off its messages. */
  #countOff(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end;) {
      if (this.#hostLeft > 0) {
        const count = Math.min(this.#hostLeft, end - at);
        this.#hostLeft -= count;
        at += count;
      } else if (this.#hostLength < 0) {
        this.#hostLength = bytes[at++]!;
      } else {
        this.#hostLeft = (this.#hostLength << 8) | bytes[at++]!;
        this.#hostLength = -1;
      }
    }
  }

  // --- both ---

  /** The relay's interest as far as this can be acted on, and that of what is kept here. */
  #applyInterest(): void {
    const mayWrite = this.#passing || ((this.#interest & WRITE) !== 0 && !this.#answerWaits);
    this.#socket.setInterest((this.#interest & READ) | (mayWrite && !this.#failed ? WRITE : 0));
    if (this.#answerWaits && this.#mayAnswer && (this.#interest & READ) !== 0) this.#makeDue();
  }

  #makeDue(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#context.due(this);
  }
}
