/**
 * A shell in a network namespace of its own that holds /dev/net/tun open: the guest of a TAP link.
 *
 * @module
 */
import { pidfdGetFd } from "../../net/linux/pidfd.ts";

/** What the namespace's shell needs besides root and /dev/net/tun, for `requires`. */
export const GUEST_NEEDS = ["root", "tun", "unshare", "bash", "ip"];

const TUN_FD = 9;
const SERVE = `exec ${TUN_FD}<>/dev/net/tun && echo ready
while IFS= read -r line; do eval "$line" 2>&1; printf '\\n=end %s\\n' $?; done`;

/** A guest; dispose of it after the link. */
export class TapGuest implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #stdout: ReadableStreamDefaultReader<Uint8Array>;
  #output = "";

  private constructor() {
    this.#child = new Deno.Command("unshare", {
      args: ["--net", "--", "bash", "-c", SERVE],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#stdout = this.#child.stdout.getReader();
  }

  /** Starts the shell. */
  static async start(): Promise<TapGuest> {
    const guest = new TapGuest();
    await guest.#readTo(/^ready\n/);
    return guest;
  }

  /** The shell's process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** A descriptor of this process for the shell's /dev/net/tun; the shell keeps its own until it runs `exec 9>&-`. */
  takeTun(): number {
    return pidfdGetFd(this.pid, TUN_FD);
  }

  /** Runs one line of bash in the namespace and gives what it wrote. Throws an `Error` when it fails. */
  async run(line: string): Promise<string> {
    await this.#stdin.write(new TextEncoder().encode(line + "\n"));
    const [, output, code] = await this.#readTo(/^([^]*)\n=end (\d+)\n/);
    if (code !== "0") throw new Error(`Cannot run ${line} in the guest: it ended with ${code}, ${output}`);
    return output!;
  }

  /** Ends the shell, and with it the namespace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close();
    while (!(await this.#stdout.read()).done);
    await this.#child.status;
  }

  async #readTo(end: RegExp): Promise<RegExpExecArray> {
    const decoder = new TextDecoder();
    for (;;) {
      const match = end.exec(this.#output);
      if (match) {
        this.#output = this.#output.slice(match[0].length);
        return match;
      }
      const { value, done } = await this.#stdout.read();
      if (done) throw new Error(`Cannot read from the guest: it has ended after ${this.#output}`);
      this.#output += decoder.decode(value, { stream: true });
    }
  }
}
