/**
 * A running `hawser serve` for tests.
 *
 * @module
 */
import { type HawserOptions, type Outcome, startHawser } from "./run_support.ts";

/** `hawser serve`, and what it has written so far. */
export class Serve implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #stderr = "";
  #changed = Promise.withResolvers<void>();

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#reading = this.#read();
  }

  /** Starts it and waits until it listens on each of `words`' links. Throws an `Error` where it ends before. */
  static async start(words: readonly string[], options: HawserOptions = {}): Promise<Serve> {
    const serve = new Serve(startHawser(["serve", ...words], options));
    const links = words.filter((word) => word === "--listen").length;
    await serve.says("it listens", (text) => (text.match(/^listening on /gm)?.length ?? 0) === links);
    return serve;
  }

  /** What it has written to stderr. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Its process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** The addresses on which it listens. */
  get addresses(): string[] {
    return [...this.#stderr.matchAll(/^listening on (.*)$/gm)].map((match) => match[1]!);
  }

  /** The port of the first address that has one. */
  get port(): number {
    return Number(this.addresses.find((address) => /^(tcp|ws):/.test(address))!.split(":").at(-1));
  }

  /**
   * Resolves when what it has written fulfils `condition`; until then `nudge` is called again and again. Throws an
   * `Error` when it ends before that or half a minute passes.
   */
  async says(what: string, condition: (text: string) => boolean, nudge: () => void = () => {}): Promise<void> {
    const over = this.#reading.then(() => true as const), end = performance.now() + 30_000;
    while (!condition(this.#stderr)) {
      nudge();
      const pause = Promise.withResolvers<void>(), timer = setTimeout(pause.resolve, 200);
      const hasEnded = await Promise.race([this.#changed.promise, over, pause.promise]);
      clearTimeout(timer);
      if (condition(this.#stderr)) return;
      if (hasEnded || performance.now() > end) throw new Error(`Waited in vain until ${what}: ${this.#stderr}`);
    }
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Resolves to how it ended. */
  async ended(): Promise<Outcome> {
    await this.#reading;
    const { code, signal } = await this.#child.status;
    return { code, signal, stdout: "", stderr: this.#stderr };
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.ended();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    await Promise.all([
      this.#child.stdout.cancel(),
      (async () => {
        for await (const chunk of this.#child.stderr) {
          this.#stderr += decoder.decode(chunk, { stream: true });
          this.#changed.resolve();
          this.#changed = Promise.withResolvers<void>();
        }
      })(),
    ]);
  }
}

/** How `hawser serve` ends that cannot begin. */
export async function serveFails(words: readonly string[], options: HawserOptions = {}): Promise<Outcome> {
  const child = startHawser(["serve", ...words], options), { code, signal, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, signal, stdout: text(stdout), stderr: text(stderr) };
}
