/**
 * The flows of a gateway, of whatever protocol: which there are, how they ended, what they carried, and who is told.
 *
 * Each protocol finds its flows by key in a table of its own. A flow that gives its key up while its host side still
 * has bytes to write is known here as draining. An ended flow leaves nothing behind but one in the count of its way to
 * end and its bytes in the totals of its guest and of the gateway.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { FlowRefusal } from "../rules/verdict.ts";
import { createEndings, type Endings, type FlowEnding } from "./endings.ts";
import type { Events, FlowVerified, Totals } from "./events.ts";
import type { Flow, GuestUse } from "./flow.ts";
import type { FlowKey } from "./flow_key.ts";
import type { FlowTable } from "./flow_table.ts";

/** What else there is to say of a refusal. */
export interface RefusalFacts {
  /** The flow that ends by it. */
  readonly flow?: number;
  /** The name that the flow said, if that decided. */
  readonly name?: string;
}

/** The flows of a gateway. */
export class FlowRegistry {
  /** Flows that ended, by how. */
  readonly endings: Endings = createEndings();

  #events: Events;
  #now: () => number;
  #tables: FlowTable<Flow>[] = [];
  #draining = new Set<Flow>();
  #next = 1;
  #totals = { flows: 0, refused: 0, bytesFromGuest: 0, bytesToGuest: 0 };

  /** None; `events` are told of those that come. `now` gives monotonic milliseconds. */
  constructor(events: Events, now: () => number) {
    this.#events = events;
    this.#now = now;
  }

  /** A number for a flow, or for a peer of one, that nothing else has had. */
  nextNumber(): number {
    return this.#next++;
  }

  /** Flows that can be found by key, and draining ones. */
  get count(): number {
    let count = this.#draining.size;
    for (const table of this.#tables) count += table.size;
    return count;
  }

  /** Every flow. */
  all(): Flow[] {
    return [...this.#tables.flatMap((table) => [...table.values()]), ...this.#draining];
  }

  /** What there was, flows that live included. */
  get totals(): Totals {
    return sumOf(this.#totals, this.all());
  }

  /** What this guest has had, flows that live included. */
  totalsOf({ use, number }: { readonly use: GuestUse; readonly number: number }): Totals {
    return sumOf(use.totals, this.all().filter((flow) => flow.key.guest === number));
  }

  /** A flow begins, to be found in `table`. */
  enter<T extends Flow>(table: FlowTable<T>, flow: T): void {
    const home = table as unknown as FlowTable<Flow>, { use } = flow.guest;
    if (!this.#tables.includes(home)) this.#tables.push(home);
    home.set(flow.key, flow);
    flow.place = { number: this.nextNumber(), home };
    if (flow.permit !== null) flow.guest.bindings.hold(flow.permit.holds, this.#now());
    if (flow.forward === null) use.flows++;
    else use.clients++;
    use.totals.flows++;
    this.#totals.flows++;
  }

  /** Tells that a flow has begun, once what it leads to is known. */
  opened(flow: Flow): void {
    this.#events.emit("flowOpened", () => {
      const { names = [], rule = null, wouldRefuse = null } = flow.permit ?? {};
      return { type: "flowOpened", flow: flow.info(), names, rule, wouldRefuse };
    });
  }

  /** The first bytes of a flow said a name that may be said. */
  verified({ place: { number }, guest }: Flow, facts: Pick<FlowVerified, "via" | "name" | "port" | "ech">): void {
    const { via, name, port, ech } = facts;
    this.#events.emit("flowVerified", () => ({
      type: "flowVerified",
      number,
      guestNumber: guest.number,
      via,
      name,
      port,
      ech,
    }));
  }

  /** A flow, or a datagram to a new destination, is refused. Returns the counter that is to be incremented. */
  refused(key: FlowKey, use: GuestUse, refusal: FlowRefusal): DropReason {
    this.#countRefusal(use);
    this.#tellRefusal(key, refusal, { reason: refusal.counter });
    return refusal.counter;
  }

  /** A flow that lives does not go on: it ends by `refusal`. */
  cutOff({ key, place, guest }: Flow, refusal: FlowRefusal, facts: { readonly name?: string } = {}): void {
    this.#countRefusal(guest.use);
    this.#tellRefusal(key, refusal, { reason: null, flow: place.number, ...facts });
  }

  /** A flow is to be opened that would be refused if rules were not only reported; or it goes on all the same. */
  wouldRefuse(key: FlowKey, refusal: FlowRefusal, facts: RefusalFacts = {}): void {
    this.#tellRefusal(key, refusal, { reason: null, wouldRefuse: true, ...facts });
  }

  #countRefusal(use: GuestUse): void {
    use.totals.refused++;
    this.#totals.refused++;
  }

  #tellRefusal(
    key: FlowKey,
    refusal: FlowRefusal,
    more: RefusalFacts & { readonly reason: DropReason | null; readonly wouldRefuse?: true },
  ): void {
    this.#events.emit("flowRefused", () => {
      const { cause, rule: ruleDecided, names, words: rule } = refusal;
      const { guest: guestNumber, remoteAddress, remotePort: port } = key, { protocol, guest, target } = key.describe();
      const about = { guestNumber, protocol, guest, target, address: `${remoteAddress}`, port };
      return { type: "flowRefused", ...about, cause, rule, ruleDecided, names, ...more };
    });
  }

  /** The flow's key is free, its host side is not done. */
  drain(flow: Flow): void {
    this.#leave(flow);
    this.#draining.add(flow);
  }

  /** A flow is over. */
  ended(flow: Flow, ending: FlowEnding): void {
    if (flow.permit !== null) flow.guest.bindings.letGo(flow.permit.holds);
    const { use } = flow.guest, { bytesFromGuest, bytesToGuest } = flow;
    this.endings[ending]++;
    for (const totals of [use.totals, this.#totals]) {
      totals.bytesFromGuest += bytesFromGuest;
      totals.bytesToGuest += bytesToGuest;
    }
    this.#events.emit("flowEnded", () => ({ type: "flowEnded", flow: flow.info(), ending }));
    if (!this.#draining.delete(flow)) this.#leave(flow);
    if (flow.forward === null) use.flows--;
    else use.clients--;
  }

  #leave({ key, place }: Flow): void {
    if (place.home?.get(key)?.place === place) place.home.delete(key);
  }
}

function sumOf(ended: Totals, living: readonly Flow[]): Totals {
  let { bytesFromGuest, bytesToGuest } = ended;
  for (const flow of living) {
    bytesFromGuest += flow.bytesFromGuest;
    bytesToGuest += flow.bytesToGuest;
  }
  return { ...ended, bytesFromGuest, bytesToGuest };
}
