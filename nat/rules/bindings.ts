/**
 * Which names an address has for a guest: what DNS at the gateway has answered to it, and nobody else.
 *
 * **Goal.** A rule about a name decides on flows, and a flow has an address. So each address that an answer contains is
 * bound to the name that was asked, for the guest that got the answer. What may be bound is the business of
 * `service/dns_control.ts`; here is how long a binding lives, and how many there may be.
 *
 * **Life.** For the answer's TTL, at least as long as the gateway says (an hour by default), because programs keep
 * addresses longer than their TTL allows. Each flow that begins by a binding renews it, up to a day after the answer. A
 * flow that lives holds what it began by: until it has let go, the binding lives. A lapsed one stays known, so that a
 * refusal can name it, until it has to make room.
 *
 * **Addresses** with an IPv4 address in them count as that one (`rules/policy.ts`), both in answers and in flows.
 *
 * **Targets.** An answer can name names: the next one of a CNAME chain, the server of a service. Some resolvers then
 * ask for these themselves. So each is kept as a target of the name first asked, its origin, to which the addresses
 * of the target are bound. A target lives like a binding; and up to a day after the answer also as long as its origin
 * has a binding that lives.
 *
 * **Limits.** `MAX_BOUND_ADDRESSES` addresses and as many targets a guest, `MAX_BOUND_NAMES` names an address and
 * origins a target. Those that a flow holds are not counted. The one unused for longest makes room. No timer is needed.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { RecencyList, type Recent } from "../base/recency_list.ts";
import { canonicalAddress } from "./policy.ts";

/** Addresses of one guest that may be bound without a flow that holds them. */
export const MAX_BOUND_ADDRESSES = 4096;
/** Names of one address that may be bound without a flow that holds them. */
export const MAX_BOUND_NAMES = 64;
/** Least life of a binding in seconds, unless the gateway is told otherwise. */
export const DEFAULT_NAMES_TTL_S = 3600;

/** Least and most of the least life of a binding, in seconds: a week is as long as any answer is believed. */
const TTL_BOUNDS_S = [1, 604_800] as const;

/** How long after an answer flows can renew a binding, in milliseconds. */
const RENEWABLE_MS = 86_400_000;
/** No answer is believed for longer, in seconds (RFC 8767 section 4). */
const MOST_TTL_S = 604_800;

/** A name that an address has for a guest. */
export interface Binding {
  /** The name that was asked: in lower case, without a final dot. */
  readonly name: string;
  /** The address, as text; of one with an IPv4 address in it that one. */
  readonly address: string;
}

/** How long the names of a guest live, whatever they are bound to. */
interface NameLife {
  readonly name: string;
  /** When its last binding lapses. */
  until: number;
  /** Its bindings that flows hold. */
  held: number;
  /** Bindings and targets that refer to it. */
  uses: number;
}

class Bound implements Binding, Recent<Bound> {
  newer: Bound | null = null;
  older: Bound | null = null;
  answeredAt = 0;
  /** For how long an answer or a flow lets it live. */
  lifeMs = 0;
  until = 0;
  /** Flows that hold it. */
  flows = 0;

  constructor(readonly life: NameLife, readonly home: BoundAddress) {}

  get name(): string {
    return this.life.name;
  }

  get address(): string {
    return this.home.address;
  }

  isLive(now: number): boolean {
    return this.flows > 0 || now < this.until;
  }
}

class BoundAddress implements Recent<BoundAddress> {
  newer: BoundAddress | null = null;
  older: BoundAddress | null = null;
  readonly names = new Map<string, Bound>();
  /** Bindings that no flow holds. */
  readonly unused = new RecencyList<Bound>();

  constructor(readonly address: string) {}

  get isHeld(): boolean {
    return this.names.size > this.unused.size;
  }
}

interface Origin {
  readonly life: NameLife;
  answeredAt: number;
  until: number;
}

const NONE: readonly never[] = [];

/** A least life of bindings in seconds, if it is one. Throws a `RangeError` whose message is what would be right. */
export function checkNamesTtl(seconds: number): number {
  const [least, most] = TTL_BOUNDS_S;
  if (Number.isInteger(seconds) && seconds >= least && seconds <= most) return seconds;
  throw new RangeError(`it is a whole number of seconds from ${least} to ${most}`);
}

/** The bindings of one guest. */
export class GuestBindings {
  readonly #leastLifeMs: number;
  readonly #addresses = new Map<string, BoundAddress>();
  /** Addresses of which no flow holds a binding. */
  readonly #unused = new RecencyList<BoundAddress>();
  readonly #names = new Map<string, NameLife>();
  /** The origins of targets, the target unused for longest first; so are the origins of each. */
  readonly #targets = new Map<string, Map<string, Origin>>();

  /** No bindings, each of which will live for `leastLifeS` seconds or longer. */
  constructor(leastLifeS: number = DEFAULT_NAMES_TTL_S) {
    this.#leastLifeMs = leastLifeS * 1000;
  }

  /** Addresses that are bound or were, for tests and measurements. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Targets that are known, for tests and measurements. */
  get targets(): number {
    return this.#targets.size;
  }

  /** Names that bindings and targets refer to, for tests and measurements. */
  get names(): number {
    return this.#names.size;
  }

  /** An answer to a question for `name`, good for `ttlS` seconds, contains `address`. */
  bind(address: IpAddress, name: string, ttlS: number, now: number): void {
    const bound = this.#bound(address, name);
    bound.answeredAt = now;
    bound.lifeMs = this.#life(ttlS);
    this.#live(bound, now + bound.lifeMs);
    this.#makeRoom(bound.home);
  }

  /** `address` has this name for good. */
  bindAlways(address: IpAddress, name: string): void {
    const bound = this.#bound(address, name);
    this.#live(bound, Infinity);
    if (bound.flows++ === 0) this.#use(bound);
  }

  /** Live bindings of an address; one with an IPv4 address in it counts as that one. */
  of(address: IpAddress, now: number): readonly Binding[] {
    const entry = this.#addresses.get(keyOf(address));
    return entry === undefined ? NONE : [...entry.names.values()].filter((bound) => bound.isLive(now));
  }

  /** Names that were bound to an address and are not any more. */
  lapsed(address: IpAddress, now: number): readonly string[] {
    const entry = this.#addresses.get(keyOf(address));
    if (entry === undefined) return NONE;
    return [...entry.names.values()].filter((bound) => !bound.isLive(now)).map(({ name }) => name);
  }

  /** A flow has begun by `bindings`, as `of` gave them: they live at least as long as it does. */
  hold(bindings: readonly Binding[], now: number): void {
    for (const bound of bindings as readonly Bound[]) {
      const { answeredAt, lifeMs } = bound;
      this.#live(bound, Math.min(now + lifeMs, answeredAt + Math.max(lifeMs, RENEWABLE_MS)));
      if (bound.flows++ === 0) this.#use(bound);
    }
  }

  /** The flow that held `bindings` is over. */
  letGo(bindings: readonly Binding[]): void {
    for (const bound of bindings as readonly Bound[]) if (--bound.flows === 0) this.#release(bound);
  }

  /**
   * An answer to a question for `origin`, good for `ttlS` seconds, names `target`: the guest may ask for that too, and
   * its addresses are bound to `origin`.
   */
  addTarget(target: string, origin: string, ttlS: number, now: number): void {
    const origins = this.#targets.get(target) ?? new Map<string, Origin>(), known = origins.get(origin);
    const entry = known ?? { life: this.#nameLife(origin), answeredAt: 0, until: 0 };
    entry.answeredAt = now;
    entry.until = Math.max(entry.until, now + this.#life(ttlS));
    origins.delete(origin);
    origins.set(origin, entry);
    if (origins.size > MAX_BOUND_NAMES) this.#forgetOrigin(origins, oldestOf(origins));
    this.#targets.delete(target);
    this.#targets.set(target, origins);
    if (this.#targets.size > MAX_BOUND_ADDRESSES) this.#forgetTarget(oldestOf(this.#targets));
  }

  /** The names first asked whose answers name `target`, as long as it may be asked. */
  origins(target: string, now: number): readonly string[] {
    const origins = this.#targets.get(target);
    if (origins === undefined) return NONE;
    return [...origins.values()].filter((origin) => isLiveOrigin(origin, now)).map(({ life }) => life.name);
  }

  /** Whether a target that may be asked is a name below `name`. */
  hasTargetBelow(name: string, now: number): boolean {
    const end = name === "" ? "" : `.${name}`;
    for (const [target, origins] of this.#targets) {
      if (!target.endsWith(end) || target === name) continue;
      for (const origin of origins.values()) if (isLiveOrigin(origin, now)) return true;
    }
    return false;
  }

  /** The guest is gone. */
  clear(): void {
    for (const entry of this.#addresses.values()) this.#forgetAddress(entry);
    for (const target of this.#targets.keys()) this.#forgetTarget(target);
  }

  #life(ttlS: number): number {
    return Math.max(this.#leastLifeMs, Math.min(ttlS, MOST_TTL_S) * 1000);
  }

  /** The binding of `name` and `address`, used just now, made if there is none. */
  #bound(address: IpAddress, name: string): Bound {
    const key = keyOf(address), known = this.#addresses.get(key), entry = known ?? new BoundAddress(key);
    if (known === undefined) {
      this.#addresses.set(key, entry);
      this.#unused.add(entry);
    } else if (!entry.isHeld) this.#unused.use(entry);
    const bound = entry.names.get(name);
    if (bound !== undefined) {
      if (bound.flows === 0) entry.unused.use(bound);
      return bound;
    }
    const made = new Bound(this.#nameLife(name), entry);
    entry.names.set(name, made);
    entry.unused.add(made);
    return made;
  }

  #live(bound: Bound, until: number): void {
    bound.until = Math.max(bound.until, until);
    bound.life.until = Math.max(bound.life.until, bound.until);
  }

  /** The first flow holds `bound`. */
  #use(bound: Bound): void {
    const { home, life } = bound;
    life.held++;
    if (!this.#isKept(bound)) return;
    if (!home.isHeld) this.#unused.remove(home);
    home.unused.remove(bound);
  }

  /** No flow holds `bound` any more. */
  #release(bound: Bound): void {
    const { home, life } = bound;
    life.held--;
    if (!this.#isKept(bound)) return;
    home.unused.add(bound);
    if (!home.isHeld) this.#unused.add(home);
    this.#makeRoom(home);
  }

  /** Whether it has not had to make room, and the guest is there. */
  #isKept({ home, name }: Bound): boolean {
    return this.#addresses.get(home.address) === home && home.names.has(name);
  }

  #makeRoom(entry: BoundAddress): void {
    if (entry.unused.size > MAX_BOUND_NAMES) this.#forgetBound(entry.unused.oldest!);
    if (this.#unused.size > MAX_BOUND_ADDRESSES) this.#forgetAddress(this.#unused.oldest!);
  }

  #forgetBound(bound: Bound): void {
    const { home, life } = bound;
    home.unused.remove(bound);
    home.names.delete(life.name);
    this.#unrefer(life);
  }

  #forgetAddress(entry: BoundAddress): void {
    if (!entry.isHeld) this.#unused.remove(entry);
    this.#addresses.delete(entry.address);
    for (const { life } of entry.names.values()) this.#unrefer(life);
  }

  #forgetTarget(target: string): void {
    for (const { life } of this.#targets.get(target)!.values()) this.#unrefer(life);
    this.#targets.delete(target);
  }

  #forgetOrigin(origins: Map<string, Origin>, name: string): void {
    this.#unrefer(origins.get(name)!.life);
    origins.delete(name);
  }

  #nameLife(name: string): NameLife {
    const known = this.#names.get(name), life = known ?? { name, until: 0, held: 0, uses: 0 };
    if (known === undefined) this.#names.set(name, life);
    life.uses++;
    return life;
  }

  #unrefer(life: NameLife): void {
    if (--life.uses === 0) this.#names.delete(life.name);
  }
}

function isLiveOrigin({ life, answeredAt, until }: Origin, now: number): boolean {
  return now < until || (now < answeredAt + RENEWABLE_MS && (life.held > 0 || now < life.until));
}

function keyOf(address: IpAddress): string {
  return canonicalAddress(address).toString();
}

function oldestOf(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value!;
}
