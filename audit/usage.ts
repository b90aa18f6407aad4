/**
 * What guests did, put together from the records of an audit: what each flow was as far as rules are concerned, and
 * which names were asked. `learn.ts` makes rules of it, `replay.ts` asks other rules.
 *
 * A flow is known when it is over: its name may have been said after it was opened. Like flows are counted together, so
 * the memory for a long audit is that of its variety.
 *
 * @module
 */
import { hostAddressOf } from "./_address_text.ts";
import type { AuditRecord, DnsFacts, FlowEnds, OpenFacts, RecordHead, RefuseFacts, RefuseReason } from "./records.ts";

/** Kinds of flows, and of questions, that are told apart at most. */
const MOST_KINDS = 100_000;

/** Flows that are alike. */
export interface Use {
  /** The transport. */
  readonly protocol: FlowEnds["protocol"];
  /** The address that was asked for. */
  readonly address: string;
  /** The port, if there is one. */
  readonly port: number | null;
  /** Where it led on the host, without the port; the same address if it led nowhere. */
  readonly host: string;
  /** The names that led there. */
  readonly names: readonly string[];
  /** What its first bytes named, and where; with a port if it is what a proxy is asked for. */
  readonly said: { readonly via: "sni" | "host"; readonly name: string; readonly port?: number } | null;
  /** Whether its first bytes should have named a server and named none. */
  readonly isMute: boolean;
  /** Why it was refused, or would have been in report mode; null if it was allowed. */
  readonly refusal: RefuseReason | null;
  /** Whether it was opened all the same. */
  readonly wasOpened: boolean;
  /** How many there were. */
  count: number;
}

/** Questions for a name that are alike. */
export interface Asked {
  /** The name. */
  readonly name: string;
  /** Whether it was passed on, and would have been in report mode. */
  readonly isAllowed: boolean;
  /** Whether it was passed on, report mode or not. */
  readonly wasForwarded: boolean;
  /** How many there were. */
  count: number;
}

type Draft = { -readonly [Name in keyof Use]: Use[Name] };

/** Reads records of any number of runs, in the order in which they were written. */
export class UsageReader {
  /** Flows by what they were. */
  readonly uses: Map<string, Use> = new Map<string, Use>();
  /** Questions by name and what became of them. */
  readonly asked: Map<string, Asked> = new Map<string, Asked>();
  /** Names that answers for a name led through; as many as names. */
  readonly ways: Map<string, Set<string>> = new Map<string, Set<string>>();
  /** How many flows and questions were left out, since there were too many kinds of them. */
  left = 0;
  readonly #open = new Map<string, Draft>();
  /** What would have been refused, said before the flow is opened. */
  readonly #early = new Map<string, RefuseFacts>();

  /** Takes a record. */
  take(record: AuditRecord): void {
    switch (record.event) {
      case "open":
        return this.#opened(record);
      case "verified": {
        const draft = this.#open.get(keyOf(record));
        const { via, name, port } = record;
        if (draft !== undefined) draft.said = { via, name, ...(port !== undefined && { port }) };
        return;
      }
      case "refuse":
        return this.#refused(record);
      case "close": {
        const key = keyOf(record), draft = this.#open.get(key);
        this.#open.delete(key);
        if (draft !== undefined && record.ending !== "auditUnavailable") this.#add(draft);
        return;
      }
      case "dns":
        return this.#dns(record);
      default:
        return;
    }
  }

  /** No more records come. */
  finish(): void {
    for (const draft of this.#open.values()) this.#add(draft);
    this.#open.clear();
  }

  #opened(record: RecordHead & OpenFacts): void {
    // What the gateway itself answers is no matter of rules.
    if (record.by === "host" || record.host === null) return;
    const key = keyOf(record), early = this.#early.get(key), draft = draftOf(record, record.host);
    this.#early.delete(key);
    if (early !== undefined) draft.refusal = early.reason;
    this.#open.set(key, draft);
  }

  #refused(record: RecordHead & RefuseFacts): void {
    const { flow, name, reason, count } = record;
    if (flow === undefined) {
      const draft = { ...draftOf(record, null), refusal: reason, wasOpened: false, count };
      return this.#add(draft);
    }
    const key = keyOf({ ...record, flow }), draft = this.#open.get(key);
    if (draft === undefined) {
      this.#early.set(key, record);
      return;
    }
    draft.refusal ??= reason;
    if (reason !== "sniRefused" && reason !== "hostRefused" && reason !== "unverified") return;
    if (name === undefined) draft.isMute = true;
    else draft.said = { via: reason === "hostRefused" ? "host" : "sni", name };
  }

  #add(draft: Draft): void {
    const { protocol, address, port, host, names, said, isMute, refusal, wasOpened } = draft;
    const key = JSON.stringify([protocol, address, port, host, names, said, isMute, refusal, wasOpened]);
    const known = this.uses.get(key);
    if (known !== undefined) known.count += draft.count;
    else if (this.uses.size < MOST_KINDS) this.uses.set(key, draft);
    else this.left += draft.count;
  }

  #dns({ name, decision, wouldRefuse, cnames }: DnsFacts): void {
    if (decision === "local") return;
    const wasForwarded = decision === "forwarded", isAllowed = wasForwarded && !wouldRefuse;
    const key = `${name} ${isAllowed} ${wasForwarded}`, known = this.asked.get(key);
    if (known !== undefined) known.count++;
    else if (this.asked.size < MOST_KINDS) this.asked.set(key, { name, isAllowed, wasForwarded, count: 1 });
    else this.left++;
    if (cnames === undefined || cnames.length === 0 || this.ways.size >= MOST_KINDS) return;
    const way = this.ways.get(name) ?? new Set<string>();
    for (const target of cnames) way.add(target);
    this.ways.set(name, way);
  }
}

/** Names a flow among those of all runs. */
function keyOf({ run, flow }: { run: string; flow: number }): string {
  return `${run} ${flow}`;
}

function draftOf({ protocol, address, port, names }: FlowEnds, host: string | null): Draft {
  return {
    protocol,
    address,
    port,
    host: host === null ? address : hostAddressOf(host),
    names,
    said: null,
    isMute: false,
    refusal: null,
    wasOpened: true,
    count: 1,
  };
}
