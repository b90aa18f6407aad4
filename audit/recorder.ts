/**
 * Makes records of a gateway's events, and sees to it that nothing happens that is not recorded.
 *
 * **Complete, or the guest stops.** A record is handed to its sinks while the event is delivered, so that of a flow is
 * written before the gateway connects. If one of the sinks cannot take more, `isAvailable` is false: the gateway then
 * begins no flow and passes no query on. That is said once. Flows that are open go on, and what is recorded of them
 * waits. As soon as everything can be written again, a `gap` record says from when to when, and how much was refused.
 *
 * **Like refusals** of a second are one record with a `count`, since a program that is refused tries again at once. It
 * is written when the second is over, with the time of the first. One that ends a flow, or would have refused it, has
 * its place among the records around it, and is written by itself.
 *
 * **Datagrams**: a mapping of UDP or ICMP echo is no flow of the audit, each of its peers is one.
 *
 * **Time.** Nothing here waits. `turn` is called at the end of each turn of the gateway, and says when it wants to be
 * called though nothing happens: when a second is over, or to try again what could not be written.
 *
 * @module
 */
import { delay } from "@std/async";
import type { DnsAnswered, EventListener, EventOf, FlowRefused, PeerOpened } from "../nat/flow/events.ts";
import type { FlowInfo } from "../nat/flow/flow.ts";
import { type Logger, SILENT } from "../nat/base/logger.ts";
import type { Rule } from "../nat/rules/rule.ts";
import type { FlowRefusal, RefusalCause } from "../nat/rules/verdict.ts";
import {
  type AuditRecord,
  dnsTypeText,
  type EndFacts,
  type FlowEnds,
  MOST_NAMES,
  RECORD_VERSION,
  type RecordFacts,
  type RefuseFacts,
  type RefuseReason,
  type RuleNote,
  type StartFacts,
  timeText,
} from "./records.ts";
import type { RecordSink } from "./sink.ts";

/** For how long like refusals are put together. */
export const LIKE_MS = 1000;
/** How many unlike refusals wait for that at once. */
export const MOST_UNLIKE = 1024;
/** How soon it is tried again to write what could not be written. */
export const RETRY_MS = 100;
/** How soon, while a reader is only slow. */
const SLOW_RETRY_MS = 10;
/** How long a reader may take at the end. */
export const END_MS = 2000;

/** What a recorder needs. */
export interface RecorderOptions {
  /** Where records go. They belong to the recorder from now on. */
  readonly sinks: readonly RecordSink[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Milliseconds since 1970 began (UTC). Default the clock of the system. */
  readonly wallClock?: () => number;
  /** Names this gateway's life. Default a random one. */
  readonly run?: string;
  /** Where it is said that records cannot be written. */
  readonly logger?: Logger;
  /** Where the gateway itself answers connections, as `ADDRESS:PORT`: its DNS. */
  readonly own?: readonly string[];
}

/** Refusals that are alike. */
interface Likeness {
  readonly guest: number;
  readonly time: string;
  readonly facts: RefuseFacts;
  readonly due: number;
  count: number;
}

/** The recorder of one gateway. */
export class Recorder implements AsyncDisposable {
  readonly #options: RecorderOptions;
  readonly #logger: Logger;
  readonly #run: string;
  /** What of a flow that is open is needed again. */
  readonly #open = new Map<number, Pick<FlowEnds, "port" | "names">>();
  readonly #verified = new Set<number>();
  readonly #like = new Map<string, Likeness>();
  readonly #totals = { flows: 0, refused: 0, wouldRefuse: 0, queries: 0, bytesFromGuest: 0, bytesToGuest: 0, gaps: 0 };
  #seq = 0;
  /** Since when records cannot be written, how much was refused and what was lost meanwhile. */
  #gap: { readonly from: string; refused: number; lost: number } | null = null;
  #retryAt = Infinity;
  #began = false;
  #ended = false;

  /** A recorder that has recorded nothing. */
  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#logger = options.logger ?? SILENT;
    this.#run = options.run ?? crypto.randomUUID();
  }

  /** Whether what begins now will be recorded. */
  get isAvailable(): boolean {
    if (this.#gap !== null && this.#options.now() >= this.#retryAt) this.#retry();
    return this.#gap === null;
  }

  /** To be given to `Events.listen`. */
  readonly listener: EventListener = (type, make) => {
    switch (type) {
      case "flowOpened":
        return this.#flowOpened(make() as EventOf<"flowOpened">);
      case "peerOpened":
        return this.#peerOpened(make() as EventOf<"peerOpened">);
      case "flowVerified":
        return this.#flowVerified(make() as EventOf<"flowVerified">);
      case "flowRefused":
        return this.#flowRefused(make() as EventOf<"flowRefused">);
      case "flowEnded": {
        const { flow, ending } = make() as EventOf<"flowEnded">;
        return this.#closed(flow.guestNumber, { ...flow, durationMs: flow.ageMs, ending });
      }
      case "peerEnded": {
        const peer = make() as EventOf<"peerEnded">;
        return this.#closed(peer.guestNumber, peer);
      }
      case "dnsAnswered":
        return this.#dnsAnswered(make() as EventOf<"dnsAnswered">);
      case "rulesChanged": {
        const { from, to, ended } = make() as EventOf<"rulesChanged">;
        return this.#write(undefined, { event: "rules", from, to, ended });
      }
      default:
        return;
    }
  };

  /** Records that the gateway begins. Throws an `Error` if that cannot be written: then it is not to begin. */
  start(facts: StartFacts): void {
    this.#write(undefined, facts);
    if (this.#gap !== null) throw new Error(`Cannot write the audit: ${this.#problem}`);
    this.#began = true;
  }

  /** Ends a turn at `now`. Returns when it wants to be called again. */
  turn(now: number): number {
    let next = Infinity;
    for (const [key, like] of this.#like) {
      // They became due in the order in which they came.
      if (like.due > now) {
        next = like.due;
        break;
      }
      this.#writeLike(key, like);
    }
    if (now >= this.#retryAt) this.#retry();
    return Math.min(next, this.#retryAt);
  }

  /**
   * Records that the gateway has ended, and closes the sinks. A reader that is slow has `END_MS` for what it has not
   * read; what it leaves is lost, and that is said.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    for (const [key, like] of this.#like) this.#writeLike(key, like);
    if (this.#gap !== null) this.#retry();
    const end: EndFacts = { event: "end", ...this.#totals }, until = this.#options.now() + (this.#began ? END_MS : 0);
    if (this.#seq > 0) this.#write(undefined, end);
    while (this.#sinks.some(({ waits }) => waits) && this.#options.now() < until) {
      await delay(SLOW_RETRY_MS);
      this.#retry();
    }
    if (this.#sinks.some(({ waits }) => waits)) {
      this.#logger.warn(`The end of the audit could not be written: ${this.#problem}`);
    }
    for (const sink of this.#sinks) sink[Symbol.dispose]();
  }

  get #sinks(): readonly RecordSink[] {
    return this.#options.sinks;
  }

  #flowOpened({ flow, names, rule, wouldRefuse }: EventOf<"flowOpened">): void {
    const { number, protocol, guestNumber, openedBy } = flow;
    // A mapping is told by its peers.
    if (protocol !== "tcp" && openedBy === "guest") return;
    const isOwn = this.#options.own?.includes(flow.target) ?? false, host = isOwn ? null : flow.host;
    this.#opened({ number, guestNumber, host, by: openedBy, rule, wouldRefuse }, endsOf(flow, names));
  }

  #peerOpened(peer: PeerOpened): void {
    const { protocol, guest, address, port, names } = peer;
    const ends = { protocol, source: guest, address, port: portOf(protocol, port), names: shown(names) };
    this.#opened({ ...peer, by: "guest" }, ends);
  }

  #opened(
    { number, guestNumber, host, by, rule, wouldRefuse }: {
      number: number;
      guestNumber: number;
      host: string | null;
      by: "guest" | "host";
      rule: Rule | null;
      wouldRefuse: FlowRefusal | null;
    },
    ends: FlowEnds,
  ): void {
    this.#open.set(number, ends);
    this.#totals.flows++;
    if (wouldRefuse !== null) {
      const { cause, rule, names } = wouldRefuse;
      this.#totals.wouldRefuse++;
      this.#write(guestNumber, {
        event: "refuse",
        ...ends,
        names: names.length > 0 ? shown(names) : ends.names,
        reason: cause as RefuseReason,
        rule: noteOf(rule),
        flow: number,
        count: 1,
        wouldRefuse: true,
      });
    }
    this.#write(guestNumber, { event: "open", flow: number, ...ends, host, rule: noteOf(rule), by });
  }

  #flowVerified({ number, guestNumber, via, name, port, ech }: EventOf<"flowVerified">): void {
    const open = this.#open.get(number);
    if (open === undefined) return;
    // What is not the flow's own host is what a proxy is asked for.
    const isOwn = port === open.port && (open.names.length >= MOST_NAMES || open.names.includes(name));
    this.#verified.add(number);
    this.#write(guestNumber, { event: "verified", flow: number, via, name, ...(!isOwn && { port }), ech });
  }

  #flowRefused(event: FlowRefused): void {
    const { guestNumber, cause, flow, name, wouldRefuse } = event;
    if (!isReason(cause)) return this.#refusedUnrecorded();
    // That is told with the number of the flow, when it is opened.
    if (wouldRefuse && flow === undefined) return;
    const protocol = protocolOf(event.protocol);
    const facts: RefuseFacts = {
      event: "refuse",
      protocol,
      source: event.guest,
      address: event.address,
      port: portOf(protocol, event.port),
      names: shown(event.names),
      reason: cause,
      rule: noteOf(event.ruleDecided),
      ...(flow !== undefined && { flow }),
      ...(name !== undefined && { name }),
      count: 1,
      ...(wouldRefuse && { wouldRefuse }),
    };
    if (wouldRefuse) this.#totals.wouldRefuse++;
    else this.#totals.refused++;
    if (flow !== undefined || wouldRefuse) return this.#write(guestNumber, facts);
    const { address, port, reason, rule } = facts;
    const key = [guestNumber, protocol, address, port, reason, rule?.source, rule?.text].join(" ");
    const like = this.#like.get(key);
    if (like !== undefined) {
      like.count++;
      return;
    }
    const [oldest] = this.#like;
    if (oldest !== undefined && this.#like.size >= MOST_UNLIKE) this.#writeLike(...oldest);
    this.#like.set(key, {
      guest: guestNumber,
      time: this.#time(),
      facts,
      due: this.#options.now() + LIKE_MS,
      count: 1,
    });
  }

  #writeLike(key: string, { guest, time, facts, count }: Likeness): void {
    this.#like.delete(key);
    this.#write(guest, { ...facts, count }, time);
  }

  #closed(
    guest: number,
    { number, bytesFromGuest, bytesToGuest, durationMs, ending }: {
      number: number;
      bytesFromGuest: number;
      bytesToGuest: number;
      durationMs: number;
      ending: string;
    },
  ): void {
    if (!this.#open.delete(number)) return;
    const verified = this.#verified.delete(number);
    this.#totals.bytesFromGuest += bytesFromGuest;
    this.#totals.bytesToGuest += bytesToGuest;
    this.#write(guest, {
      event: "close",
      flow: number,
      bytesFromGuest,
      bytesToGuest,
      durationMs: Math.round(durationMs),
      ending,
      verified,
    });
  }

  #dnsAnswered(event: DnsAnswered): void {
    const { name, recordType, via, decision, rule, rcode, addresses, cnames, removed, wouldRefuse } = event;
    if (event.isUnrecorded) return this.#refusedUnrecorded();
    this.#totals.queries++;
    this.#write(event.guestNumber, {
      event: "dns",
      name,
      type: dnsTypeText(recordType),
      via,
      decision,
      rule: noteOf(rule),
      ...(rcode !== null && { rcode, addresses, cnames, removed }),
      ...(wouldRefuse && { wouldRefuse }),
    });
  }

  #refusedUnrecorded(): void {
    this.#totals.refused++;
    if (this.#gap !== null) this.#gap.refused++;
  }

  #write(guest: number | undefined, facts: RecordFacts, time: string = this.#time()): void {
    const head = { v: RECORD_VERSION, run: this.#run, seq: ++this.#seq, time } as const;
    const { event, ...members } = facts;
    const record = { ...head, event, ...(guest !== undefined && { guest }), ...members } as AuditRecord;
    let lost = false;
    for (const sink of this.#sinks) if (!sink.put(record)) lost = true;
    this.#look(time);
    if (lost && this.#gap !== null) this.#gap.lost++;
  }

  /** Looks whether everything is written. */
  #look(time: string): void {
    const now = this.#options.now();
    if (!this.#sinks.every(({ isAvailable }) => isAvailable)) {
      if (this.#gap === null) {
        this.#gap = { from: time, refused: 0, lost: 0 };
        this.#totals.gaps++;
        this.#logger.warn(
          `Cannot write the audit: ${this.#problem}; new flows and queries are refused until it can be written`,
        );
      }
      if (this.#retryAt === Infinity) this.#retryAt = now + RETRY_MS;
      return;
    }
    if (this.#sinks.some(({ waits }) => waits)) {
      if (this.#retryAt === Infinity) this.#retryAt = now + SLOW_RETRY_MS;
    } else {
      this.#retryAt = Infinity;
    }
    if (this.#gap === null) return;
    const { from, refused, lost } = this.#gap, to = this.#time();
    this.#gap = null;
    this.#write(undefined, { event: "gap", from, to, refused, lost });
    if (this.#gap === null) {
      this.#logger.warn(`The audit is written again; ${refused} flows and queries were refused meanwhile`);
    }
  }

  #retry(): void {
    this.#retryAt = Infinity;
    for (const sink of this.#sinks) sink.flush();
    this.#look(this.#time());
  }

  get #problem(): string {
    const sink = this.#sinks.find(({ isAvailable }) => !isAvailable) ?? this.#sinks.find(({ waits }) => waits);
    return sink?.problem ?? "";
  }

  #time(): string {
    return timeText((this.#options.wallClock ?? Date.now)());
  }
}

function isReason(cause: RefusalCause): cause is RefuseReason {
  return cause !== "auditUnavailable";
}

function noteOf(rule: Rule | null): RuleNote | null {
  return rule && { text: rule.text, source: rule.source };
}

function shown(names: readonly string[]): readonly string[] {
  return names.length > MOST_NAMES ? names.slice(0, MOST_NAMES) : names;
}

function portOf(protocol: string, port: number): number | null {
  return protocol === "icmp" ? null : port;
}

function protocolOf(protocol: string): FlowEnds["protocol"] {
  return protocol === "tcp" || protocol === "udp" ? protocol : "icmp";
}

/** The ends of a flow; of one that a client of a forward began, the client's own address and whom it reached. */
function endsOf({ protocol, guest, target, host, openedBy }: FlowInfo, names: readonly string[]): FlowEnds {
  const [source, asked] = openedBy === "guest" ? [guest, target] : [host, guest];
  const colon = asked.lastIndexOf(":"), port = Number(asked.slice(colon + 1));
  const address = asked.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { protocol, source, address, port: portOf(protocol, port), names: shown(names) };
}
