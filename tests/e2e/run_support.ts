/**
 * Starting `hawser run` for tests: as root, as an ordinary user, and in surroundings where something is missing.
 *
 * @module
 */

/** The permissions of `deno task hawser`. */
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-ffi", "--allow-net", "--allow-env"];
const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
/** What of the checkout `hawser` needs. */
const TREE = [
  "cli.ts",
  "mod.ts",
  "deno.json",
  "deno.lock",
  "cli",
  "net",
  "nat",
  "forward",
  "host",
  "guest",
  "rules",
  "audit",
  "tools",
];

/** How `hawser` is to be started. */
export interface HawserOptions {
  /** Text for its stdin; none unless given. */
  readonly stdin?: string;
  /** Variables to add to its environment. */
  readonly env?: Record<string, string>;
  /** Its working directory. */
  readonly cwd?: string;
  /** A permission that it is not to have. */
  readonly without?: string;
  /** A shell command that ends in `exec "$@"` and makes the surroundings. */
  readonly around?: string;
}

/** How `hawser` ended, and what it wrote. */
export interface Outcome {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `hawser` with these words. */
export function startHawser(words: readonly string[], options: HawserOptions = {}): Deno.ChildProcess {
  const permissions = PERMISSIONS.filter((permission) => permission !== options.without);
  const hawser = [Deno.execPath(), "run", "--no-prompt", ...permissions, `${ROOT}cli.ts`, ...words];
  const [program, ...args] = options.around === undefined ? hawser : ["sh", "-c", options.around, "sh", ...hawser];
  const child = new Deno.Command(program!, {
    args,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return child;
}

/** A command that has said that it is ready. */
export interface ReadyRun {
  /** `hawser`. */
  readonly child: Deno.ChildProcess;
  /** What came on stdout, up to "ready" and perhaps beyond. */
  readonly first: string;
  /** What comes on stdout from then on, to its end. */
  readonly rest: Promise<string>;
}

/** Starts `hawser` with these words and waits until it writes "ready". Throws an `Error` if it ends before. */
export async function startReady(words: readonly string[], options: HawserOptions = {}): Promise<ReadyRun> {
  const child = startHawser(words, options);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let first = "";
  while (!first.includes("ready\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`Cannot start ${words.join(" ")}: ${await new Response(child.stderr).text()}`);
    first += value;
  }
  const rest = (async () => {
    let more = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) more += read.value;
    return more;
  })();
  return { child, first, rest };
}

/** Runs `hawser` with these words to its end. */
export async function hawser(words: readonly string[], options: HawserOptions = {}): Promise<Outcome> {
  const child = startHawser(words, options);
  const [output] = await Promise.all([child.output(), feed(child, options.stdin)]);
  return readOutcome(output);
}

async function feed(child: Deno.ChildProcess, text: string | undefined): Promise<void> {
  if (text === undefined) return;
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
}

/** An outcome as text. */
export function readOutcome(output: Deno.CommandOutput): Outcome {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, signal: output.signal, stdout: text(output.stdout), stderr: text(output.stderr) };
}

/** Runs a shell script and returns what it wrote, trimmed. Throws an `Error` if it fails. */
export async function shell(script: string, ...args: string[]): Promise<string> {
  const output = await new Deno.Command("sh", { args: ["-c", script, "sh", ...args], stdin: "null" }).output();
  const { code, stdout, stderr } = readOutcome(output);
  if (code !== 0) throw new Error(`Cannot run ${script}: exit code ${code}, ${stderr}`);
  return stdout.trim();
}

/** Waits until `condition` holds. Throws an `Error` after five seconds, unless told otherwise. */
export async function until(what: string, condition: () => Promise<boolean>, timeoutMs = 5000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Processes with this word among their arguments that are more than a zombie. */
export async function processesWith(word: string): Promise<string[]> {
  const lines = await shell(`ps -eo pid=,stat=,args= | awk '$2 !~ /^Z/'`);
  return lines.split("\n").filter((line) => line.includes(word) && !line.includes("awk"));
}

/** The surroundings of an ordinary user. */
export interface UserOptions {
  /** The mode of his /dev/net/tun. */
  readonly tunMode?: string;
  /** His working directory. */
  readonly cwd?: string;
  /** What root does before in the same mount namespace, which is the user's own: a shell command. */
  readonly prepare?: string;
  /** Variables to add to his environment. */
  readonly env?: Record<string, string>;
  /** A shell command that ends in `exec "$@"`, by which root comes to where he is, another network for example. */
  readonly around?: string;
}

/** A user without privileges, with a Deno, a cache, a copy of the checkout and a /dev/net/tun of his own. */
export class OrdinaryUser implements AsyncDisposable {
  /** His user and group number. */
  readonly id = 65534;
  readonly #home: string;

  private constructor(home: string) {
    this.#home = home;
  }

  /** Makes the copies. */
  static async create(): Promise<OrdinaryUser> {
    const home = await Deno.makeTempDir({ prefix: "hawser-user-" });
    const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
    const { denoDir } = JSON.parse(readOutcome(info).stdout);
    await shell(
      `cd "$1" && mkdir cache tree dev && cp -r "$2/npm" cache/ && cp "$3" deno && shift 3 && cp -r "$@" tree/ &&
       chmod -R a+rX . && chown -R 65534:65534 cache`,
      home,
      denoDir,
      Deno.execPath(),
      ...TREE.map((name) => `${ROOT}${name}`),
    );
    return new OrdinaryUser(home);
  }

  /** Runs `hawser` as this user. */
  async hawser(words: readonly string[], options: UserOptions = {}): Promise<Outcome> {
    return await this.#run(this.#command(words), options);
  }

  /** Runs a shell script as this user, in which `"$@"` is `hawser` with these words. */
  async script(script: string, words: readonly string[], options: UserOptions = {}): Promise<Outcome> {
    return await this.#run(["sh", "-c", script, "sh", ...this.#command(words)], options);
  }

  #command(words: readonly string[]): string[] {
    return [`${this.#home}/deno`, "run", "--no-prompt", ...PERMISSIONS, `${this.#home}/tree/cli.ts`, ...words];
  }

  async #run(command: readonly string[], options: UserOptions): Promise<Outcome> {
    const around = `mount -t tmpfs -o mode=755 none "$home/dev" && mknod -m "$mode" "$home/dev/tun" c 10 200 &&
      mount --bind "$home/dev/tun" /dev/net/tun && eval "$prepare" && cd "$directory" &&
      exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"`;
    const output = await new Deno.Command("sh", {
      args: ["-c", options.around ?? 'exec "$@"', "sh", "unshare", "-m", "--", "sh", "-c", around, "sh", ...command],
      env: {
        home: this.#home,
        mode: options.tunMode ?? "666",
        directory: options.cwd ?? "/",
        prepare: options.prepare ?? ":",
        ...options.env,
        HOME: this.#home,
        DENO_DIR: `${this.#home}/cache`,
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
      },
      stdin: "null",
    }).output();
    return readOutcome(output);
  }

  /** Removes the copies. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#home, { recursive: true });
  }
}
