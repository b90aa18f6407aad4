/**
 * A command in a network namespace of its own: starting it, holding it until it is configured, and leaving nothing behind.
 *
 * `open` starts `unshare`, as it is or, where that is refused, with a user namespace (`-r`), and waits until the shell in
 * the namespace has opened /dev/net/tun. `proceed` has it configure the namespace and become COMMAND. `close` closes the control
 * socket, upon which the watcher ends what is left, and waits for that. The scripts are told in `namespace_script.ts`.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { deadline } from "@std/async";
import { libc } from "../net/linux/libc.ts";
import { asCaller } from "../net/linux/signals.ts";
import { CONFIGURE, DIAGNOSE, ENTER, WATCH } from "./namespace_script.ts";
import { describeSetupFailure, readFacts } from "./remedies.ts";
import { signalNumber } from "./signals.ts";

/** The descriptor of /dev/net/tun in the process `Namespace.pid`. */
export const TUN_FD = 9;

/** How long the watcher may take to end what COMMAND left. */
const CLOSE_TIMEOUT_MS = 5000;

/** What the namespace is to look like, and what runs there. */
export interface NamespaceOptions {
  /** Address and prefix length of eth0: `10.0.2.15/24`. */
  readonly address: string;
  /** Address of the default route. */
  readonly gateway: string;
  /** MTU of eth0 in bytes. */
  readonly mtu: number;
  /** Address of the only name server, or `undefined` for none at all. */
  readonly resolver: string | undefined;
  /** The command and its arguments. */
  readonly command: readonly string[];
}

/** How a process ended: by `exit`, or by a signal. */
export interface Ending {
  /** Its exit code, `null` if a signal ended it. */
  readonly code: number | null;
  /** The name of that signal. */
  readonly signal: string | null;
}

/** Why there is no namespace. The message says what helps. */
export class NamespaceError extends Error {
  /** The class's name, for messages. */
  override readonly name = "NamespaceError";
}

/** A network namespace with one command in it. */
export class Namespace {
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #asMappedRoot: boolean;
  readonly #complaints: string[] = [];
  readonly #waiting = new Map<string, () => void>();
  #step = "unshare";
  #unresolved = false;
  #hasEnded = false;
  #partialLine = "";
  /** How the shell, and after `exec` COMMAND, ended. Never rejects. */
  readonly ended: Promise<Ending>;
  readonly #controlClosed: Promise<void>;

  private constructor(options: NamespaceOptions, asMappedRoot: boolean) {
    this.#asMappedRoot = asMappedRoot;
    const { address, gateway, mtu, resolver = "", command } = options;
    const unshare = [...(asMappedRoot ? ["-r"] : []), "-n", "-m", "--", "sh", "-c", CONFIGURE, "hawser"];
    const words = [WATCH, address, gateway, String(mtu), resolver, ...command];
    const args = ["-c", ENTER, "hawser", ...unshare, ...words];
    this.#child = asCaller(() => spawn("sh", args, { stdio: ["inherit", "inherit", "inherit", "pipe"] }));
    this.#control = this.#child.stdio[3] as Socket;
    this.ended = new Promise((resolve) => {
      this.#child.on("exit", (code, signal) => {
        this.#hasEnded = true;
        resolve({ code, signal });
      });
      this.#child.on("error", (error) => {
        this.#complaints.push(error.message);
        resolve({ code: 127, signal: null });
      });
    });
    this.#controlClosed = new Promise((resolve) => this.#control.on("close", () => resolve()));
    this.#control.on("data", (chunk: Uint8Array) => this.#hear(new TextDecoder().decode(chunk)));
    // The watcher need not wait for `close`: its end brings that of the socket, and with it the last lines.
    this.ended.then(() => this.#control.end());
    // A reset of the control socket is one more way in which the other side has ended.
    this.#control.on("error", () => {});
  }

  /**
   * Starts the shell in its namespace and resolves when it has opened /dev/net/tun and waits. Throws a `NamespaceError`.
   */
  static async open(options: NamespaceOptions): Promise<Namespace> {
    const first = new Namespace(options, false);
    if (await first.#reach("ready") || first.#step !== "unshare") return await first.#orFail();
    const second = new Namespace(options, true);
    await second.#reach("ready");
    return await second.#orFail();
  }

  /** The process that is the shell and becomes COMMAND. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Has the namespace configured and COMMAND started. Resolves when it is about to be; throws a `NamespaceError`. */
  async proceed(): Promise<void> {
    this.#control.write("proceed\n");
    if (await this.#reach("run") || this.#step === "command") return;
    await this.#orFail("run");
  }

  /** Whether COMMAND was not even tried because it is not there (127) or cannot be executed (126). */
  get refused(): boolean {
    return this.#step === "command";
  }

  /** Whether no resolver could be set, because there is no /etc/resolv.conf to set it in. */
  get unresolved(): boolean {
    return this.#unresolved;
  }

  /**
   * Sends COMMAND a signal. Not by `ChildProcess.kill`, which sends but one (deno#36643) and takes it for the way in which
   * the process ended; nor by `Deno.kill`, which wants the permission to run anything.
   */
  kill(signal: Deno.Signal): void {
    if (!this.#hasEnded) libc().kill(this.pid, signalNumber(signal));
  }

  /** Ends everything in the namespace. Resolves to whether that was so within five seconds. */
  async close(): Promise<boolean> {
    this.#control.end();
    const done = await deadline(this.#controlClosed.then(() => true), CLOSE_TIMEOUT_MS).catch(() => false);
    this.#control.destroy();
    return done;
  }

  /** Resolves to whether the script announced `step` before it ended. */
  async #reach(step: string): Promise<boolean> {
    if (this.#step === step) return true;
    const announced = new Promise<true>((resolve) => this.#waiting.set(step, () => resolve(true)));
    // The announcement may still be in the socket when the process has ended.
    const failed = Promise.all([this.ended, this.#controlClosed]).then(() => this.#step === step);
    return await Promise.race([announced, failed]);
  }

  async #orFail(step = "ready"): Promise<this> {
    if (this.#step === step) return this;
    this.#control.destroy();
    const complaints = this.#complaints.map((line) => line.replace(/^(hawser|sh): (line )?\d+: (exec: )?/, ""));
    const facts = readFacts(await diagnose());
    const asMappedRoot = this.#asMappedRoot;
    throw new NamespaceError(describeSetupFailure({ step: this.#step, complaints, asMappedRoot, facts }));
  }

  #hear(text: string): void {
    const lines = (this.#partialLine + text).split("\n");
    this.#partialLine = lines.pop()!;
    for (const line of lines) {
      if (line === "hawser:unresolved") {
        this.#unresolved = true;
      } else if (/^hawser:[a-z]+$/.test(line)) {
        this.#step = line.slice("hawser:".length);
        this.#waiting.get(this.#step)?.();
      } else if (line !== "") {
        this.#complaints.push(line);
      }
    }
  }
}

async function diagnose(): Promise<string> {
  try {
    const { stdout } = await new Deno.Command("sh", { args: ["-c", DIAGNOSE], stdin: "null", stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch {
    return "";
  }
}
