import { assertEquals, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser, OrdinaryUser, type Outcome, shell, until } from "./run_support.ts";

const NEEDS = ["linux", "root", "tun", "unshare", "setpriv", "ip", "socat", "prlimit"];
const { ignore, reason } = requires(...NEEDS);
const ATTACK = decodeURIComponent(new URL("isolate_attack.sh", import.meta.url).pathname);

/** Sockets of the host that answer `reached`, and another program of the attacker's user: what may not be got at. */
class Targets implements AsyncDisposable {
  /** A folder that the attacker may write to. */
  readonly folder: string;
  /** The socket. */
  readonly socket: string;
  /** A TCP port of the host. */
  readonly port: number;
  readonly #listener: Deno.TcpListener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #server: Deno.ChildProcess;
  readonly #bystander: Deno.ChildProcess;
  readonly #served: Promise<void>;

  private constructor(folder: string, uid: number) {
    this.folder = folder;
    this.socket = `${folder}/host.sock`;
    this.port = this.#listener.addr.port;
    this.#served = (async () => {
      for await (const conn of this.#listener) {
        await conn.write(new TextEncoder().encode("reached\n")).catch(() => {});
        conn.close();
      }
    })();
    const listen = `UNIX-LISTEN:${this.socket},fork,mode=777`;
    this.#server = new Deno.Command("socat", { args: [listen, "SYSTEM:echo reached"], stdin: "null" }).spawn();
    this.#bystander = new Deno.Command("sleep", { args: ["3600"], uid, stdin: "null", stdout: "null" }).spawn();
  }

  static async create(uid: number): Promise<Targets> {
    const folder = await Deno.makeTempDir({ prefix: "hawser-isolate-" });
    const rules =
      `echo "allow 10.0.2.2" >"$1/capture/rules.txt" && echo '{"an":"earlier run"}' >"$1/capture/audit.jsonl"`;
    const owned = `chown -R "$2:$2" "$1" && chmod 755 "$1"`;
    await shell(`mkdir "$1/attacker" "$1/capture" && ${rules} && ${owned}`, folder, String(uid));
    const targets = new Targets(folder, uid);
    await until("the socket is there", () => Deno.stat(targets.socket).then(() => true, () => false));
    return targets;
  }

  /** A shell command that puts the socket where services of a desktop have theirs, in a mount namespace of its own. */
  get prepare(): string {
    const places = [...this.sockets].filter((path) => path !== this.socket);
    // A socket cannot be bound under two names, so each place is a mount of the same one.
    return [
      "mount -t tmpfs -o mode=755 host /run",
      "mkdir -p /run/user/7/gnupg /run/dbus /run/podman /run/lately /tmp/.X11-unix",
      "mount -t tmpfs -o mode=1777 host /tmp/.X11-unix",
      ...places.map((path) => `touch ${path} && mount --bind ${this.socket} ${path}`),
      "chmod -R a+rX /run",
    ].join(" && ");
  }

  /** Every place of the socket. */
  get sockets(): string[] {
    return [
      this.socket,
      `${this.folder}/agent.sock`,
      "/run/user/7/bus",
      "/run/user/7/gnupg/S.gpg-agent",
      "/run/dbus/system_bus_socket",
      "/run/docker.sock",
      "/run/podman/podman.sock",
      "/run/lately/any.sock",
      "/tmp/.X11-unix/X0",
    ];
  }

  /** The environment that names one of them. */
  get env(): Record<string, string> {
    return { OWN: this.own.join(" "), SSH_AUTH_SOCK: `${this.folder}/agent.sock`, XDG_RUNTIME_DIR: "/run/user/7" };
  }

  /** Further files of Hawser's. */
  get own(): string[] {
    return ["rules.txt", "audit.jsonl", "learnt.txt"].map((name) => `${this.folder}/capture/${name}`);
  }

  /**
   * A shell command in which `"$@"` is `hawser` with the words below: it tells the attacker Hawser's number, and leaves
   * descriptors of Hawser's files open.
   */
  readonly start =
    `echo $$ >"$FOLDER/hawser"; exec "$@" 6<"$FOLDER/capture/rules.txt" 7<>"$FOLDER/capture/audit.jsonl"`;

  /** What `hawser` is told. */
  get words(): string[] {
    const capture = `${this.folder}/capture/x.pcap`, attacker = `${this.folder}/attacker`;
    const attack = [String(this.#bystander.pid), String(this.port), capture, attacker, ...this.sockets];
    const script = `pid=$(cat "$1"); shift; attack=$1; shift; exec sh "$attack" "$pid" "$@"`;
    const command = ["sh", "-c", script, "sh", `${this.folder}/hawser`, `${this.folder}/attack.sh`, ...attack];
    Deno.copyFileSync(ATTACK, `${this.folder}/attack.sh`);
    Deno.chmodSync(`${this.folder}/attack.sh`, 0o755);
    const [rules, audit, learnt] = this.own as [string, string, string];
    const files = ["--pcap", capture, "--rules", rules, "--audit", audit, "--learn", learnt];
    return ["run", "--isolate", "-D", "none", ...files, "--", ...command];
  }

  /** Checks what an attack came to. */
  async check(outcome: Outcome): Promise<void> {
    const [, audit, learnt] = this.own as [string, string, string], stderr = `learnt 1 rule: ${learnt}\n`;
    assertEquals(outcome, { code: 0, signal: null, stdout: "attacked\n", stderr });
    // It recorded all the while, too.
    const [, ...records] = Deno.readTextFileSync(audit).trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals([records[0].event, records.at(-1).event, records.at(-1).flows > 0], ["start", "end", true]);
    assertStringIncludes(Deno.readTextFileSync(learnt), `allow tcp:10.0.2.2:${this.port}`);
    // Hawser wrote its capture all the while, and the bystander lives.
    assertEquals(Deno.readFileSync(`${this.folder}/capture/x.pcap`).length > 1000, true);
    assertEquals(await shell(`ps -o stat= -p "$1" | cut -c1`, String(this.#bystander.pid)), "S");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#served;
    for (const child of [this.#server, this.#bystander]) {
      child.kill("SIGKILL");
      await child.status;
    }
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test({
  name:
    `hawser run --isolate as root: a command that attacks reaches no socket, process, disk or switch of the host${reason}`,
  ignore,
  fn: async () => {
    await using targets = await Targets.create(0);
    const around = `exec unshare -m -- sh -c 'eval "$PREPARE" && ${targets.start}' sh "$@"`;
    const env = { ...targets.env, PREPARE: targets.prepare, FOLDER: targets.folder };
    await targets.check(await hawser(targets.words, { around, env }));
  },
});

Deno.test({
  name:
    `hawser run --isolate as an ordinary user: a command that attacks reaches no socket or process of the host${reason}`,
  ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    await using targets = await Targets.create(user.id);
    const env = { ...targets.env, FOLDER: targets.folder };
    await targets.check(await user.script(targets.start, targets.words, { prepare: targets.prepare, env }));
  },
});

Deno.test({
  name: `hawser run without --isolate: the same attack succeeds, so it is one${reason}`,
  ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    await using targets = await Targets.create(user.id);
    const env = { ...targets.env, FOLDER: targets.folder };
    const words = targets.words.filter((word) => word !== "--isolate");
    const { stdout } = await user.script(targets.start, words, { prepare: targets.prepare, env });
    const successes = stdout.split("\n").filter((line) => line.startsWith("ESCAPED"));
    for (const path of targets.sockets) assertEquals(successes.includes(`ESCAPED to ${path} at first`), true, path);
    const own = ["into rules.txt", "to write rules.txt", "into audit.jsonl", "to write audit.jsonl", "into learnt.txt"];
    for (
      const what of [
        "into the capture at first",
        "to see Hawser at first",
        "to write the capture at first",
        ...own.map((what) => `${what} at first`),
        "by descriptor 6 to rules.txt",
        "by descriptor 7 to audit.jsonl",
      ]
    ) {
      assertEquals(successes.includes(`ESCAPED ${what}`), true, what);
    }
  },
});
