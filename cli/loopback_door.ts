/**
 * Hawser's side of the agent in a namespace (`loopback_agent.ts`), by which loopback there is reached and listened on.
 *
 * **Starting.** Once Hawser has hardened itself it starts no program any more, and most namespaces never need an agent.
 * So a shell is started inside while that can be done. It waits, and becomes the agent with the first line, which is
 * said when the first relay is wanted. It ends with its socket.
 *
 * **Inward** (`open`): the agent listens on every address of the namespace, at a port that Hawser chooses outside of
 * the ephemeral ones, so that it is known whose port that is before it is listened on. It takes clients from the
 * gateway's addresses alone: those that come to the host's loopback have one of them.
 *
 * **Outward** (`lead`): the agent listens on the namespace's loopback and connects to the gateway's address. That is a
 * flow of the guest like any other, under the same rules, and the audit has it.
 *
 * **What it says is not believed.** A program in the namespace may end the agent, stop it, or speak in its place: it
 * runs as the same user. All that could come of it is that relays do not work. An answer counts if it answers a
 * question, and no port comes from it; so many questions and no more wait for an answer; and after some lines that
 * answer nothing, it is not listened to any more.
 *
 * @module
 */
import type { Listening, LoopbackDoor, LoopbackWay } from "../forward/loopback_door.ts";
import type { ForwardProtocol } from "../forward/port_spec.ts";
import { formatEndpoint, type IpAddress } from "../net/wire/address.ts";

/** Ports outside of those that Linux gives to clients by default. */
const FIRST_PORT = 61000;
const LAST_PORT = 65535;
/** How many ports are tried for one relay. */
const MOST_TRIES = 16;
/** Questions that wait for an answer: with that many, all of them fit in the socket of an agent that does not read. */
const MOST_ASKED = 512;
/** Questions that wait to be asked. */
const MOST_WAITING = 16384;
const MOST_STRAY_LINES = 32;
const ANY = "*";
/** Which question an answer is to. */
const ANSWERS = new Map([["opened", "open"], ["failed", "open"], ["closed", "close"], ["finished", "finish"]]);
const ENDED = "the agent in the namespace has ended";
const UNWANTED = "it is not wanted any more";
/** How a reason begins if somebody has the port. */
const IN_USE = "in-use";

/** The way to an agent: lines in both directions. */
export interface AgentLine {
  /** Sends a line, if that can still be done. */
  say(line: string): void;
  /** Hears no more, and ends the agent. */
  abandon(): void;
}

/** What a door needs. */
export interface LoopbackDoorOptions {
  /** Opens the line. `hear` is called for each line, `ended` once, when there are no more. */
  line(hear: (line: string) => void, ended: () => void): AgentLine;
  /** The gateway's addresses on the guest's link: who may come in. */
  readonly gateways: readonly IpAddress[];
  /** Told once if the agent ends before it should. */
  lost(): void;
  /** An unpredictable whole number, at least 0 and less than `below`. */
  random(below: number): number;
}

/** A port of the namespace's loopback that leads to one of the gateway's address. */
export interface LedPort {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** The address of loopback. */
  readonly address: IpAddress;
  /** The port. */
  readonly port: number;
  /** The address of the gateway. */
  readonly gateway: IpAddress;
  /** The port there. */
  readonly gatewayPort: number;
}

interface Question {
  readonly line: string;
  answer(failure: string | undefined): void;
}

interface Way {
  /** The question that opened it, or tries to. */
  id: number;
  /** Which one of `#own` it is, if it is open or may be. */
  own: string;
  isClosed: boolean;
}

/** Where the agent listens. */
interface Place {
  readonly protocol: ForwardProtocol;
  readonly address: IpAddress | typeof ANY;
  readonly port: number;
}

/** The door to the loopback of one namespace. */
export class AgentDoor implements LoopbackDoor, Disposable {
  readonly #options: LoopbackDoorOptions;
  readonly #line: AgentLine;
  /** By question, such as `open 3`: what to do with the answer. */
  readonly #asked = new Map<string, (failure: string | undefined) => void>();
  /** Those that are asked as soon as others are answered. */
  readonly #waiting: Question[] = [];
  /**
   * Where the agent listens, by protocol, address and port: from before it is asked to until it says that it ended.
   * They stay its own when it has ended itself, since it is not known when.
   */
  readonly #own = new Set<string>();
  #isStarted = false;
  #hasEnded = false;
  #strayLines = 0;
  #lastId = 0;

  /** The agent is started when the first relay is wanted. */
  constructor(options: LoopbackDoorOptions) {
    this.#options = options;
    this.#line = options.line((line) => this.#hear(line), () => this.#end());
  }

  open({ protocol, address, port }: Listening, otherwise?: IpAddress): LoopbackWay {
    const to = otherwise === undefined ? `${address}` : `${address},${otherwise}`;
    const rest = `${to} ${port} ${this.#options.gateways.join(",")}`;
    return this.#begin((way) => this.#openAnywhere(way, protocol, rest));
  }

  isOwn({ protocol, address, port }: Listening): boolean {
    return this.#own.has(ownOf(protocol, ANY, port)) || this.#own.has(ownOf(protocol, `${address}`, port));
  }

  /** Leads a port of the namespace's loopback outward: `begins` is that port. */
  lead({ protocol, address, port, gateway, gatewayPort }: LedPort): LoopbackWay {
    return this.#begin(async (way) => {
      const failure = await this.#openAt(way, { protocol, address, port }, `${gateway} ${gatewayPort} ${ANY}`);
      if (way.isClosed) throw new Error(UNWANTED);
      if (failure === undefined) return port;
      const why = failure.startsWith(IN_USE) ? "somebody listens there already" : failure;
      throw new Error(`Cannot lead ${protocol} ${formatEndpoint(address, port)} of the namespace: ${why}`);
    });
  }

  /** Has the agent start, if it is known that it will be needed. */
  start(): void {
    if (!this.#isStarted && !this.#hasEnded) this.#line.say("go");
    this.#isStarted = true;
  }

  /** Resolves when all that was said on loopback has been passed on, if it can be, but for UDP. */
  async finish(): Promise<void> {
    if (this.#isStarted) await this.#ask(`finish ${++this.#lastId}`);
  }

  /** Ends the agent, or whoever waits to become it. */
  [Symbol.dispose](): void {
    this.#isStarted = false;
    this.#end();
  }

  #begin(open: (way: Way) => Promise<number>): LoopbackWay {
    const way: Way = { id: 0, own: "", isClosed: false }, begins = open(way);
    // Nobody waits for a way that was closed.
    begins.catch(() => {});
    return { begins, close: () => this.#close(way) };
  }

  /** Opens a way at a port that nobody has. */
  async #openAnywhere(way: Way, protocol: ForwardProtocol, rest: string): Promise<number> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const port = this.#freePort(protocol), failure = await this.#openAt(way, { protocol, address: ANY, port }, rest);
      if (way.isClosed) throw new Error(UNWANTED);
      if (failure === undefined) return port;
      if (!failure.startsWith(IN_USE)) throw new Error(failure);
    }
    throw new Error(`none of ${MOST_TRIES} ports could be had in the namespace`);
  }

  /** Resolves to why the agent cannot listen there, or to `undefined`. */
  async #openAt(way: Way, { protocol, address, port }: Place, rest: string): Promise<string | undefined> {
    way.id = ++this.#lastId;
    way.own = ownOf(protocol, `${address}`, port);
    this.#own.add(way.own);
    const failure = await this.#ask(`open ${way.id} ${protocol} ${address} ${port} ${rest}`);
    if (failure !== undefined) this.#disown(way);
    return failure;
  }

  #close(way: Way): void {
    if (way.isClosed) return;
    way.isClosed = true;
    if (way.own === "") return;
    void this.#ask(`close ${way.id}`).then((failure) => {
      if (failure === undefined) this.#disown(way);
    });
  }

  #disown(way: Way): void {
    this.#own.delete(way.own);
    way.own = "";
  }

  #freePort(protocol: ForwardProtocol): number {
    const count = LAST_PORT - FIRST_PORT + 1, first = this.#options.random(count);
    for (let i = 0; i < count; i++) {
      const port = FIRST_PORT + (first + i) % count;
      if (!this.#own.has(ownOf(protocol, ANY, port))) return port;
    }
    throw new Error("all ports that it could have are in use");
  }

  /** Asks, and resolves to why it failed, or to `undefined`. */
  #ask(line: string): Promise<string | undefined> {
    if (this.#hasEnded) return Promise.resolve(ENDED);
    if (this.#waiting.length >= MOST_WAITING) return Promise.resolve("the agent in the namespace does not answer");
    this.start();
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#waiting.push({ line, answer: resolve });
    this.#askNext();
    return promise;
  }

  #askNext(): void {
    while (this.#asked.size < MOST_ASKED) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#asked.set(next.line.split(" ", 2).join(" "), next.answer);
      this.#line.say(next.line);
    }
  }

  #hear(line: string): void {
    const [, verb, digits, why] = /^([a-z]+) (\d{1,9})(?: (.*))?$/.exec(line) ?? [];
    const key = `${ANSWERS.get(verb ?? "")} ${digits}`, answer = this.#asked.get(key);
    if (answer === undefined) {
      if (++this.#strayLines > MOST_STRAY_LINES) this.#end();
      return;
    }
    this.#asked.delete(key);
    answer(verb === "failed" ? readable(why) : undefined);
    this.#askNext();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#line.abandon();
    for (const answer of this.#asked.values()) answer(ENDED);
    for (const { answer } of this.#waiting.splice(0)) answer(ENDED);
    this.#asked.clear();
    if (this.#isStarted) this.#options.lost();
  }
}

function ownOf(protocol: ForwardProtocol, address: string, port: number): string {
  return `${protocol} ${address} ${port}`;
}

/** A reason as a terminal may show it. */
function readable(why = ""): string {
  return why.slice(0, 200).replaceAll(/[^\x20-\x7e]/g, "?").trim() || "the agent in the namespace says no more";
}
