/**
 * Leading ports of a namespace's loopback to the host's: those that are named, and those that follow what listens on
 * the host's loopback or on all of its addresses, for as long as something listens there.
 *
 * The agent in the namespace listens on them (`loopback_door.ts`) and connects to the gateway's address, at the port of
 * the host. That port is open to the guest then, also without `hostLoopback`, and no other is: the guest could reach it
 * through the agent anyway.
 *
 * If a port that is named is taken in the namespace, nothing begins. If a port that is followed is taken there, Hawser
 * tries it again for as long as something on the host listens there. Ports of Hawser's own forwards are not followed:
 * they would lead back to where they come from.
 *
 * Only a command that asks for it loads this file.
 *
 * @module
 */
import { deadline } from "@std/async";
import { LOOPBACK_IPV4, LOOPBACK_IPV6, type LoopbackWay } from "../forward/loopback_door.ts";
import type { ListeningSource } from "../forward/auto_forwards.ts";
import type { PortForwards } from "../forward/port_forwards.ts";
import type { HostPorts } from "../mod.ts";
import type { Logger } from "../nat/base/logger.ts";
import type { Segments } from "../nat/rules/segment.ts";
import { IpAddress } from "../net/wire/address.ts";
import { keepLooking } from "./follow_listening.ts";
import { openOwnPlace } from "./listening_place.ts";
import type { AgentDoor } from "./loopback_door.ts";
import { hostPortOf, MOST_OUTWARD, type OutwardPort, type OutwardPorts } from "./outward_ports.ts";

/** How long the agent may take to listen, on a machine that is busy. */
const MOST_MS = 30_000;
/** How long a port that could not be had is left alone. */
const RETRY_MS = 1000;
const [ANY_IPV4, ANY] = [IpAddress.parse("0.0.0.0"), IpAddress.parse("::")];

/** What outward ports need of their gateway. */
export interface OutwardGateway {
  /** Its forwards. */
  readonly forwards: Pick<PortForwards, "covers">;
  /** The ports of the host that are open to the guest. */
  readonly hostPorts: Pick<HostPorts, "open" | "close">;
}

/** Where ports lead, and by which way. */
export interface LeadOptions {
  /** The way to the namespace's loopback. */
  readonly door: Pick<AgentDoor, "lead">;
  /** The guest's networks. */
  readonly segments: Segments;
  /** The gateway. */
  readonly gateway: OutwardGateway;
  /** Who hears of ports that follow. */
  readonly logger: Pick<Logger, "info" | "warn" | "debug">;
}

/**
 * Leads these ports until what is returned is disposed of. Resolves when it leads the named ports, and those on which
 * the host listens now. Rejects with an `Error` that names the port if it cannot lead a named one.
 */
export async function leadOutward(options: LeadOptions, { named, auto }: OutwardPorts): Promise<AsyncDisposable> {
  await using begun = new AsyncDisposableStack();
  const { door, logger } = options, to = gatewayOf(options.segments);
  const begins = Promise.all(named.map((port) => new OutwardWay(door, port, to).begins));
  await deadline(begins, MOST_MS).catch((error) => {
    throw error.name === "TimeoutError" ? new Error("Cannot lead ports outward: the agent does not answer") : error;
  });
  if (auto.length > 0) {
    const source = begun.use(await openOwnPlace(auto));
    logger.debug(`Ports of the namespace follow what listens on the host, known by ${source.way}`);
    const outward = new AutoOutward({ ...options, source, auto, named, now: () => performance.now() });
    begun.defer(() => outward.close());
    begun.use(keepLooking(() => outward.look(), logger));
    await outward.settled(MOST_MS);
  }
  return begun.move();
}

/** What is followed. */
export interface AutoOutwardOptions extends LeadOptions {
  /** What listens on the host. */
  readonly source: ListeningSource;
  /** Which of its ports are followed. */
  readonly auto: OutwardPorts["auto"];
  /** Ports that lead to the host's already. */
  readonly named: readonly OutwardPort[];
  /** Monotonic milliseconds. */
  now(): number;
}

/** Ports that follow what listens on the host. */
export class AutoOutward {
  readonly #options: AutoOutwardOptions;
  readonly #to: IpAddress;
  /** By protocol and port. */
  readonly #followed = new Map<string, Followed>();
  /** Those of the namespace that lead somewhere already, and those of the host that stay open. */
  readonly #taken: ReadonlySet<string>;
  readonly #kept: ReadonlySet<string>;
  #hasToldMost = false;

  /** None yet. */
  constructor(options: AutoOutwardOptions) {
    this.#options = options;
    this.#to = gatewayOf(options.segments);
    this.#taken = new Set(options.named.map(({ protocol, port }) => `${protocol}:${port}`));
    this.#kept = new Set(options.named.map(hostPortOf));
  }

  /** Looks what listens, and leads ports and leaves them. Throws what the source throws. */
  look(): void {
    const { source, auto, gateway, logger } = this.#options, heard = new Map<string, OutwardPort>();
    for (const listening of source.read()) {
      const { protocol, address, port } = listening, key = `${protocol}:${port}`;
      if (heard.has(key) || this.#taken.has(key) || !isReached(address)) continue;
      if (!auto.some((ports) => ports.protocol === protocol && !ports.isExcluded(port))) continue;
      if (!gateway.forwards.covers(listening)) heard.set(key, { protocol, port, hostPort: port });
    }
    for (const [key, followed] of this.#followed) {
      if (heard.has(key)) followed.tryAgain();
      else this.#end(key, followed);
    }
    for (const [key, port] of heard) {
      if (this.#followed.has(key)) continue;
      if (this.#followed.size >= MOST_OUTWARD) {
        if (!this.#hasToldMost) {
          logger.warn(`${MOST_OUTWARD} ports lead to the host's, others that listen there do not`);
        }
        this.#hasToldMost = true;
        return;
      }
      this.#followed.set(key, new Followed(this.#options, { port, to: this.#to, isKept: this.#kept.has(key) }));
    }
  }

  /** Resolves when it is known of all ports whether they can be had, or after so many milliseconds. */
  async settled(ms: number): Promise<void> {
    await deadline(Promise.all([...this.#followed.values()].map(({ tried }) => tried)), ms).catch(() => {});
  }

  /** Leaves all of them. */
  close(): void {
    for (const [key, followed] of this.#followed) this.#end(key, followed);
  }

  #end(key: string, followed: Followed): void {
    this.#followed.delete(key);
    followed.end();
  }
}

/** A port that listens on the host. */
class Followed {
  readonly #options: AutoOutwardOptions;
  readonly #port: OutwardPort;
  readonly #to: IpAddress;
  /** Whether the host's port is open whatever becomes of this. */
  readonly #isKept: boolean;
  #way: OutwardWay | undefined;
  #triedAt = -Infinity;
  #hasTold = false;
  /** Resolves when it is led, or could not be for now. */
  tried: Promise<void> = Promise.resolve();

  constructor(options: AutoOutwardOptions, { port, to, isKept }: {
    readonly port: OutwardPort;
    readonly to: IpAddress;
    readonly isKept: boolean;
  }) {
    this.#options = options;
    this.#port = port;
    this.#to = to;
    this.#isKept = isKept;
    this.tryAgain();
  }

  tryAgain(): void {
    const { now, door, gateway, logger } = this.#options;
    if (this.#way !== undefined || now() - this.#triedAt < RETRY_MS) return;
    this.#triedAt = now();
    gateway.hostPorts.open(hostPortOf(this.#port));
    const way = this.#way = new OutwardWay(door, this.#port, this.#to), { protocol, port } = this.#port;
    this.tried = way.begins.then(() => {
      if (this.#way === way) logger.info(`Leading ${protocol} ${port} of the namespace's loopback to the host's`);
    }, (error) => {
      if (this.#way !== way) return;
      this.#leave();
      if (!this.#hasTold) logger.info(`${error.message}; it is tried again while somebody listens on the host's`);
      this.#hasTold = true;
    });
  }

  end(): void {
    if (this.#way !== undefined) this.#leave();
  }

  #leave(): void {
    this.#way?.close();
    this.#way = undefined;
    if (!this.#isKept) this.#options.gateway.hostPorts.close(hostPortOf(this.#port));
  }
}

/** A port of the namespace's loopback, of both families, that leads to the host's. */
class OutwardWay {
  /** Resolves when it is there. Rejects with an `Error` that names the port. */
  readonly begins: Promise<unknown>;
  readonly #ways: readonly LoopbackWay[];

  constructor(door: LeadOptions["door"], { protocol, port, hostPort: gatewayPort }: OutwardPort, gateway: IpAddress) {
    const lead = (address: IpAddress) => door.lead({ protocol, address, port, gateway, gatewayPort });
    const ipv4 = lead(LOOPBACK_IPV4), ipv6 = lead(LOOPBACK_IPV6);
    this.#ways = [ipv4, ipv6];
    // A kernel without IPv6 has nobody who would come there.
    this.begins = Promise.all([ipv4.begins, ipv6.begins.catch(() => {})]);
  }

  close(): void {
    for (const way of this.#ways) way.close();
  }
}

function gatewayOf({ ipv4, ipv6 }: Segments): IpAddress {
  return (ipv4 ?? ipv6)!.gateway;
}

/** Whether what listens on this address is reached at 127.0.0.1 or ::1. */
function isReached(address: IpAddress): boolean {
  return [LOOPBACK_IPV4, LOOPBACK_IPV6, ANY_IPV4, ANY].some((reached) => reached.equals(address));
}
