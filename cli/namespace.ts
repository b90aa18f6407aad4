/**
 * A command in a network namespace of its own: making it, starting the command in it, and leaving nothing behind.
 *
 * `open` starts `unshare`, as it is or, if that is refused, with a user namespace (`-r`), and waits until the shell
 * that it becomes, the holder, has opened /dev/net/tun. `proceed` has the holder configure the namespace, and then
 * starts COMMAND in it by `nsenter`. `close` closes the socket to the holder, which then ends what is left, and waits
 * for that. The script is told in `namespace_script.ts`.
 *
 * COMMAND is started by Hawser and not by the holder, because a shell does not pass on everything: dash drops variables
 * whose names it cannot write, adds PWD, and knows descriptors up to 9 only. `nsenter` enters, and becomes COMMAND with
 * the bytes, the descriptors, the signals and the limits that Hawser's caller gave. Only the working directory has to
 * be found again: in the holder, which has the same one.
 *
 * @module
 */
import { deadline } from "@std/async";
import { describeErrno, errno, libc, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "../net/linux/libc.ts";
import { bytesOf } from "../net/linux/byte_text.ts";
import { callerOpenFileLimit, inheritedDescriptors } from "../net/linux/process.ts";
import { callerSignals } from "../net/linux/signal_actions.ts";
import { type Child, LineSocket, type ProcessEnding, spawn, SpawnError } from "../net/linux/spawn.ts";
import type { Command } from "./command.ts";
import type { Isolation } from "./isolate.ts";
import type { WayIn } from "./listening_place.ts";
import { HOLD, TUN_FD } from "./namespace_script.ts";
import { describeSetupFailure, readFacts } from "./remedies.ts";
import { signalNumber } from "./signals.ts";
import { diagnose, findTool, type HelperTools, toolEnvironment } from "./tools.ts";

/** How long the holder may take to end what COMMAND left. */
const CLOSE_TIMEOUT_MS = 5000;
const X_OK = 1;
const SIGKILL = 9;

/** What the namespace is to look like, and what runs there. */
export interface NamespaceOptions {
  /** IPv4 address and prefix length of eth0, `10.0.2.15/24`, and where the default route leads; or none. */
  readonly ipv4: { readonly address: string; readonly gateway: string } | undefined;
  /** IPv6 address and prefix length of eth0, `fd00::15/64`; or none. */
  readonly ipv6: string | undefined;
  /** MTU of eth0 in bytes. */
  readonly mtu: number;
  /** Address of the only name server, or `undefined` for none at all. */
  readonly resolver: string | undefined;
  /** The command. */
  readonly command: Command;
  /** How it is kept from everything else beyond its network, if it is. */
  readonly isolation: Isolation | undefined;
}

/** Why there is no namespace. The message says what helps. */
export class NamespaceError extends Error {
  /** The class's name, for messages. */
  override readonly name = "NamespaceError";
}

/** A network namespace with one command in it. */
export class Namespace {
  readonly #asMappedRoot: boolean;
  readonly #command: Command;
  readonly #isolation: Isolation | undefined;
  readonly #tools: HelperTools;
  readonly #inherited: readonly number[] = inheritedDescriptors();
  readonly #holder: Child;
  readonly #socket: LineSocket;
  readonly #complaints: string[] = [];
  readonly #waiting = new Map<string, () => void>();
  readonly #ending = Promise.withResolvers<ProcessEnding>();
  #step = "unshare";
  #unresolved = false;
  #strayed = false;
  #lacksIpv6 = false;
  #running: Child | undefined;
  #isOver = false;
  /** How COMMAND ended, or which signal came before it was started. Never rejects. */
  readonly ended: Promise<ProcessEnding> = this.#ending.promise;
  /**
   * The process that has /dev/net/tun, and the one whose namespaces are COMMAND's: both the holder, unless it says
   * otherwise.
   */
  #tunPid: number;
  #placePid: number;

  private constructor(options: NamespaceOptions, tools: HelperTools, asMappedRoot: boolean) {
    this.#asMappedRoot = asMappedRoot;
    this.#command = options.command;
    this.#isolation = options.isolation;
    this.#tools = tools;
    const { ipv4, ipv6 = "", mtu, resolver = "" } = options;
    const unshare = ["unshare", ...(asMappedRoot ? ["-r"] : []), "-n", "-m", "--"];
    const words = ["hawser", ipv4?.address ?? "", ipv4?.gateway ?? "", String(mtu), resolver, ipv6];
    const isolated = this.#isolation?.holder({ tools, asMappedRoot, words });
    this.#socket = new LineSocket((line) => this.#hear(line));
    const { theirs } = this.#socket;
    try {
      this.#holder = spawn({
        ...(isolated ?? { path: tools.unshare, args: [...unshare, "sh", "-c", HOLD, ...words] }),
        env: tools.env,
        stdio: [theirs, theirs, theirs],
        closed: this.#inherited,
        ownSession: true,
      });
    } catch (error) {
      this.#socket.abandon();
      throw error instanceof SpawnError ? new NamespaceError(`cannot start unshare: ${error.message}`) : error;
    }
    this.#socket.started();
    this.#tunPid = this.#placePid = this.#holder.pid;
  }

  /**
   * Makes the namespace and resolves when its holder has opened /dev/net/tun and waits. Throws a `NamespaceError`.
   */
  static async open(options: NamespaceOptions): Promise<Namespace> {
    const tools = await findTools(options.command);
    const first = new Namespace(options, tools, false);
    if (await first.#reach("ready") || first.#step !== "unshare") return await first.#orFail("ready");
    const second = new Namespace(options, tools, true);
    await second.#reach("ready");
    return await second.#orFail("ready");
  }

  /** /dev/net/tun, as it was opened in the namespace: a descriptor of a process there. */
  get tun(): { pid: number; fd: number } {
    return { pid: this.#tunPid, fd: TUN_FD };
  }

  /** How a program of Hawser's gets into the network namespace, before COMMAND is started. */
  get wayIn(): WayIn {
    const { nsenter, env } = this.#tools;
    return { words: [nsenter, "-t", String(this.#tunPid), "-n", ...this.#users, "--"], env };
  }

  /**
   * Has the namespace configured, and starts COMMAND unless a signal came first. `ipv6Route` says whether the gateway
   * advertises a default route; `prepare` is done in between. Throws a `NamespaceError`, or what `prepare` throws.
   */
  async proceed(
    { ipv6Route }: { readonly ipv6Route: boolean },
    prepare: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    this.#socket.say(ipv6Route ? "proceed route" : "proceed");
    if (!await this.#reach("run")) {
      if (this.#isOver) return;
      await this.#orFail("run");
    }
    if (!this.#isOver) await prepare();
    if (!this.#isOver) this.#start();
  }

  /** Whether no resolver could be set, because there is no /etc/resolv.conf to set it in. */
  get unresolved(): boolean {
    return this.#unresolved;
  }

  /** Whether COMMAND was started in /, because this user may not enter the working directory, or it is covered. */
  get strayed(): boolean {
    return this.#strayed;
  }

  /** Whether IPv6 was asked for and left out, because the kernel has none here. */
  get lacksIpv6(): boolean {
    return this.#lacksIpv6;
  }

  /** Sends COMMAND a signal. Before it is started, a signal that would end it ends the waiting for it instead. */
  kill(signal: Deno.Signal): void {
    const number = signalNumber(signal);
    if (this.#running && this.#isolation) this.#isolation.kill(this.#running, number);
    else if (this.#running) this.#running.kill(number);
    else if (signal !== "SIGCONT" && !callerSignals().ignored.has(number)) this.#end({ code: null, signal: number });
  }

  /** Takes notice of a signal that the terminal sends to COMMAND too. */
  interrupt(signal: Deno.Signal): void {
    if (!this.#running) this.kill(signal);
  }

  /** Ends everything in the namespace. Resolves to whether that was so within five seconds. */
  async close(): Promise<boolean> {
    this.#running?.kill(SIGKILL);
    this.#socket.say("end");
    this.#socket.finish();
    const done = await deadline(this.#socket.closed.then(() => true), CLOSE_TIMEOUT_MS).catch(() => false);
    this.#socket.abandon();
    return done;
  }

  /** What has nsenter enter the user namespace too, if there is one. */
  get #users(): readonly string[] {
    return this.#asMappedRoot || this.#isolation ? ["-U", "--preserve-credentials"] : [];
  }

  #start(): void {
    const { nsenter } = this.#tools, { words, env } = this.#command, openFiles = callerOpenFileLimit();
    const flags = ["-n", "-m", "-r", ...this.#users];
    if (this.#isolation || canEnterWorkingDirectory()) flags.push("-w");
    else this.#strayed = true;
    const enter = ["-t", String(this.#placePid), ...flags, "--", ...words];
    const isolated = this.#isolation?.command({
      tools: this.#tools,
      asMappedRoot: this.#asMappedRoot,
      holder: this.#holder.pid,
      enter,
      inherited: this.#inherited,
    });
    try {
      this.#running = spawn({ ...(isolated ?? { path: nsenter, args: ["nsenter", ...enter], env }), openFiles });
    } catch (error) {
      if (error instanceof SpawnError) throw new NamespaceError(`cannot start the command: ${error.message}`);
      throw error;
    }
    // They are COMMAND's now. If Hawser kept them, whoever waits for their end would wait for Hawser's too.
    for (const fd of this.#inherited) libc().close(fd);
    this.#running.ended.then((ending) => this.#end(ending));
  }

  #end(ending: ProcessEnding): void {
    this.#isOver = true;
    this.#isolation?.ended();
    this.#ending.resolve(ending);
  }

  /** Resolves to whether the holder announced `step` before it ended. */
  async #reach(step: string): Promise<boolean> {
    if (this.#step === step) return true;
    const announced = new Promise<true>((resolve) => this.#waiting.set(step, () => resolve(true)));
    // The announcement may still be in the socket when the process has ended.
    const failed = Promise.all([this.#holder.ended, this.#socket.closed]).then(() => this.#step === step);
    return await Promise.race([announced, failed, this.ended.then(() => false)]);
  }

  async #orFail(step: string): Promise<this> {
    if (this.#step === step) return this;
    this.#socket.abandon();
    const complaints = this.#complaints.map((line) => line.replace(/^(hawser|sh): (line )?\d+: (exec: )?/, ""));
    const facts = readFacts(await diagnose(this.#tools.env));
    const asMappedRoot = this.#asMappedRoot;
    throw new NamespaceError(describeSetupFailure({ step: this.#step, complaints, asMappedRoot, facts }));
  }

  #hear(line: string): void {
    const [, role, pid] = /^hawser:(tun|place|map) (\d+)$/.exec(line) ?? [];
    if (role === "tun") {
      this.#tunPid = Number(pid);
    } else if (role === "place") {
      this.#placePid = Number(pid);
    } else if (role === "map") {
      if (this.#isolation?.map(Number(pid))) this.#socket.say("mapped");
      else this.#socket.finish();
    } else if (line === "hawser:strayed") {
      this.#strayed = true;
    } else if (line === "hawser:lacking") {
      this.#lacksIpv6 = true;
    } else if (line === "hawser:unresolved") {
      this.#unresolved = true;
    } else if (/^hawser:[a-z]+$/.test(line)) {
      this.#step = line.slice("hawser:".length);
      this.#waiting.get(this.#step)?.();
    } else if (line !== "") {
      this.#complaints.push(line);
    }
  }
}

async function findTools(command: Command): Promise<HelperTools> {
  const env = toolEnvironment(command.env), unshare = findTool("unshare", env), nsenter = findTool("nsenter", env);
  if (unshare !== undefined && nsenter !== undefined) return { unshare, nsenter, env };
  const facts = readFacts(await diagnose(env));
  throw new NamespaceError(describeSetupFailure({ step: "unshare", complaints: [], asMappedRoot: false, facts }));
}

/**
 * Whether COMMAND can be taken to the working directory after it has entered the namespace. If not, it could not have
 * used it either, unless the directory can be entered and not be read: then this throws a `NamespaceError`.
 */
function canEnterWorkingDirectory(): boolean {
  const c = libc(), here = bytesOf(".\0"), fd = c.open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const code = fd < 0 ? errno() : 0;
  if (fd >= 0) c.close(fd);
  if (c.access(here, X_OK) < 0) return false;
  if (code === 0) return true;
  throw new NamespaceError(
    `cannot enter the working directory: ${describeErrno(code)}: change to one that this user may read`,
  );
}
