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
import { createEndings, type Endings, type FlowEnding } from "./endings.ts";
import type { Events, Totals } from "./events.ts";
import type { Flow, GuestUse } from "./flow.ts";
import type { FlowKey } from "./flow_key.ts";
import type { FlowTable } from "./flow_table.ts";

/** The flows of a gateway. */
export class FlowRegistry {
  /** Flows that ended, by how. */
  readonly endings: Endings = createEndings();

  #events: Events;
  #tables: FlowTable<Flow>[] = [];
  #draining = new Set<Flow>();
  #next = 1;
  #totals = { flows: 0, refused: 0, bytesFromGuest: 0, bytesToGuest: 0 };

  /** None; `events` are told of those that come. */
  constructor(events: Events) {
    this.#events = events;
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
    flow.place = { number: this.#next++, home };
    if (flow.forward === null) use.flows++;
    else use.clients++;
    use.totals.flows++;
    this.#totals.flows++;
  }

  /** Tells that a flow has begun, once what it leads to is known. */
  opened(flow: Flow): void {
    this.#events.emit("flowOpened", () => ({ type: "flowOpened", flow: flow.info() }));
  }

  /** A flow, or a datagram to a new destination, is refused. Returns the reason. */
  refused(key: FlowKey, use: GuestUse, reason: DropReason, rule: string): DropReason {
    use.totals.refused++;
    this.#totals.refused++;
    this.#events.emit("flowRefused", () => {
      const { protocol, guest, target } = key.describe();
      return { type: "flowRefused", guestNumber: key.guest, protocol, guest, target, reason, rule };
    });
    return reason;
  }

  /** The flow's key is free, its host side is not done. */
  drain(flow: Flow): void {
    this.#leave(flow);
    this.#draining.add(flow);
  }

  /** A flow is over. */
  ended(flow: Flow, ending: FlowEnding): void {
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
