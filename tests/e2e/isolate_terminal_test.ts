import { assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "setpriv", "ip", "script", "bash");
const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
const INTERRUPT = "\x03", SUSPEND = "\x1a";
const DEADLINE_MS = 30_000;

/** A terminal with a program in it, as `script` makes one; what is written to it is typed. */
class Terminal implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #read: Promise<void>;
  #text = "";
  #seen = 0;
  #woken = Promise.withResolvers<void>();

  /** `command` is a shell command, in which `$hawser` stands for `hawser`. */
  constructor(command: string) {
    const permissions = "--allow-read --allow-write --allow-ffi --allow-net --allow-env";
    const child = new Deno.Command("script", {
      args: ["-q", "-e", "-c", command, "/dev/null"],
      env: {
        hawser: `${Deno.execPath()} run --no-prompt ${permissions} ${ROOT}cli.ts`,
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
        TERM: "dumb",
        SHELL: "/bin/sh",
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#child = child;
    this.#keys = child.stdin.getWriter();
    this.#read = (async () => {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        this.#text += text;
        this.#woken.resolve();
        this.#woken = Promise.withResolvers();
      }
      this.#woken.resolve();
    })();
  }

  /** Waits until the program has printed this since the last time. */
  async shows(text: string): Promise<void> {
    const end = performance.now() + DEADLINE_MS;
    while (!this.#text.slice(this.#seen).includes(text)) {
      if (performance.now() > end) throw new Error(`Waited in vain for ${text} in ${JSON.stringify(this.#text)}`);
      const timer = Promise.withResolvers<void>(), id = setTimeout(timer.resolve, 200);
      await Promise.race([this.#woken.promise, timer.promise]);
      clearTimeout(id);
    }
    this.#seen = this.#text.indexOf(text, this.#seen) + text.length;
  }

  /** Types something. */
  async type(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** The exit code of the program, once it has ended. */
  async code(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#read;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keys.close().catch(() => {});
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await this.#read;
  }
}

// What a test types appears too, so what it waits for is put together by the shell: $((1)).
Deno.test({
  name: `hawser run --isolate: the command reads from the terminal and is interrupted by it${reason}`,
  ignore,
  fn: async () => {
    await using terminal = new Terminal(
      `trap : INT; $hawser run --isolate -D none -- sh -c 'tty >/dev/tty; trap "echo got-1; exit 5" INT; echo ready; read a; echo "a=$a"; while :; do sleep 0.05; done'; exit $?`,
    );
    await terminal.shows("/dev/pts/");
    await terminal.shows("ready");
    await terminal.type("hello\n");
    await terminal.shows("a=hello");
    await terminal.type(INTERRUPT);
    await terminal.shows("got-1");
    assertEquals(await terminal.code(), 5);
  },
});

Deno.test({
  name: `hawser run --isolate: without a handler the terminal's interrupt ends the command, with 130${reason}`,
  ignore,
  fn: async () => {
    await using terminal = new Terminal(
      "trap : INT; $hawser run --isolate -D none -- sh -c 'echo ready; exec sleep 100'; exit $?",
    );
    await terminal.shows("ready");
    await terminal.type(INTERRUPT);
    assertEquals(await terminal.code(), 130);
  },
});

Deno.test({
  name: `hawser run --isolate: Ctrl-Z stops it as a job, fg goes on with it${reason}`,
  ignore,
  fn: async () => {
    await using terminal = new Terminal("bash --norc --noprofile --noediting -i");
    await terminal.type("PS1='prompt$((1))> '\n");
    await terminal.shows("prompt1> ");
    // It does not read when it is stopped: a reader that is late to stop would take what is typed for the shell.
    const script = `trap : CONT; echo ready$((1)); sleep 4321 & wait; read a; echo "a=$a"; exit 5`;
    await terminal.type(`$hawser run --isolate -D none -- sh -c '${script}'\n`);
    await terminal.shows("ready1");
    await terminal.type(SUSPEND);
    await terminal.shows("Stopped");
    await terminal.shows("prompt1> ");
    await terminal.type("fg\n");
    await terminal.shows("hawser run");
    await terminal.type("hello\n");
    await terminal.shows("a=hello");
    await terminal.shows("prompt1> ");
    await terminal.type("exit $?\n");
    assertEquals(await terminal.code(), 5);
  },
});

Deno.test({
  name: `hawser run --isolate: a shell in it has job control, and the terminal is given back after it${reason}`,
  ignore,
  fn: async () => {
    const inner = "$hawser run --isolate -D none -- bash --norc --noprofile --noediting -i";
    await using terminal = new Terminal(`${inner}; echo "code=$?"; read x; echo "x=$x"`);
    await terminal.type("PS1='prompt$((1))> '\n");
    await terminal.shows("prompt1> ");
    await terminal.type("sh -c 'trap \"echo goes$((1))\" CONT; echo runs$((1)); sleep 4321 & wait; wait'\n");
    await terminal.shows("runs1");
    await terminal.type(SUSPEND);
    await terminal.shows("Stopped");
    await terminal.shows("prompt1> ");
    await terminal.type("fg\n");
    // Now the shell has given the terminal to its job.
    await terminal.shows("goes1");
    await terminal.type(INTERRUPT);
    await terminal.shows("prompt1> ");
    await terminal.type("echo last=$?\n");
    await terminal.shows("last=130");
    await terminal.type("exit 3\n");
    await terminal.shows("code=3");
    await terminal.type("hello\n");
    await terminal.shows("x=hello");
    assertEquals(await terminal.code(), 0);
  },
});

Deno.test({
  name: `hawser run --isolate in the background does not take the terminal from who has it${reason}`,
  ignore,
  fn: async () => {
    await using terminal = new Terminal("bash --norc --noprofile --noediting -i");
    await terminal.type("PS1='prompt$((1))> '\n");
    await terminal.shows("prompt1> ");
    await terminal.type("$hawser run --isolate -D none -- sh -c 'exit 6' & wait $!; echo code=$?\n");
    await terminal.shows("code=6");
    await terminal.type("read x; echo x=$x; exit 4\n");
    await terminal.type("hello\n");
    await terminal.shows("x=hello");
    assertEquals(await terminal.code(), 4);
  },
});
