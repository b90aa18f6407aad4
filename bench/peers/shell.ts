/**
 * Starting what is measured: every program by one shell line, because `sh` is the only one that the task may run.
 *
 * @module
 */
import { delay } from "@std/async";

export { delay };

/** A shell line that is running, or the program that it became. */
export interface Shell {
  /** Its process id. */
  readonly pid: number;
  /** Whether it has ended. */
  readonly hasEnded: boolean;
  /** What it wrote to stderr, once it has ended. */
  complaint(): Promise<string>;
  /** Ends it by TERM, after two seconds by KILL. */
  end(): Promise<void>;
}

/** Starts a line that goes on until it is ended. Its stdout is dropped. */
export function startShell(line: string, env: Record<string, string> = {}): Shell {
  const child = new Deno.Command("sh", { args: ["-c", line], env, stdin: "null", stdout: "null", stderr: "piped" })
    .spawn();
  const stderr = new Response(child.stderr).text();
  let hasEnded = false;
  const ended = child.status.then(() => void (hasEnded = true));
  return {
    pid: child.pid,
    get hasEnded() {
      return hasEnded;
    },
    complaint: async () => (await stderr).trim().split("\n").at(-1) ?? "",
    async end() {
      if (!hasEnded) child.kill("SIGTERM");
      const killer = setTimeout(() => hasEnded || child.kill("SIGKILL"), 2000);
      await ended;
      clearTimeout(killer);
      await stderr;
    },
  };
}

/** Runs a line to its end and returns its stdout, whatever its exit code. Ends it after `timeoutMs`. */
export async function runShell(line: string, timeoutMs: number): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs);
  const command = new Deno.Command("sh", { args: ["-c", line], stdin: "null", stderr: "null", signal });
  const { stdout } = await command.output();
  if (signal.aborted) throw new Error(`Cannot measure: it took longer than ${timeoutMs / 1000} s`);
  return new TextDecoder().decode(stdout);
}

/** Files of one stack. */
export class BenchFiles {
  readonly #folder = Deno.makeTempDirSync({ prefix: "hawser-bench-" });

  /** The path of a file. */
  path(name: string): string {
    return `${this.#folder}/${name}`;
  }

  /** Removes them all. */
  remove(): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
