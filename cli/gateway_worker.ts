/**
 * The main thread's side of the Worker in which the gateway runs.
 *
 * One request is under way at a time; each is a message and, once the Worker blocks in its loop, a wake.
 *
 * @module
 */
import { wakeLoop } from "../net/linux/event_loop.ts";
import { formatReport } from "./flow_report.ts";
import type { FromWorker, StartedMessage, StartMessage, ToWorker } from "./run_messages.ts";

/**
 * Puts the Worker's module into the module graph; nobody calls this. `new Worker` does not put it there, so `deno
 * cache` and `deno install` would not fetch it, and what they installed would not run offline.
 */
export function workerModule(): Promise<typeof import("./run_worker.ts")> {
  return import("./run_worker.ts");
}

/** The gateway's Worker. It begins to load when this is made. */
export class GatewayWorker {
  readonly #worker: Worker;
  #wakeFd: number | undefined;
  #stopping = false;
  #answer: ((message: FromWorker) => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #fail!: (message: string) => void;
  /** Resolves to what is wrong if the gateway fails, whenever that is. Never rejects. */
  readonly failed: Promise<string>;

  /** Begins to load the Worker. */
  constructor() {
    this.failed = new Promise((resolve) => this.#fail = resolve);
    this.#worker = new Worker(new URL("./run_worker.ts", import.meta.url), { type: "module", name: "gateway" });
    this.#worker.onmessage = (event: MessageEvent<FromWorker>) => {
      const message = event.data;
      if (message.kind === "started") this.#wakeFd = message.wakeFd;
      if (message.kind === "failed") this.#fail(message.message);
      else this.#answer?.(message);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
  }

  /** Starts the gateway. Resolves when it serves; see `failed` for when it cannot. */
  async start(message: StartMessage): Promise<StartedMessage> {
    return await this.#ask(message) as StartedMessage;
  }

  /** The flow table, as people read it. */
  async flows(): Promise<string> {
    if (this.#stopping) return "";
    const answer = await this.#ask({ kind: "flows" });
    return answer.kind === "flows" ? formatReport(answer.report) : "";
  }

  /**
   * Ends the gateway after it has passed on what guests that have ended had sent; of `run` that is the one there was.
   */
  async stop(options: { guestsHaveEnded: boolean }): Promise<void> {
    this.#stopping = true;
    await this.#ask({ kind: "stop", ...options });
  }

  #ask(message: ToWorker): Promise<FromWorker> {
    const answer = this.#turn.then(() =>
      new Promise<FromWorker>((resolve) => {
        this.#answer = resolve;
        this.#worker.postMessage(message);
        if (this.#wakeFd !== undefined) wakeLoop(this.#wakeFd);
      })
    );
    this.#turn = answer;
    return answer;
  }
}
