/**
 * A container as tests make one: a process in user and network namespaces of its own, and a server of the host for it
 * to ask.
 *
 * @module
 */
import { shell } from "./run_support.ts";

const ALIVE_S = 120;

/** A process in user and network namespaces of its own. */
export class Container implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  /** Starts it; `script` is what it does before it sleeps. */
  static async start(script = ":"): Promise<Container> {
    const child = new Deno.Command("unshare", {
      args: ["-r", "-n", "sh", "-c", `${script}; echo ready; exec sleep ${ALIVE_S}`],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    return new Container(child);
  }

  /** Its process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Runs a shell script in it, as root there. Throws an `Error` if it fails. */
  async run(script: string, ...args: string[]): Promise<string> {
    const enter = 'pid=$1; shift; exec nsenter -t "$pid" -U -n --preserve-credentials -- sh -c "$@"';
    return await shell(enter, `${this.pid}`, script, "sh", ...args);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.stdout.cancel();
    await this.#child.status;
  }
}

/** A server on loopback that answers with the host's side of each connection. */
export function server(): AsyncDisposable & { readonly port: number } {
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("it is the host"));
  return { port: http.addr.port, [Symbol.asyncDispose]: () => http.shutdown() };
}

/** Gets the last line that a server at `$1` answers. */
export const GET = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - "TCP4:$1" | tail -n 1`;
