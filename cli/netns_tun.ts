/**
 * Opening /dev/net/tun inside a network namespace that exists already, and configuring the interface that is made of
 * it there.
 *
 * The interface appears where the descriptor was opened. So a shell enters the namespace by `nsenter`, opens the file
 * and holds it until the descriptor has been taken out of the shell by `pidfd_getfd`. A process of its own does that,
 * because one that has entered a namespace may not be able to return: in a container, the network namespace in which
 * Hawser runs belongs to somebody else. If Hawser has no right to enter namespaces, the shell first enters the user
 * namespace that owns the network namespace, where it has every right if it is root there. If Hawser has that right, as
 * root or as root of a container, it has it in every namespace within its own too, and the shell keeps it: in the user
 * namespace of `podman --userns=keep-id` it would be nobody's root.
 *
 * **Nobody's root.** A user namespace may have no root, or another one than Hawser's user, as plain bubblewrap makes
 * it. Whoever enters it has every right there, and loses them with the next program that he becomes. The shell can open
 * the file all the same, and not configure an interface. If it is to, bubblewrap itself is asked to enter, which can
 * keep the rights.
 *
 * Then the shell waits. If it is told to configure, it does that when the interface exists, and ends. It ends in any
 * case when Hawser closes its socket or dies.
 *
 * @module
 */
import type { ByteText } from "../net/linux/byte_text.ts";
import { libc } from "../net/linux/libc.ts";
import { NetworkNamespace } from "../net/linux/netns.ts";
import { pidfdGetFd } from "../net/linux/pidfd.ts";
import { canEnterNamespaces } from "../net/linux/privileges.ts";
import { inheritedDescriptors, originalEnvironment } from "../net/linux/process.ts";
import { LineSocket, spawn, SpawnError } from "../net/linux/spawn.ts";
import { openTun } from "../net/linux/tun.ts";
import type { NetnsSpec } from "./link_spec.ts";
import type { WayIn } from "./listening_place.ts";
import { CONFIGURE_TAP, type TapConfiguration, tapWords } from "./tap_script.ts";
import { findTool, toolEnvironment } from "./tools.ts";

const TUN_FD = 3;
const HOLD = `
exec ${TUN_FD}<>/dev/net/tun || exit 125
while [ "$1" ] && read -r name value; do
  [ "$name" = CapEff: ] && [ "$value" = 0000000000000000 ] && echo hawser:powerless && exit
done </proc/self/status
echo "hawser:pid $$"
echo hawser:ready
read -r line || exit 125
exec ${TUN_FD}>&-
${CONFIGURE_TAP}
echo hawser:configured
`;

/** A descriptor of /dev/net/tun, opened in some namespace. */
export interface NamespaceTun {
  /** The descriptor, the caller's to close. */
  readonly fd: number;
  /** Configures the interface that was made of it. Throws an `Error` that says what failed. To be called once. */
  configure(): Promise<void>;
  /** Ends what still is in the namespace. May be called again. */
  release(): Promise<void>;
}

/**
 * Opens /dev/net/tun in this namespace, or in Hawser's own. With `configuration` it can be followed by `configure`,
 * which needs a namespace. Throws an `Error` that says what helps.
 */
export async function openTunIn(netns: NetnsSpec | undefined, configuration?: TapConfiguration): Promise<NamespaceTun> {
  const here = openTun();
  if (netns === undefined) return { fd: here, configure: () => Promise.resolve(), release: () => Promise.resolve() };
  // It was opened to learn what is wrong with the device, if anything is: from here that can be said best.
  libc().close(here);
  using target = openNamespace(netns);
  const name = "pid" in netns ? `of process ${netns.pid}` : netns.path;
  const env = toolEnvironment(originalEnvironment() ?? []);
  for (const way of waysInto(target, env)) {
    const tun = await new Shell(name).open(way, { target, env, configuration });
    if (tun !== undefined) return tun;
  }
  throw new Error(
    `cannot configure an interface in the network namespace ${name}: the user namespace that owns it has another root ` +
      "than this user; install bubblewrap, or make this user root there, as unshare -r and bwrap --uid 0 do",
  );
}

/** How a program gets into this namespace, and stays there with the rights that everybody has. */
export interface OpenWay extends WayIn, Disposable {}

/** Opens a way into this namespace. Throws an `Error` that says what helps. */
export function openWayInto(netns: NetnsSpec): OpenWay {
  const target = openNamespace(netns), env = toolEnvironment(originalEnvironment() ?? []);
  // The first one does for a program that needs no power.
  const [words] = waysInto(target, env), passedOn = [target.fd, target.ownerFd].filter((fd) => fd !== undefined);
  return { words: words!, env, passedOn, [Symbol.dispose]: () => target[Symbol.dispose]() };
}

/** Command lines that enter the namespace and become the program that follows; another if the first has no power. */
function* waysInto({ fd, ownerFd }: NetworkNamespace, env: readonly ByteText[]): Generator<readonly ByteText[]> {
  const nsenter = findTool("nsenter", env), net = `--net=/proc/self/fd/${fd}`;
  if (nsenter === undefined) throw new Error('cannot find "nsenter", install it (Debian package util-linux)');
  if (ownerFd === undefined || canEnterNamespaces()) return yield [nsenter, net, "--"];
  yield [nsenter, `--user=/proc/self/fd/${ownerFd}`, "--preserve-credentials", net, "--"];
  const bwrap = findTool("bwrap", env);
  if (bwrap === undefined) return;
  yield [bwrap, "--userns", `${ownerFd}`, "--cap-add", "ALL", "--dev-bind", "/", "/", "--", nsenter, net, "--"];
}

function openNamespace(netns: NetnsSpec): NetworkNamespace {
  if ("path" in netns) return NetworkNamespace.open(netns.path);
  try {
    return NetworkNamespace.open(`/proc/${netns.pid}/ns/net`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Error(`there is no process ${netns.pid}`);
    throw error;
  }
}

/** The shell in the namespace. */
class Shell {
  readonly #name: string;
  readonly #complaints: string[] = [];
  readonly #said = new Set<string>();
  readonly #socket: LineSocket;
  #heard: () => void = () => {};
  /** The shell's process, which what was started may not have become. */
  #pid = 0;
  #hasEnded = false;

  /** `name` is the namespace's, for messages. */
  constructor(name: string) {
    this.#name = name;
    this.#socket = new LineSocket((line) => {
      if (line.startsWith("hawser:pid ")) this.#pid = Number(line.slice("hawser:pid ".length));
      else if (line.startsWith("hawser:")) this.#said.add(line.slice("hawser:".length));
      else this.#complaints.push(line);
      this.#heard();
    });
    void this.#socket.closed.then(() => {
      this.#hasEnded = true;
      this.#heard();
    });
  }

  /** Starts it, and takes the descriptor out of it; `undefined`: it could not configure an interface, as it should. */
  async open(
    way: readonly ByteText[],
    { target: { fd, ownerFd }, env, configuration }: {
      readonly target: NetworkNamespace;
      readonly env: readonly ByteText[];
      readonly configuration: TapConfiguration | undefined;
    },
  ): Promise<NamespaceTun | undefined> {
    const passedOn = [fd, ownerFd], socket = this.#socket, { theirs } = socket;
    try {
      const words = configuration === undefined ? [] : ["hawser", ...tapWords(configuration)];
      spawn({
        path: way[0]!,
        args: [...way, "sh", "-c", HOLD, ...words],
        env,
        stdio: [theirs, theirs, theirs],
        closed: inheritedDescriptors().filter((inherited) => !passedOn.includes(inherited)),
        ownSession: true,
      });
      socket.started();
      if (await this.#hears("ready")) {
        const tun = pidfdGetFd(this.#pid, TUN_FD);
        if (configuration === undefined) await this.#release();
        return { fd: tun, configure: () => this.#configure(), release: () => this.#release() };
      }
    } catch (error) {
      await this.#release();
      if (!(error instanceof SpawnError)) throw error;
      this.#complaints.push(error.message);
    }
    await this.#release();
    if (this.#said.has("powerless")) return undefined;
    throw new Error(
      `cannot enter the network namespace ${this.#name}: ${this.#complaint}; run as root, or name one that belongs to ` +
        "a user namespace of your own",
    );
  }

  async #configure(): Promise<void> {
    this.#socket.say("configure");
    const isDone = await this.#hears("configured");
    await this.#release();
    if (isDone) return;
    throw new Error(`cannot configure the interface in the network namespace ${this.#name}: ${this.#complaint}`);
  }

  async #release(): Promise<void> {
    this.#socket.started();
    this.#socket.finish();
    await this.#socket.closed;
  }

  /** Whether it says this word before it ends. */
  async #hears(word: string): Promise<boolean> {
    while (!this.#said.has(word) && !this.#hasEnded) await new Promise<void>((resolve) => this.#heard = resolve);
    return this.#said.has(word);
  }

  get #complaint(): string {
    return this.#complaints.join("; ").replaceAll(/\s+/g, " ").trim() || "it ended without a word";
  }
}
