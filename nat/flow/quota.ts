/**
 * What one guest may take of what all guests of a gateway share: flows, connects under way, mappings, queries.
 *
 * **What cannot be taken back** is kept free in time. A guest may have no more flows, or connects under way, than
 * `SHARE` times as many as are free. So one greedy guest ends at three quarters of the limit, two at three sevenths
 * each, and whoever comes always finds some. The bound counts while several guests are attached; one alone has
 * everything, unless the gateway was told (`shared`) that others will come.
 *
 * **Clients of forwards** are held to the same bound, as a party of their own beside the guest that they come to, also
 * where that is the only guest: strangers on the host do not take the last flows of a guest from it.
 *
 * **What can be taken back** needs no reserve: where all mappings, or all queries under way, are in use, the guest that
 * has the most gives one up (`greediest`).
 *
 * **New flows a second** are rationed for all guests together, and for each of several to `SHARE` of `SHARE` + 1 parts.
 *
 * @module
 */
import { RecencyList } from "../base/recency_list.ts";
import { TokenBucket } from "../base/token_bucket.ts";
import type { DropReason } from "../base/counters.ts";
import type { GuestUse, Mapping } from "./flow.ts";

/** How many times what is free one party may have. */
export const SHARE = 3;
/** Host connects that may be under way at once. */
export const MAX_CONNECTING = 1024;

/** The greatest limit of flows: what a loop has time and memory for. */
const MOST_FLOWS = 1_000_000;

/** What a gateway allows all guests together. */
export interface QuotaLimits {
  /** Flows at once. */
  readonly maxFlows: number;
  /** Flows that may begin in a second; as many may begin at once. */
  readonly maxNewFlows?: number;
  /** Whether no guest may have everything, even while it is the only one. Default false. */
  readonly shared?: boolean;
}

/** A limit of flows, at once or a second, if it is one. Throws a `RangeError` whose message is what would be right. */
export function checkFlowLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MOST_FLOWS) return limit;
  throw new RangeError(`it is a whole number from 1 to ${MOST_FLOWS}`);
}

/** Why there is no further flow: the counter, and words for the log. */
export interface QuotaRefusal {
  /** The counter. */
  readonly reason: DropReason;
  /** What the limit is. */
  readonly why: string;
}

/** The limits of a gateway, and who may have how much of them. */
export class Quotas {
  #limits: QuotaLimits;
  #newFlows: TokenBucket | null;
  #connecting = 0;
  #guests = 0;

  /** Nothing is in use at the time `now`. */
  constructor(limits: QuotaLimits, now: number) {
    this.#limits = limits;
    this.#newFlows = limits.maxNewFlows === undefined ? null : ration(limits.maxNewFlows, now);
  }

  /** What a new guest uses: nothing yet. */
  guestCame(now: number): GuestUse {
    this.#guests++;
    const { maxNewFlows } = this.#limits;
    const newFlows = maxNewFlows === undefined ? null : ration(maxNewFlows * (SHARE / (SHARE + 1)), now);
    const totals = { flows: 0, refused: 0, bytesFromGuest: 0, bytesToGuest: 0 };
    return { flows: 0, clients: 0, connecting: 0, mappings: new RecencyList<Mapping>(), newFlows, totals };
  }

  /** A guest is gone. */
  guestLeft(): void {
    this.#guests--;
  }

  /** Why a guest that uses so much can have no further TCP flow, while there are `flows` of all; or null. */
  refusesFlow(use: GuestUse, flows: number): QuotaRefusal | null {
    const { maxFlows } = this.#limits, refusal = this.#refuse(use.flows, maxFlows - flows, "flowLimit");
    if (refusal !== null) return { reason: refusal, why: `${maxFlows} flows are the limit (--max-flows)` };
    const limited = this.#refuse(use.connecting, MAX_CONNECTING - this.#connecting, "connectLimit");
    return limited === null ? null : { reason: limited, why: `${MAX_CONNECTING} connects are under way at most` };
  }

  /** Why a client of a forward cannot come to a guest that uses so much, while there are `flows` of all; or null. */
  refusesClient(use: GuestUse, flows: number): DropReason | null {
    const free = this.#limits.maxFlows - flows;
    if (free <= 0) return "flowLimit";
    return use.clients >= SHARE * free ? "forwardShare" : null;
  }

  /** Why no flow of this guest may begin now, or null; one that may is counted. */
  refusesNew(use: GuestUse, now: number): QuotaRefusal | null {
    if (this.#newFlows === null) return null;
    const rate = `${this.#limits.maxNewFlows} new flows a second are the limit (--max-new-flows)`;
    if (this.#isShared && !use.newFlows!.take(now)) {
      return { reason: "guestShare", why: `${rate}, and others want some` };
    }
    return this.#newFlows.take(now) ? null : { reason: "flowRate", why: rate };
  }

  /** A host connect of a guest begins. */
  connectBegan(use: GuestUse): void {
    this.#connecting++;
    use.connecting++;
  }

  /** It was answered, or given up. */
  connectEnded(use: GuestUse): void {
    this.#connecting--;
    use.connecting--;
  }

  get #isShared(): boolean {
    return this.#guests > 1 || (this.#limits.shared ?? false);
  }

  #refuse(own: number, free: number, limit: DropReason): DropReason | null {
    if (free <= 0) return limit;
    return this.#isShared && own >= SHARE * free ? "guestShare" : null;
  }
}

/** The party with the largest count, `asker` if it is one of several. */
export function greediest<T>(counts: Iterable<readonly [T, number]>, asker: T): T {
  let most = 0, found = asker;
  for (const [key, count] of counts) {
    if (count < most || (count === most && key !== asker)) continue;
    most = count;
    found = key;
  }
  return found;
}

function ration(perSecond: number, now: number): TokenBucket {
  return new TokenBucket({ perSecond, burst: Math.max(1, Math.floor(perSecond)) }, now);
}
