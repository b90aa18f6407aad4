/**
 * `run --isolate`: what is different about a command that reaches nothing but its network.
 *
 * `namespace.ts` asks an `Isolation` which programs to start instead of the usual ones; `isolate_script.ts` says how
 * they work together. It also signals COMMAND, which is not Hawser's child but its child's, maps users for it, and
 * gives the terminal back.
 *
 * @module
 */
import { type ByteText, utf8ByteText } from "../net/linux/byte_text.ts";
import { cString, libc, O_CLOEXEC, O_RDWR } from "../net/linux/libc.ts";
import { childrenOf } from "../net/linux/process.ts";
import type { Child } from "../net/linux/spawn.ts";
import type { Command } from "./command.ts";
import { coverTables } from "./isolate_covers.ts";
import { type SurveyedMachine, thisMachine } from "./isolate_machine.ts";
import { supervisorWords, WAIT } from "./isolate_script.ts";
import { Foreground } from "./isolate_terminal.ts";
import { IsolationError } from "./isolate_view.ts";
import { findTool, type HelperTools } from "./tools.ts";

/** A program for `spawn`. */
export interface Helper {
  /** The file. */
  readonly path: ByteText;
  /** Its arguments, the name by which it is called first. */
  readonly args: readonly ByteText[];
  /** Its environment. */
  readonly env: readonly ByteText[];
}

/** Helpers, and where they come from. */
const PACKAGES = { setpriv: "util-linux", mount: "util-linux", sh: "dash", env: "coreutils" } as const;
/** Between starting to wait for COMMAND and COMMAND's start there is a moment in which it cannot be signalled. */
const RETRY_MS = 5;
const MOST_RETRIES = 400;
/** The descriptors that any shell can redirect. */
const SHELL_DESCRIPTORS = [3, 4, 5, 6, 7, 8, 9];

/** One command that is isolated. */
export class Isolation {
  readonly #command: Command;
  readonly #ownFiles: readonly string[];
  readonly #machine: SurveyedMachine;
  #foreground: Foreground | undefined;
  #hasEnded = false;

  /**
   * `ownFiles` are Hawser's, there already, and hidden from COMMAND. Throws an `IsolationError` if the machine cannot
   * be looked at.
   */
  constructor(command: Command, ownFiles: readonly string[]) {
    this.#command = command;
    this.#ownFiles = ownFiles;
    this.#machine = thisMachine(command);
  }

  /**
   * What makes the namespaces: the supervisor. `words` are the name and the arguments of `SETUP`. Throws an
   * `IsolationError` if a file of Hawser's cannot be hidden.
   */
  holder(
    { tools, asMappedRoot, words }: { tools: HelperTools; asMappedRoot: boolean; words: readonly ByteText[] },
  ): Helper {
    const tables = coverTables(this.#machine, { ownFiles: this.#ownFiles, isRoot: !asMappedRoot });
    const setpriv = find("setpriv", tools);
    const args = supervisorWords({
      tools: [setpriv, find("mount", tools), tools.unshare],
      asMappedRoot,
      tables: tables.map(utf8ByteText),
      words,
    });
    return {
      path: setpriv,
      args: ["setpriv", "--pdeathsig", "KILL", "--", tools.unshare, ...args],
      env: tools.env,
    };
  }

  /**
   * What starts COMMAND and waits for it: a shell in the outer namespaces, whose child enters the inner ones. `holder`
   * is the supervisor, `enter` the options of `nsenter`, `inherited` COMMAND's descriptors.
   */
  command(
    { tools, asMappedRoot, holder, enter, inherited }: {
      tools: HelperTools;
      asMappedRoot: boolean;
      holder: number;
      enter: readonly ByteText[];
      inherited: readonly number[];
    },
  ): Helper {
    this.#foreground = Foreground.take();
    const outer = asMappedRoot ? ["-U", "--preserve-credentials"] : [];
    const processes = `--pid=/proc/${holder}/ns/pid_for_children`;
    // To env(1) a word without a name and an equals sign is the program.
    const variables = this.#command.env.filter((variable) => variable.indexOf("=") > 0);
    const free = SHELL_DESCRIPTORS.find((fd) => !inherited.includes(fd));
    const shell = [find("sh", tools), "-c", WAIT, "hawser", free === undefined ? "" : String(free)];
    return {
      path: tools.nsenter,
      args: [
        ...["nsenter", "-t", String(holder), ...outer, "-i", processes, "-F", "--", ...shell],
        ...[find("env", tools), "-i", ...variables, tools.nsenter, ...enter],
      ],
      env: tools.env,
    };
  }

  /** Signals COMMAND, the only child of the shell that waits for it. */
  kill(shell: Child, signal: number, retries = 0): void {
    if (this.#hasEnded) return;
    const [command] = childrenOf(shell.pid);
    if (command !== undefined) libc().kill(command, signal);
    else if (retries < MOST_RETRIES) setTimeout(() => this.kill(shell, signal, retries + 1), RETRY_MS);
  }

  /** To be called when COMMAND has ended. */
  ended(): void {
    this.#hasEnded = true;
    this.#foreground?.giveBack();
    this.#foreground = undefined;
  }

  /**
   * Gives a process in a user namespace without a map one in which everybody is who he is here. Returns whether that
   * was so.
   */
  map(pid: number): boolean {
    const { uidMap, gidMap } = this.#machine;
    return writeFile(`/proc/${pid}/uid_map`, uidMap) && writeFile(`/proc/${pid}/gid_map`, gidMap);
  }
}

/** Where a program is. Throws an `IsolationError` if it is nowhere. */
function find(name: keyof typeof PACKAGES, { env }: HelperTools): ByteText {
  const found = findTool(name, env);
  if (found !== undefined) return found;
  throw new IsolationError(`cannot isolate the command: install "${name}" (Debian package ${PACKAGES[name]})`);
}

function writeFile(path: string, text: string): boolean {
  const c = libc(), fd = c.open(cString(path), O_RDWR | O_CLOEXEC), bytes = new TextEncoder().encode(text);
  if (fd < 0) return false;
  const written = c.write(fd, bytes, BigInt(bytes.length));
  c.close(fd);
  return written === bytes.length;
}
