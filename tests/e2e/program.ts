/**
 * Programs of a test that run beside it or in a guest's namespace and do what the test asks: a call is a line of JSON
 * on their stdin, its answer one on their stdout.
 *
 * @module
 */

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What a program can be asked, by name. */
export type Calls = Record<string, (...args: never[]) => Promise<Json> | Json>;

/** For the program: answers calls until stdin ends. */
export async function answerCalls(calls: Calls): Promise<void> {
  for await (const line of linesOf(Deno.stdin.readable)) {
    const { id, name, args } = JSON.parse(line);
    const say = (answer: Json) => console.log(JSON.stringify({ id, ...answer as object }));
    (async () => await calls[name]!(...args as never[]))().then(
      (result) => say({ result }),
      (error) => say({ error: String(error) }),
    );
  }
}

/** For the test: a program that was started. */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #answers = new Map<number, PromiseWithResolvers<Json> & { call: string }>();
  readonly #reading: Promise<void>;
  #calls = 0;

  /** Starts `module` with Deno; `before` is what stands before it on the command line, `words` what comes after. */
  constructor(
    module: URL,
    options: {
      before?: readonly string[];
      permissions: readonly string[];
      words?: readonly string[];
      /** Whether it may import what deno.json names. */
      isConfigured?: boolean;
    },
  ) {
    const config = options.isConfigured
      ? `--config=${new URL("../../deno.json", import.meta.url).pathname}`
      : "--no-config";
    const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", config, ...options.permissions];
    const [command, ...args] = [...options.before ?? [], ...deno, module.pathname, ...options.words ?? []];
    this.#child = new Deno.Command(command!, {
      args,
      env: { DENO_NO_UPDATE_CHECK: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** Asks, and gives the answer. Throws an `Error` where the call did. */
  async call<T extends Json>(name: string, ...args: Json[]): Promise<T> {
    const id = this.#calls++, call = `${name}(${args.join(", ")})`;
    const answer = { ...Promise.withResolvers<Json>(), call };
    this.#answers.set(id, answer);
    // Where the program ends before it is asked, writing fails and nobody waits for the answer.
    answer.promise.catch(() => {});
    await this.#stdin.write(new TextEncoder().encode(JSON.stringify({ id, name, args }) + "\n"));
    return await answer.promise as T;
  }

  /** Kills it as a crash would, and with it its connections. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#stdin.abort().catch(() => {});
    await this.#ended();
  }

  /** Ends it, whatever it is waiting for. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.kill();
    } catch (error) {
      // It was killed before.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async #ended(): Promise<void> {
    await this.#reading;
    await this.#child.status;
  }

  async #read(): Promise<void> {
    for await (const line of linesOf(this.#child.stdout)) {
      const { id, result, error } = JSON.parse(line), answer = this.#answers.get(id)!;
      this.#answers.delete(id);
      if (error === undefined) answer.resolve(result);
      else answer.reject(new Error(`${answer.call}: ${error}`));
    }
    for (const answer of this.#answers.values()) answer.reject(new Error(`${answer.call}: the program has ended`));
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
