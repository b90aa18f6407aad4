/**
 * Forwards that follow what listens in a guest's namespace: each port is forwarded while somebody listens there.
 *
 * A source tells what listens (`net/linux/listening_sockets.ts` on Linux, anything else for programs), as often as
 * `look` is called. Then forwards are added and taken back until both are the same:
 *
 * - A port that listens on every address, or on one of the guest's, gets a forward to the same port of the guest.
 * - A port that listens on the namespace's loopback alone cannot be reached from outside of it. A `LoopbackDoor` opens
 *   a way inside the namespace, and the forward leads there. It listens on the host's loopback alone, whatever was
 *   asked for, because whoever listens on loopback means programs that run beside him.
 * - A port that the host does not give (somebody has it, or it is for privileged users) is told, once a minute at most,
 *   and tried again for as long as it is listened on. A port that a forward of its own has already is left to that one.
 *
 * What listens is in the hands of whoever runs in the namespace, so no more than `MOST_FOLLOWED` ports are followed at
 * once: each takes a descriptor.
 *
 * Connections go on when their port is no longer listened on. UDP has no listeners: every socket that is bound and not
 * connected counts.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../net/wire/address.ts";
import type { Logger } from "../nat/base/logger.ts";
import { isLoopback } from "../nat/rules/policy.ts";
import { type Listening, LOOPBACK_IPV4, LOOPBACK_IPV6, type LoopbackDoor, type LoopbackWay } from "./loopback_door.ts";
import type { Forward, PortForwards } from "./port_forwards.ts";
import type { AutoPorts, PortSpec } from "./port_spec.ts";

/** How long a port that the host did not give is left alone. */
const RETRY_MS = 1000;
/** How long the same warning is not given again, and how many are remembered. */
const TELL_AGAIN_MS = 60_000;
const MOST_TOLD = 4096;
/** How many ports are followed at once. */
const MOST_FOLLOWED = 4096;
const [ANY_IPV4, ANY] = [IpAddress.parse("0.0.0.0"), IpAddress.parse("::")];

/** Who knows what listens in a namespace. */
export interface ListeningSource {
  /** What listens now. Throws an `Error` if that cannot be told any more. */
  read(): readonly Listening[];
}

/** What forwards follow, and how. */
export interface AutoForwardsOptions {
  /** The forwards of the gateway. */
  readonly forwards: PortForwards;
  /** What listens. */
  readonly source: ListeningSource;
  /** The ports of the host that follow it. */
  readonly ports: readonly AutoPorts[];
  /** The way to loopback, if there is one. */
  readonly door?: LoopbackDoor | undefined;
  /** Who hears of what is forwarded and what is not. */
  readonly logger: Pick<Logger, "info" | "warn">;
  /** Called with each forward that was added, and how people read it. */
  added?(forward: Forward, shown: string): void;
  /** Monotonic milliseconds. */
  now(): number;
}

/** Forwards that follow what listens. */
export class AutoForwards implements AsyncDisposable {
  readonly #options: AutoForwardsOptions;
  readonly #followed = new Map<string, Followed>();
  /** Of ports that are free soon. */
  readonly #endings = new Map<string, Promise<void>>();
  /** When each warning was given. */
  readonly #told = new Map<string, number>();

  /** None yet. */
  constructor(options: AutoForwardsOptions) {
    this.#options = options;
  }

  /** Looks what listens, and adds and takes back forwards. Throws what the source throws. */
  look(): void {
    const heard = new Map<string, Listening[]>(), { source, door } = this.#options;
    for (const listening of source.read()) {
      if (door?.isOwn(listening)) continue;
      const key = `${listening.protocol} ${listening.port}`, others = heard.get(key);
      if (others === undefined) heard.set(key, [listening]);
      else others.push(listening);
    }
    for (const [key, followed] of this.#followed) {
      const listening = bestOf(heard.get(key) ?? [], followed.listening);
      if (listening !== undefined && isSameWay(listening, followed.listening)) followed.tryAgain();
      else this.#end(key, followed);
    }
    for (const [key, listens] of heard) if (!this.#followed.has(key)) this.#follow(key, bestOf(listens)!);
  }

  /** Takes all of them back. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const [key, followed] of this.#followed) this.#end(key, followed);
    await Promise.all(this.#endings.values());
  }

  #follow(key: string, listening: Listening): void {
    const specs = this.#options.ports.flatMap((ports) => specsFor(ports, listening));
    if (specs.length === 0) return;
    if (this.#followed.size >= MOST_FOLLOWED) {
      return this.#tell(`${MOST_FOLLOWED} ports are forwarded because something listens there, others are not`);
    }
    const tell = (why: string) => this.#tell(why);
    this.#followed.set(key, new Followed(this.#options, { listening, specs, tell, after: this.#endings.get(key) }));
  }

  #end(key: string, followed: Followed): void {
    this.#followed.delete(key);
    const ended = Promise.all([followed.end(), this.#endings.get(key)]).then(() => {
      if (this.#endings.get(key) === ended) this.#endings.delete(key);
    });
    this.#endings.set(key, ended);
  }

  #tell(why: string): void {
    const now = this.#options.now(), told = this.#told.get(why);
    if (told !== undefined && now - told < TELL_AGAIN_MS) return;
    this.#told.delete(why);
    if (this.#told.size >= MOST_TOLD) this.#told.delete(this.#told.keys().next().value!);
    this.#told.set(why, now);
    this.#options.logger.warn(why);
  }
}

/** One port that listens. */
class Followed {
  readonly listening: Listening;
  readonly #options: AutoForwardsOptions;
  /** What is not forwarded yet. */
  #specs: readonly PortSpec[];
  readonly #forwards: Forward[] = [];
  #triedAt = -Infinity;
  #isTrying = false;
  #hasEnded = false;
  #way: LoopbackWay | undefined;
  readonly #tell: (why: string) => void;
  /** The end of what had the port before. */
  readonly #after: Promise<void> | undefined;
  /** What was told of it, which is not told again while it is listened on. */
  readonly #told = new Set<string>();

  constructor(options: AutoForwardsOptions, { listening, specs, tell, after }: {
    readonly listening: Listening;
    readonly specs: readonly PortSpec[];
    readonly tell: (why: string) => void;
    readonly after: Promise<void> | undefined;
  }) {
    this.#options = options;
    this.listening = listening;
    this.#specs = specs;
    this.#tell = tell;
    this.#after = after;
    this.tryAgain();
  }

  /** Adds what the host did not give before. */
  tryAgain(): void {
    const { now } = this.#options;
    if (this.#specs.length === 0 || this.#isTrying || now() - this.#triedAt < RETRY_MS) return;
    this.#triedAt = now();
    this.#isTrying = true;
    void this.#add().catch((error) => this.#tellOnce(error.message)).finally(() => this.#isTrying = false);
  }

  /** Takes its forwards back. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    const { logger } = this.#options;
    this.#way?.close();
    for (const forward of this.#forwards) logger.info(`No longer forwarding ${shownAs(forward, this.listening)}`);
    await Promise.all(this.#forwards.splice(0).map((forward) => forward.remove()));
  }

  async #add(): Promise<void> {
    await this.#after;
    if (this.#hasEnded) return;
    const to = isLoopback(this.listening.address) ? { guestPort: await this.#openWay() } : {};
    const refused: PortSpec[] = [];
    for (const spec of this.#specs) {
      if (this.#hasEnded) return;
      if (this.#options.forwards.covers(spec)) continue;
      try {
        const [forward] = await this.#options.forwards.addPorts([{ ...spec, ...to }]);
        if (this.#hasEnded) return await forward!.remove();
        this.#forwards.push(forward!);
        this.#options.added?.(forward!, shownAs(forward!, this.listening));
      } catch (error) {
        refused.push(spec);
        this.#tellOnce(error instanceof Error ? error.message : String(error));
      }
    }
    this.#specs = refused;
  }

  async #openWay(): Promise<number> {
    const { door } = this.#options, { protocol, address, port } = this.listening;
    const what = `Cannot forward ${protocol} ${port}: it listens on ${formatEndpoint(address, port)} alone`;
    if (door === undefined) throw new Error(`${what}, let it listen on 0.0.0.0 or [::]`);
    this.#way = door.open(this.listening);
    try {
      return await this.#way.begins;
    } catch (error) {
      throw new Error(`${what}, and there is no way to it: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Tells why a port is not forwarded. */
  #tellOnce(why: string): void {
    if (this.#hasEnded || this.#told.has(why)) return;
    this.#told.add(why);
    this.#tell(`${why}; it is tried again while somebody listens there`);
  }
}

/** How people read a forward: a way through a door leads to what listens behind it. */
function shownAs(forward: Forward, { address, port, protocol }: Listening): string {
  if (!isLoopback(address)) return `${forward}`;
  return `${protocol} ${forward.host} -> ${formatEndpoint(address, port)}`;
}

/** Where the host listens for clients of this port: nowhere, if it is left out or may not be had from there. */
function specsFor(ports: AutoPorts, { protocol, address, port }: Listening): PortSpec[] {
  if (ports.protocol !== protocol || ports.isExcluded(port)) return [];
  const { isExcluded: _, ...on } = ports;
  const at = (address: IpAddress) => ({ ...on, address, port, guestAddress: null, guestPort: port });
  if (!isLoopback(address) || isLoopback(ports.address)) return [at(ports.address)];
  // Nobody on loopback comes by another interface.
  if (ports.device !== undefined && ports.device !== "lo") return [];
  if (ports.address.equals(ANY_IPV4)) return [at(LOOPBACK_IPV4)];
  return ports.address.equals(ANY) ? [at(LOOPBACK_IPV4), at(LOOPBACK_IPV6)] : [];
}

/** The one that can be reached at once; else that of `known`, so that connections need not change; else the first. */
function bestOf(listens: readonly Listening[], known?: Listening): Listening | undefined {
  const open = listens.find((listening) => !isLoopback(listening.address));
  return open ?? listens.find((listening) => known !== undefined && isSameWay(listening, known)) ?? listens[0];
}

/** Whether a forward to one of them serves the other. */
function isSameWay(a: Listening, b: Listening): boolean {
  return isLoopback(a.address) ? a.address.equals(b.address) : !isLoopback(b.address);
}
