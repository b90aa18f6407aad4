/**
 * DNS at the gateway's .3 and ::3: local names, a cache, and the host's resolvers behind it, under the rules.
 *
 * **Goal.** A guest asks one address, whatever resolvers the host has and however often they change. Unless names
 * decide, nothing of a message is understood that need not be: what the gateway cannot answer is passed on byte by
 * byte, and so is what comes back.
 *
 * **A query** (`dns_query.ts`) goes, in this order,
 * 1. to the gateway itself, if it is for a local name (`dns_local.ts`), or one of NAT64 (`dns64.ts`);
 * 2. to the rules, which may forbid that it is asked (`dns_control.ts`, `dns_refusal.ts`);
 * 3. to the cache (`dns_cache.ts`), which is empty again when the host's resolvers have changed;
 * 4. to an exchange that is under way for the same question, so that no question is open twice (RFC 5452 section 5);
 * 5. to an exchange of its own (`dns_exchange.ts`), over the transport by which the guest asked.
 *
 * Only standard queries are passed on: NOTIFY, UPDATE, STATUS and every other operation are answered with NOTIMP, so
 * that no guest changes a zone of the host's network. So are transfers of zones, whose answers are many messages (RFC
 * 5936). While names decide, a query is also made anew, so that a name which may be asked is all that it carries: what
 * is no single question of class IN, or broken, gets FORMERR.
 *
 * **An answer** is bound and filtered for each guest that gets it (`dns_control.ts`); the cache keeps what resolvers
 * have said. It gets the guest's id and, where it may be one of several guests' or of the cache, the question as this
 * one asked it: a guest that mixes upper and lower case to recognise forgeries finds its own letters. An answer larger
 * than the guest takes over UDP, which its query says, is replaced by an empty one with the flag TC, and the guest asks
 * over TCP. One that the guest takes and its link does not carry whole goes in fragments.
 *
 * **NAT64.** If a name has no IPv6 address, the exchange is followed by one for its IPv4 addresses, under the same key,
 * and what follows from both is the answer (`dns64.ts`). If nothing does, it is what the first exchange has found. The
 * name of an address behind the prefix is asked for as that of the IPv4 address inside (`dns64_names.ts`).
 *
 * **Failure.** Where there is no resolver, or none answers in time, the guest gets SERVFAIL, which is not kept.
 *
 * **Records.** If what happens cannot be recorded, a query gets SERVFAIL too.
 *
 * **Time.** None is measured here: exchanges have a timer each, and the guest's repetitions are passed on.
 *
 * **Limits.** `MAX_DNS_PENDING` exchanges, for `MAX_DNS_WAITERS` each. All guests of a gateway share one cache and
 * these limits. If all exchanges are under way, the guest that began the most gives up its oldest, whose askers get
 * SERVFAIL; so the names that one guest asks never keep another from asking. A guest that has the most itself gives one
 * up only if a resolver has been silent about it for `DNS_ATTEMPT_MS`: a flood of names is not passed on faster than
 * that. Else the query is dropped, and the guest will repeat it. Of those that wait for one exchange, the guest with
 * the most gives way.
 *
 * **Over TCP** a guest's connection ends here (`dns_stream.ts`); its queries meet the same cache, limits and resolvers.
 * If one has no room among the exchanges it gets SERVFAIL, because TCP does not repeat it.
 *
 * @module
 */
import { formatEndpoint, type IpAddress } from "../../net/wire/address.ts";
import {
  DNS_FORMERR,
  DNS_HEADER_LENGTH,
  DNS_NAME_MAX,
  DNS_NOTIMP,
  DNS_PORT,
  DNS_SERVFAIL,
  DNS_TC,
  DNS_TYPE_AXFR,
  DNS_TYPE_IXFR,
  dnsFlags,
  dnsOpcode,
  dnsQuestionCount,
  dnsSetId,
} from "../../net/wire/dns.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import type { DropReason } from "../base/counters.ts";
import type { Connector, Records, RelayContext } from "../flow/relay_context.ts";
import type { GuestSide } from "../flow/flow.ts";
import { greediest } from "../flow/quota.ts";
import type { Packet } from "../ip/packet.ts";
import type { Rule } from "../rules/rule.ts";
import type { Target, TranslationRules } from "../rules/translate.ts";
import {
  DNS64_MOST,
  type DnsBytes,
  encodeDns64Answer,
  encodeIpv4OnlyAnswer,
  ipv4QueryOf,
  isForDns64,
  lacksIpv6,
  lackTtl,
} from "./dns64.ts";
import { encodeIpv4NameAnswer, ipv4NameQueryOf } from "./dns64_names.ts";
import {
  type Asker,
  describeAnswer,
  type DnsClient,
  factsOf,
  FORWARDED,
  isSameAsker,
  LOCAL,
  NOTHING,
  type Outcome,
  REFUSED,
  UNJUDGED,
} from "./dns_asker.ts";
import { DnsCache } from "./dns_cache.ts";
import { NameControl, ruleName } from "./dns_control.ts";
import { DNS_ATTEMPT_MS, type DnsExchange, type DnsExchangeOptions, type DnsWaiter } from "./dns_exchange.ts";
import { encodeLocalDnsAnswer } from "./dns_local.ts";
import { DnsStream } from "./dns_stream.ts";
import { DnsTcpExchange } from "./dns_tcp_exchange.ts";
import { DnsUdpExchange } from "./dns_udp_exchange.ts";
import {
  type DnsQuery,
  encodeDnsAnswer,
  encodeDnsQuery,
  encodeTruncatedDnsAnswer,
  isDnsInternet,
  plainDnsQuery,
  readDnsQuery,
  readDnsQueryHeader,
} from "./dns_query.ts";
import { encodeBadVersionAnswer, encodeBlockedAnswer, encodeMadeAnswer, refusalText } from "./dns_refusal.ts";

/** Exchanges that may be under way at once. */
export const MAX_DNS_PENDING = 256;
/** Guest queries that may wait for one exchange. */
export const MAX_DNS_WAITERS = 32;

/** What the service is told once. */
export interface DnsServiceOptions {
  /** The gateway's addresses, which local names stand for, at most one of each family. */
  readonly gateways: readonly IpAddress[];
  /** Whether guests reach IPv4 by NAT64. Default false. */
  readonly nat64?: boolean;
  /** Gives an unpredictable unsigned 32-bit number. */
  readonly random: () => number;
  /** What addresses mean, and the rules, as they are now. */
  readonly rules: () => TranslationRules;
  /** Whether rules only report. */
  readonly reportOnly: boolean;
  /** Whether what happens can be recorded; if not, nothing is answered. */
  readonly records: Records;
  /** The resolvers as they are now, best first; the same array as long as they have not changed. */
  readonly servers: () => readonly Target[];
}

/** Bytes of a question and an OPT record behind it, at most. */
const MOST_QUESTION = DNS_NAME_MAX + 4 + 11;
const TOO_MANY = ["dnsPendingLimit", "too many are under way"] as const;

/** Writes an answer that follows from `found` at `into[0]`, `DNS64_MOST` bytes at most, and returns its length. */
type AnswerMaker = (into: Uint8Array, found: DnsBytes) => number;

/** An exchange and who waits for it. */
interface Pending {
  readonly exchange: DnsExchange;
  readonly askers: Asker[];
  /** The guest that is charged for it: the one that asked first. */
  readonly owner: GuestSide;
  readonly beganAt: number;
  /** Writes what the answer is to those who wait, and returns its length, if something else is being asked for. */
  readonly make: AnswerMaker | null;
}

/** The DNS service of a gateway. */
export class DnsService implements DnsWaiter {
  #context: RelayContext;
  #options: DnsServiceOptions;
  #cache = new DnsCache();
  #pending = new Map<string, Pending>();
  #servers: readonly Target[] = [];
  readonly #names: NameControl;

  /** A service with nothing kept and nothing under way. */
  constructor(context: RelayContext, options: DnsServiceOptions) {
    this.#context = context;
    this.#options = options;
    const { rules, reportOnly } = options;
    this.#names = new NameControl({ rules, reportOnly, now: () => context.now() });
  }

  /** Answers kept, for tests and measurements. */
  get cached(): number {
    return this.#cache.size;
  }

  /** Exchanges under way. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Takes a query. Returns why it has no answer, or null: it has one, now or later. */
  ask(packet: Pick<Packet, "bytes" | "payload" | "end">, client: DnsClient): DropReason | null {
    const { bytes, payload, end } = packet, read = readDnsQuery(bytes, payload, end), { namesDecide } = this.#names;
    const header = read === null && namesDecide ? readDnsQueryHeader(bytes, payload, end) : null;
    if (header !== null) return this.#refuseForm({ client, query: header, verdict: UNJUDGED });
    if (read === null) return "dnsMalformed";
    const query = namesDecide && isDnsInternet(read) ? plainDnsQuery(read) : read;
    const asker = { client, query, verdict: UNJUDGED };
    if (!this.#options.records.isAvailable) return this.#refuseUnrecorded(asker);
    this.#context.events.emit("dnsAsked", () => ({ type: "dnsAsked", ...factsOf(asker) }));
    const made = this.#answerHere(asker, read);
    if (made > 0) return this.#send(asker, made, LOCAL);
    const verdict = this.#names.judge(client.guest.bindings, query), judged = { client, query, verdict };
    if (verdict.does !== "ask") return this.#answerByRule(judged);
    return this.#askHost(judged, () => namesDecide ? messageOf(query) : bytes.slice(payload, end));
  }

  /** Writes what the gateway says by itself to a query, which it has read as `read`; 0: nothing. */
  #answerHere({ query }: Asker, read: DnsQuery): number {
    const into = this.#context.tcp.scratch, at = SEGMENT_HEADROOM, { counters } = this.#context;
    if (dnsOpcode(read.flags) !== 0 || query.type === DNS_TYPE_AXFR || query.type === DNS_TYPE_IXFR) {
      counters.dnsNotQuery++;
      return encodeDnsAnswer(into, at, read, { flags: DNS_NOTIMP });
    }
    if (this.#names.namesDecide) {
      if (read.isBroken || !isDnsInternet(read)) {
        counters.dnsMalformed++;
        return encodeDnsAnswer(into, at, read, { flags: DNS_FORMERR });
      }
      if (read.ednsVersion !== 0) return encodeBadVersionAnswer(into, at, read);
    }
    return encodeLocalDnsAnswer(into, at, query, this.#options.gateways) ||
      (this.#options.nat64 ? encodeIpv4OnlyAnswer(into, at, query) : 0);
  }

  #answerByRule(asker: Asker): null {
    const { query, verdict: { does, rule } } = asker, into = this.#context.tcp.scratch;
    if (does === "refuse") return this.#refuse(asker, refusalText(ruleName(query.name), rule), REFUSED);
    return this.#send(asker, encodeMadeAnswer(into, SEGMENT_HEADROOM, query, does === "empty"), LOCAL);
  }

  /** Answers that there is no such name, and says why. */
  #refuse(asker: Asker, text: string, outcome: Outcome): null {
    const { query, client: { guest, stream } } = asker, into = this.#context.tcp.scratch;
    this.#context.counters.dnsRefused++;
    this.#context.log.warn(() => `Refused DNS of guest ${guest.number}: ${text}`);
    const limit = stream === undefined ? query.sizeLimit : Infinity;
    return this.#send(asker, encodeBlockedAnswer(into, SEGMENT_HEADROOM, query, { text, limit }), outcome);
  }

  /** Takes a query that rules let be asked; `message` makes what resolvers get. */
  #askHost(asker: Asker, message: () => Uint8Array): DropReason | null {
    const servers = this.#options.servers(), { query, client } = asker;
    if (servers !== this.#servers) this.#cache.clear();
    this.#servers = servers;
    if (servers.length === 0) return this.#fail([asker], "dnsUnanswered", "the host has no resolver");
    const into = this.#context.tcp.scratch;
    const known = query.key === null ? 0 : this.#cache.read(query.key, this.#context.now(), into, SEGMENT_HEADROOM);
    if (known > 0) return this.#answer(asker, known);
    const refusal = this.#lookUp(asker, message());
    return refusal === null || client.stream === undefined ? refusal : this.#fail([asker], ...TOO_MANY);
  }

  /** Takes the connections of a guest that asks over TCP, in the place of the host. */
  connector(client: DnsClient): Connector {
    return {
      connectTcp: (_target, owner) => {
        const stream: DnsStream = new DnsStream(this.#context, owner, {
          dnsStreamAsked: (message) => {
            const refusal = this.ask({ bytes: message, payload: 0, end: message.length }, { ...client, stream });
            if (refusal !== null) this.#context.counters[refusal]++;
            return refusal === null;
          },
          dnsStreamClosed: () => this.#forget((other) => other.stream === stream),
        });
        return stream;
      },
    };
  }

  /** A guest is gone: nobody waits for its answers. */
  forget(guest: GuestSide): void {
    this.#forget((client) => client.guest === guest);
  }

  #forget(isGone: (client: DnsClient) => boolean): void {
    for (const [key, { exchange, askers }] of [...this.#pending]) {
      const left = askers.filter(({ client }) => !isGone(client));
      if (left.length === askers.length) continue;
      for (const asker of askers) if (isGone(asker.client)) this.#tellGone(asker);
      askers.splice(0, askers.length, ...left);
      if (left.length > 0) continue;
      exchange.abort();
      this.#pending.delete(key);
    }
  }

  /** What was passed on is told though nobody waits for the answer any more. */
  #tellGone(asker: Asker): void {
    this.#context.events.emit("dnsAnswered", () => describeAnswer(asker, null, FORWARDED));
  }

  /** A resolver has answered. */
  dnsAnswered(exchange: DnsExchange, bytes: Uint8Array, start: number, end: number): void {
    const pending = this.#take(exchange), { make } = pending, { query } = pending.askers[0]!;
    if (make !== null) return this.#answerMade(pending, make, { bytes, start, end });
    if (this.#options.nat64 && isForDns64(query) && lacksIpv6({ bytes, start, end })) {
      return this.#askIpv4(pending, bytes.slice(start, end));
    }
    this.#answerAll(pending.askers, bytes, start, end);
  }

  /** A name has no IPv6 address, as `withoutIpv6` says: asks for its IPv4 addresses, in the place of the exchange. */
  #askIpv4({ exchange: { key }, askers, owner, beganAt }: Pending, withoutIpv6: Uint8Array): void {
    const { query } = askers[0]!, asked = ipv4QueryOf(query), end = withoutIpv6.length;
    const ttl = lackTtl({ bytes: withoutIpv6, start: 0, end });
    const make: AnswerMaker = (into, ipv4) => {
      const length = encodeDns64Answer(into, 0, { query, ipv4, ttl });
      if (length === 0) into.set(withoutIpv6);
      return length > 0 ? length : end;
    };
    const exchange = this.#exchange(askers[0]!, { key, query: asked, message: messageOf(asked) });
    this.#pending.set(key, { exchange, askers, owner, beganAt, make });
    exchange.start();
  }

  #answerMade({ askers }: Pending, make: AnswerMaker, found: DnsBytes): void {
    if (dnsFlags(found.bytes, found.start) & DNS_TC) {
      for (const asker of askers) this.#send(asker, this.#truncate(asker.query), FORWARDED);
      return;
    }
    const answer = new Uint8Array(DNS64_MOST);
    this.#answerAll(askers, answer, 0, make(answer, found));
  }

  #answerAll(askers: readonly Asker[], bytes: Uint8Array, start: number, end: number): void {
    const { key, type } = askers[0]!.query;
    if (key !== null) this.#cache.put(key, { bytes, start, end, type }, this.#context.now());
    for (const asker of askers) {
      this.#context.tcp.scratch.set(bytes.subarray(start, end), SEGMENT_HEADROOM);
      this.#answer(asker, end - start);
    }
  }

  /** No resolver has answered. */
  dnsUnanswered(exchange: DnsExchange): void {
    const asked = exchange.asked.map(({ address, port }) => formatEndpoint(address, port)).join(", ");
    const cause = exchange.exhausted ? "the host has no socket left" : `no answer from ${asked}`;
    this.#fail(this.#take(exchange).askers, exchange.exhausted ? "hostExhausted" : "dnsUnanswered", cause);
  }

  #lookUp(asker: Asker, message: Uint8Array): DropReason | null {
    const { client, query } = asker;
    // A query without a key is told from others by who asked it; such a client has one under each id.
    const about = query.key ?? `${client.guest.number} ${client.key} ${query.id}`;
    const key = client.stream === undefined ? about : `tcp ${about}`;
    const pending = this.#pending.get(key);
    if (pending !== undefined) {
      if (query.key !== null || pending.exchange.isFor(message)) return this.#join(pending, asker);
      pending.exchange.abort();
      this.#pending.delete(key);
    }
    if (this.#pending.size >= MAX_DNS_PENDING && !this.#makeRoom(client.guest)) return "dnsPendingLimit";
    const other = this.#options.nat64 ? ipv4NameQueryOf(query) : null;
    const make: AnswerMaker | null = other && ((into, found) => encodeIpv4NameAnswer(into, 0, query, found));
    const asked = other === null ? { query, message } : { query: other, message: messageOf(other) };
    const exchange = this.#exchange(asker, { key, ...asked }), beganAt = this.#context.now();
    this.#pending.set(key, { exchange, askers: [asker], owner: client.guest, beganAt, make });
    exchange.start();
    return null;
  }

  /** An exchange over the transport by which `client` asked. */
  #exchange({ client }: Asker, about: Pick<DnsExchangeOptions, "key" | "query" | "message">): DnsExchange {
    const id = this.#options.random() & 0xffff, servers = this.#servers;
    const options = { ...about, servers, id, waiter: this, payer: client.guest.payer };
    return client.stream === undefined
      ? new DnsUdpExchange(this.#context, options)
      : new DnsTcpExchange(this.#context, options);
  }

  /** One more waits for what is under way; one that waits already wants it to be asked again. */
  #join({ exchange, askers }: Pending, asker: Asker): DropReason | null {
    // Over TCP nobody repeats: each query wants an answer of its own.
    const repeated = asker.client.stream === undefined ? askers.findIndex((other) => isSameAsker(other, asker)) : -1;
    if (repeated >= 0) {
      askers[repeated] = asker;
      exchange.repeat();
      return null;
    }
    if (askers.length >= MAX_DNS_WAITERS) {
      const most = greediest(countByGuest(askers.map(({ client }) => client.guest)), asker.client.guest);
      if (most === asker.client.guest) return "dnsPendingLimit";
      this.#fail(askers.splice(askers.findIndex(({ client }) => client.guest === most), 1), ...TOO_MANY);
    }
    askers.push(asker);
    return null;
  }

  /** Ends an exchange, so that `guest` can begin one; returns false if it has to wait. */
  #makeRoom(guest: GuestSide): boolean {
    const all = [...this.#pending.values()], most = greediest(countByGuest(all.map(({ owner }) => owner)), guest);
    const oldest = all.find(({ owner }) => owner === most)!;
    if (most === guest && this.#context.now() - oldest.beganAt < DNS_ATTEMPT_MS) return false;
    oldest.exchange.abort();
    this.#fail(this.#take(oldest.exchange).askers, ...TOO_MANY);
    return true;
  }

  /** Takes an exchange that is over out. */
  #take({ key }: DnsExchange): Pending {
    const pending = this.#pending.get(key)!;
    this.#pending.delete(key);
    return pending;
  }

  /** Sends what the guest gets of the answer of `length` bytes that stands in the scratch buffer. */
  #answer(asker: Asker, length: number): null {
    const { query, client: { guest, stream } } = asker, into = this.#context.tcp.scratch, start = SEGMENT_HEADROOM;
    const taken = this.#names.take(guest.bindings, query, { bytes: into, start, end: start + length });
    switch (taken.does) {
      case "pass":
        return this.#pass(asker, length, outcomeOf(NOTHING, taken.denied));
      case "replace": {
        const { message, removed } = taken, outcome = outcomeOf(removed, taken.denied);
        if (message === null && stream !== undefined) return this.#fail([asker], "dnsUnanswered", "it grew too large");
        if (message === null) return this.#send(asker, this.#truncate(query), outcome);
        into.set(message, start);
        return this.#pass(asker, message.length, outcome);
      }
      case "empty":
        return this.#send(asker, encodeMadeAnswer(into, start, query, true), { ...FORWARDED, removed: taken.removed });
      case "refuse":
        return this.#refuse(asker, refusalText(ruleName(query.name), taken.rule, taken.name), {
          ...REFUSED,
          rule: taken.rule,
        });
      case "fail":
        return this.#fail([asker], "dnsUnanswered", "the resolver's answer is malformed");
    }
  }

  /** Sends the answer of `length` bytes that stands in the scratch buffer, with the guest's id and letters. */
  #pass(asker: Asker, length: number, outcome: Outcome): null {
    const { query } = asker, into = this.#context.tcp.scratch, at = SEGMENT_HEADROOM;
    const isTooLarge = asker.client.stream === undefined && query.key !== null && length > query.sizeLimit;
    if (isTooLarge) return this.#send(asker, this.#truncate(query), outcome);
    dnsSetId(into, at, query.id);
    if (query.key !== null && dnsQuestionCount(into, at) === 1) into.set(query.question, at + DNS_HEADER_LENGTH);
    return this.#send(asker, length, outcome);
  }

  /** Answers a message that is no query, of which the header could be read. */
  #refuseForm(asker: Asker): null {
    this.#context.counters.dnsMalformed++;
    const into = this.#context.tcp.scratch;
    return this.#send(asker, encodeDnsAnswer(into, SEGMENT_HEADROOM, asker.query, { flags: DNS_FORMERR }), LOCAL);
  }

  #fail(askers: readonly Asker[], reason: DropReason, cause: string): null {
    this.#context.counters[reason]++;
    this.#context.log.warn(() => `DNS query of ${askers[0]!.client.key.guestAddress} failed: ${cause}`);
    const into = this.#context.tcp.scratch, flags = DNS_SERVFAIL;
    for (const asker of askers) {
      this.#send(asker, encodeDnsAnswer(into, SEGMENT_HEADROOM, asker.query, { flags }), FORWARDED);
    }
    return null;
  }

  /** Sends what stands in the scratch buffer. */
  #send(asker: Asker, length: number, outcome: Outcome): null {
    const into = this.#context.tcp.scratch, at = SEGMENT_HEADROOM;
    const answer = { bytes: into, start: at, end: at + length };
    this.#context.events.emit("dnsAnswered", () => describeAnswer(asker, answer, outcome));
    return this.#options.records.isAvailable ? this.#deliver(asker, length) : this.#refuseUnrecorded(asker);
  }

  /** What a query was answered cannot be recorded: nobody gets it. */
  #refuseUnrecorded(asker: Asker): null {
    this.#context.counters.auditUnavailable++;
    this.#context.events.emit("dnsAnswered", () => ({ ...describeAnswer(asker, null, REFUSED), isUnrecorded: true }));
    const into = this.#context.tcp.scratch;
    return this.#deliver(asker, encodeDnsAnswer(into, SEGMENT_HEADROOM, asker.query, { flags: DNS_SERVFAIL }));
  }

  #deliver(asker: Asker, length: number): null {
    const into = this.#context.tcp.scratch, at = SEGMENT_HEADROOM, { stream, path, key } = asker.client;
    if (stream !== undefined) stream.answer(into, at, at + length);
    else path.udp(into, at, at + length, DNS_PORT, key.guestPort);
    return null;
  }

  #truncate(query: DnsQuery): number {
    return encodeTruncatedDnsAnswer(this.#context.tcp.scratch, SEGMENT_HEADROOM, query);
  }
}

/** What events say of an answer from which `removed` went, and that `denied` would have refused. */
function outcomeOf(removed: readonly string[], denied: Rule | null): Outcome {
  if (denied !== null) return { ...FORWARDED, removed, rule: denied, wouldRefuse: true };
  return removed.length === 0 ? FORWARDED : { ...FORWARDED, removed };
}

/** A query with a key as a message of its own. */
function messageOf(query: DnsQuery): Uint8Array {
  const message = new Uint8Array(DNS_HEADER_LENGTH + MOST_QUESTION);
  return message.slice(0, encodeDnsQuery(message, 0, query));
}

function countByGuest(guests: readonly GuestSide[]): Map<GuestSide, number> {
  const counts = new Map<GuestSide, number>();
  for (const guest of guests) counts.set(guest, (counts.get(guest) ?? 0) + 1);
  return counts;
}
