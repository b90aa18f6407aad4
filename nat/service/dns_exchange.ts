/**
 * One DNS query on its way to the host's resolvers, until an answer comes or time is up.
 *
 * **Order.** Resolvers are asked in turn: the next one when the last has been silent for `DNS_ATTEMPT_MS`, is known not
 * to listen, or says that it cannot or will not answer, as the C library does. What was opened to one resolver stays
 * open until the end, so a late answer of an earlier one is as good. The message goes out as the guest sent it, but for
 * its id, which is drawn at random.
 *
 * **An answer** has the id, the operation and the question of the query (RFC 5452 section 9.1). A resolver that could
 * not read the query may leave the question out. Whatever else comes is counted as `dnsMismatched`.
 *
 * **The end** comes once: with an answer, a failure if no other resolver is left that could do better; or without one,
 * after `DNS_QUERY_MS` or once every resolver is known not to listen.
 *
 * How a resolver is asked is the business of `dns_udp_exchange.ts` and `dns_tcp_exchange.ts`.
 *
 * @module
 */
import {
  checkDns,
  DNS_HEADER_LENGTH,
  DNS_NOERROR,
  DNS_NOTIMP,
  DNS_QR,
  DNS_REFUSED,
  DNS_SERVFAIL,
  dnsFlags,
  dnsId,
  dnsOpcode,
  dnsQuestionCount,
  dnsRcode,
  dnsSetId,
} from "../../net/wire/dns.ts";
import { Timer } from "../base/timers.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import type { Target } from "../rules/translate.ts";
import { type DnsQuery, sameDnsQuestion } from "./dns_query.ts";

/** How long a resolver may be silent before the next one is asked, in milliseconds. */
export const DNS_ATTEMPT_MS = 2000;
/** How long a query may take in all, in milliseconds. */
export const DNS_QUERY_MS = 8000;

/** Who waits for an exchange. */
export interface DnsWaiter {
  /** The answer `bytes[start, end)`, valid until this returns. The exchange is over. */
  dnsAnswered(exchange: DnsExchange, bytes: Uint8Array, start: number, end: number): void;
  /** There is no answer. The exchange is over. */
  dnsUnanswered(exchange: DnsExchange): void;
}

/** What an exchange is made of. */
export interface DnsExchangeOptions {
  /** By which its waiter knows it. */
  readonly key: string;
  /** The query. */
  readonly query: DnsQuery;
  /** Its message, a copy that is the exchange's. */
  readonly message: Uint8Array;
  /** The resolvers, best first; at least one. */
  readonly servers: readonly Target[];
  /** The id to ask with: 16 random bits. */
  readonly id: number;
  /** Who waits. */
  readonly waiter: DnsWaiter;
  /** Whose time the host's work for it takes. */
  readonly payer: object | undefined;
}

/** A query and the resolvers that are asked. */
export abstract class DnsExchange {
  /** By which its waiter knows it. */
  readonly key: string;
  /** Whether the host had no socket for it. */
  exhausted = false;
  /** What it needs of the gateway. */
  protected readonly context: RelayContext;
  /** The message as it goes out. */
  protected readonly message: Uint8Array;

  #query: DnsQuery;
  #servers: readonly Target[];
  #waiter: DnsWaiter;
  /** How many resolvers were asked: those before it. */
  #asked = 0;
  /** Those of whom nothing more is expected. */
  #failed = new Set<Target>();
  #timer = new Timer(this);
  #end: number;
  #over = false;

  /** An exchange that has not begun. */
  constructor(context: RelayContext, options: DnsExchangeOptions) {
    this.context = context;
    this.key = options.key;
    this.payer = options.payer;
    this.message = options.message;
    this.#query = options.query;
    this.#servers = options.servers;
    this.#waiter = options.waiter;
    this.#end = context.now() + DNS_QUERY_MS;
    dnsSetId(this.message, 0, options.id);
  }

  /** Asks `server`, or asks it again. Returns whether the host could. */
  protected abstract send(server: Target): boolean;

  /** Closes what is open. */
  protected abstract release(): void;

  /** Whose time the host's work for it takes. */
  readonly payer: object | undefined;

  /** The resolvers that were asked so far. */
  get asked(): readonly Target[] {
    return this.#servers.slice(0, this.#asked);
  }

  /** Asks the first resolver. The end may come before this returns. */
  start(): void {
    this.#askNext();
  }

  /** Asks the resolver that was asked last again: the guest has repeated itself. */
  repeat(): void {
    this.send(this.#servers[this.#asked - 1]!);
  }

  /** Whether `message`, a query of the guest, is the one that is under way, its id apart. */
  isFor(message: Uint8Array): boolean {
    if (message.length !== this.message.length) return false;
    for (let i = 2; i < message.length; i++) if (message[i] !== this.message[i]) return false;
    return true;
  }

  /** Ends it without telling anybody. */
  abort(): void {
    this.#over = true;
    this.context.timers.cancel(this.#timer);
    this.release();
  }

  /** A resolver was silent for too long, or all of them were. */
  timerFired(now: number): void {
    if (now >= this.#end) this.#giveUp();
    else this.#askNext();
  }

  /** What may be the answer of `server` came; `undefined`: of another. Returns whether it was. */
  protected heard(server: Target | undefined, bytes: Uint8Array, start: number, end: number): boolean {
    if (server === undefined || !this.#isAnswer(bytes, start, end)) {
      this.context.counters.dnsMismatched++;
      return false;
    }
    const others = this.#servers.length - this.#failed.size - (this.#failed.has(server) ? 0 : 1);
    if (others > 0 && isFailure(dnsRcode(dnsFlags(bytes, start)))) {
      this.serverFailed(server);
      return true;
    }
    this.abort();
    this.#waiter.dnsAnswered(this, bytes, start, end);
    return true;
  }

  /** Nothing more is expected of `server`. */
  protected serverFailed(server: Target): void {
    if (this.#over) return;
    this.#failed.add(server);
    if (server === this.#servers[this.#asked - 1] || this.#failed.size === this.#asked) this.#askNext();
  }

  #askNext(): void {
    while (this.#asked < this.#servers.length) {
      const server = this.#servers[this.#asked++]!;
      if (this.send(server)) return this.#arm();
      this.#failed.add(server);
    }
    if (this.#failed.size < this.#servers.length) this.#arm();
    else this.#giveUp();
  }

  #arm(): void {
    const isLast = this.#asked === this.#servers.length;
    const next = isLast ? this.#end : Math.min(this.#end, this.context.now() + DNS_ATTEMPT_MS);
    this.context.timers.schedule(this.#timer, next);
  }

  #giveUp(): void {
    this.abort();
    this.#waiter.dnsUnanswered(this);
  }

  #isAnswer(bytes: Uint8Array, start: number, end: number): boolean {
    if (!checkDns(bytes, start, end) || dnsId(bytes, start) !== dnsId(this.message, 0)) return false;
    const flags = dnsFlags(bytes, start), { question } = this.#query;
    if (!(flags & DNS_QR) || dnsOpcode(flags) !== dnsOpcode(this.#query.flags)) return false;
    const count = dnsQuestionCount(bytes, start);
    if (question.length === 0) return true;
    if (count === 0) return dnsRcode(flags) !== DNS_NOERROR || dnsOpcode(flags) !== 0;
    return count === 1 && sameDnsQuestion(question, bytes, start + DNS_HEADER_LENGTH);
  }
}

/** Whether another resolver might do better. */
function isFailure(rcode: number): boolean {
  return rcode === DNS_SERVFAIL || rcode === DNS_NOTIMP || rcode === DNS_REFUSED;
}
