/**
 * Flows that go through a `SocketFilter`: in a gateway, and over any host for the cases of `host_cases.ts`.
 *
 * @module
 */
import { BufferPool } from "../../nat/base/buffers.ts";
import { TimerWheel } from "../../nat/base/timers.ts";
import type { EndsTurn } from "../../nat/flow/flow.ts";
import type {
  HostBoundUdpSocket,
  HostConnectHandler,
  HostEndpoint,
  HostError,
  HostListener,
  HostListenError,
  HostListenHandler,
  HostNetwork,
  HostUdpHandler,
  HostUdpSocket,
  Turn,
} from "../../nat/host.ts";
import type { Nat } from "../../nat/nat.ts";
import { NameJudge } from "../../nat/relay/name_judge.ts";
import { type FirstBytesJudge, type FirstBytesVerdict, SocketFilter } from "../../nat/relay/socket_filter.ts";
import { RuleList } from "../../nat/rules/rule_list.ts";
import { helloFor } from "./client_hellos.ts";
import { type Client, type HostWorld, type PeerListener, type ResettingListener, ScriptWorld } from "./host_peers.ts";
import { plainRule } from "./plain_rule.ts";
import type { UdpClient, UdpEcho } from "./host_peers.ts";

/** How flows are filtered. */
export interface Filtering {
  /** Who looks at a flow's first bytes: one for all, or another for each. */
  readonly judge: FirstBytesJudge | (() => FirstBytesJudge);
  /** What a guest says first, before a test begins; it must pass. Default nothing. */
  readonly greeting?: Uint8Array;
}

/** Lets everything pass as soon as it is asked. */
export const PASS_ALL: FirstBytesJudge = { endsAs: null, judge: () => "pass", last: () => "pass" };

/** Judges texts once they have their `!`, or their end: what begins with `ok` passes. */
export class OkJudge implements FirstBytesJudge {
  readonly endsAs = "hostRefused";
  #text = "";

  judge(bytes: Uint8Array, start: number, end: number): FirstBytesVerdict {
    this.#text = new TextDecoder().decode(bytes.subarray(start, end));
    return this.#text.includes("!") ? this.last(true) : "more";
  }

  last(hasFinished: boolean): FirstBytesVerdict {
    return hasFinished && this.#text.startsWith("ok") ? "pass" : "refuse";
  }
}

/** One of these for each flow. */
export function passOk(): OkJudge {
  return new OkJudge();
}

const NAME = "registry.example";

/** A guest that says a name, and a judge who verifies it. */
export const VERIFIED: Required<Filtering> = { judge: judgeOfName, greeting: helloFor(NAME) };

function judgeOfName(): NameJudge {
  const list = new RuleList([plainRule(`allow ${NAME}`)]);
  return new NameJudge({
    list: () => list,
    ruleOf: (name) => list.name("tcp", name, 80),
    isBound: (name) => name === NAME,
    port: 80,
    look: "verify",
    strict: true,
    reports: false,
    listener: { nameVerified() {}, nameRefused() {} },
  });
}

/** Has every TCP flow that a guest of `nat` begins go through a filter. */
export function filterFlows(nat: Nat, { judge }: Filtering): void {
  const before = nat.connectors;
  const connectors: Nat["connectors"] = {
    for(...asked) {
      const connector = before.for(...asked);
      return {
        connectTcp: (target, owner) => new SocketFilter(nat, owner, { connector, target, judge: judgeOf(judge) }),
      };
    },
  };
  Object.assign(nat, { connectors });
}

function judgeOf(judge: Filtering["judge"]): FirstBytesJudge {
  return typeof judge === "function" ? judge() : judge;
}

/** A host whose connections go through filters, which end their turns with the host's. */
export class FilteredHost implements HostNetwork {
  readonly name = "filtered";
  readonly timers: TimerWheel;
  readonly pool: BufferPool = new BufferPool();
  readonly #host: HostNetwork;
  readonly #filtering: Filtering;
  #due: EndsTurn[] = [];

  /** Over `host`. */
  constructor(host: HostNetwork, filtering: Filtering) {
    this.#host = host;
    this.#filtering = filtering;
    this.timers = new TimerWheel(host.now());
  }

  now(): number {
    return this.#host.now();
  }

  due(item: EndsTurn): void {
    this.#due.push(item);
  }

  start(turn: Turn): void {
    this.#host.start(() => {
      this.timers.advance(this.now());
      while (this.#due.length > 0) for (const item of this.#due.splice(0)) item.endTurn();
      return Math.min(turn(), this.timers.nextDeadline());
    });
  }

  wake(): void {
    this.#host.wake();
  }

  connectTcp(target: HostEndpoint, handler: HostConnectHandler): SocketFilter {
    const judge = judgeOf(this.#filtering.judge);
    return new SocketFilter(this, handler, { connector: this.#host, target, judge });
  }

  listenTcp(local: HostEndpoint, handler: HostListenHandler): HostListener | HostListenError {
    return this.#host.listenTcp(local, handler);
  }

  openUdp(family: 4 | 6, handler: HostUdpHandler): HostUdpSocket | HostError {
    return this.#host.openUdp(family, handler);
  }

  bindUdp(local: HostEndpoint, handler: HostUdpHandler): HostBoundUdpSocket | HostListenError {
    return this.#host.bindUdp(local, handler);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#host[Symbol.asyncDispose]();
  }
}

/** The peers of a filtered host. */
export class FilteredWorld implements HostWorld {
  readonly host: FilteredHost;
  readonly #world = new ScriptWorld();

  /** A world whose connections are filtered so. */
  constructor(filtering: Filtering) {
    this.host = new FilteredHost(this.#world.host, filtering);
  }

  listen(family?: 4 | 6): PeerListener {
    return this.#world.listen(family);
  }

  listenToReset(): Promise<ResettingListener> {
    return this.#world.listenToReset();
  }

  udpEcho(family?: 4 | 6): Promise<UdpEcho> {
    return this.#world.udpEcho(family);
  }

  connect(to: HostEndpoint): Promise<Client> {
    return this.#world.connect(to);
  }

  udpClient(family?: 4 | 6): Promise<UdpClient> {
    return this.#world.udpClient(family);
  }

  step(): Promise<void> {
    return this.#world.step();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#world[Symbol.asyncDispose]();
  }
}
