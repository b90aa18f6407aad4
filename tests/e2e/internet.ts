/**
 * An internet for tests of names, on a veth pair between two namespaces of their own.
 *
 * In one every address of both families is local, so that servers answer at any of them and nothing can leave: it has
 * no other interface and forwards nothing. In the other, the host, Hawser runs; its one way is to the first. So the
 * addresses may look public, which those of documentation do not to Hawser: they are not globally reachable.
 *
 * @module
 */
import type { Zone } from "../support/dns_zone.ts";
import type { Visit } from "./internet_servers.ts";
import { Program } from "./program.ts";
import { hawser, type HawserOptions, type Outcome, shell, until } from "./run_support.ts";

/** What it needs of the machine, for `requires`. */
export const INTERNET_NEEDS = ["linux", "root", "tun", "unshare", "nsenter", "ip", "openssl"];
/** What `ssh` needs besides. */
export const SSH_NEEDS = ["ssh", "ssh-keygen", "dropbear", "dropbearkey", "git", "ss"];

/** Addresses at which datagrams are answered, the host's resolver first, then another resolver. */
export const RESOLVER = "93.184.216.53";
/** A resolver that nobody was told of. */
export const OTHER_RESOLVER = "93.184.216.54";
const DATAGRAM_ADDRESSES = [
  RESOLVER,
  "2606:2800:220:1::53",
  OTHER_RESOLVER,
  "2606:2800:220:1::54",
  "93.184.216.20",
  "2606:2800:220:1::20",
];

/** Names that every internet has: `cdn.example` and both tenants share their addresses. */
export const ZONE: Zone = {
  "registry.example": { A: ["93.184.216.10"], AAAA: ["2606:2800:220:1::10"] },
  "cdn.example": { A: ["93.184.216.20"], AAAA: ["2606:2800:220:1::20"] },
  "tenant-a.example": { CNAME: "cdn.example" },
  "tenant-b.example": { CNAME: "cdn.example" },
  "git.example": { A: ["93.184.216.30"], AAAA: ["2606:2800:220:1::30"] },
  "other.example": { A: ["93.184.216.40"], AAAA: ["2606:2800:220:1::40"] },
  "mail.example": { A: ["93.184.216.60"], AAAA: ["2606:2800:220:1::60"] },
};

const SLEEP = ["--net", "--mount", "--", "sleep", "600"];
/** Processes in the namespaces: `$1` the servers, `$2` the host. `$3`: addresses that servers are bound to. */
const WIRE = `
  for pid in $1 $2; do
    while [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
    nsenter --net=/proc/$pid/ns/net sh -c 'ip link set lo up
      echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
      echo 1 >/proc/sys/net/ipv6/bindv6only; echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range
      echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding'
  done
  nsenter --net=/proc/$1/ns/net sh -c 'ip link add world0 type veth peer name host0 netns '$2'
    ip addr add 93.184.100.1/24 dev world0; ip addr add 2606:2800:100::1/64 dev world0 nodad; ip link set world0 up
    ip route add local 0.0.0.0/0 dev lo table main; ip -6 route add local ::/0 dev lo table main
    for address in '"$3"'; do ip addr add $address dev lo nodad; done'
  nsenter --net=/proc/$2/ns/net sh -c 'ip addr add 93.184.100.2/24 dev host0
    ip addr add 2606:2800:100::2/64 dev host0 nodad; ip link set host0 up
    ip route add default via 93.184.100.1; ip -6 route add default via 2606:2800:100::1'`;
/** In `$1`: an authority, and one certificate of its for the names in `$2`. */
const CERTIFY = `cd "$1" && exec 2>/dev/null &&
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 \\
    -subj /CN=authority &&
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem -subj /CN=server &&
  printf 'subjectAltName=%s\\n' "$2" >extensions &&
  openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem`;

const MAKE_HOME = `cd "$1" && mkdir home home/.ssh && ssh-keygen -q -t ed25519 -N "" -f id &&
  cp id.pub home/.ssh/authorized_keys && chmod -R go= home && dropbearkey -t ed25519 -f host.key >/dev/null 2>&1 &&
  git init -q -b main home/repository && cd home/repository && echo content >file && git add file &&
  git -c user.name=test -c user.email=test@example commit -q -m first && git update-server-info &&
  mkdir -p ../../www && ln -s "$1/home" ../../www/git.example`;
const SERVE_SSH =
  `mount --bind "$1/home" /root && chown 0:0 /root && exec dropbear -F -E -s -p 22 -r "$1/host.key" -P ""`;

/** The internet; dispose of it after everything that uses it. */
export class Internet implements AsyncDisposable {
  /** A folder with `ca.pem` and, below `www/HOST/`, what is served for this Host. */
  readonly folder: string;
  readonly #world: Deno.ChildProcess;
  readonly #host: Deno.ChildProcess;
  readonly #servers: Program;
  readonly #children: Deno.ChildProcess[] = [];

  private constructor(parts: { folder: string; world: Deno.ChildProcess; host: Deno.ChildProcess }) {
    this.folder = parts.folder;
    this.#world = parts.world;
    this.#host = parts.host;
    this.#servers = new Program(new URL("./internet_servers.ts", import.meta.url), {
      before: ["nsenter", `--net=/proc/${parts.world.pid}/ns/net`, "--"],
      permissions: ["--allow-net", "--allow-read"],
      words: [parts.folder, ...DATAGRAM_ADDRESSES],
    });
  }

  /** Makes the namespaces and starts the servers. */
  static async start(zone: Zone = ZONE): Promise<Internet> {
    const folder = await Deno.makeTempDir({ prefix: "hawser-internet-" });
    const [world, host] = [1, 2].map(() => new Deno.Command("unshare", { args: SLEEP, stdin: "null" }).spawn());
    const names = [...Object.keys(ZONE), ...Object.keys(zone)].map((name) => `DNS:${name}`).join();
    const bound = DATAGRAM_ADDRESSES.filter((address) => address.includes(":")).join(" ");
    await Promise.all([shell(WIRE, `${world!.pid}`, `${host!.pid}`, bound), shell(CERTIFY, folder, names)]);
    const internet = new Internet({ folder, world: world!, host: host! });
    await internet.#servers.call("ready");
    await internet.zone(zone);
    return internet;
  }

  /** For `HawserOptions.around`: a shell command that runs its words on the host. */
  get around(): string {
    return `exec nsenter --net=/proc/${this.#host.pid}/ns/net --mount=/proc/${this.#host.pid}/ns/mnt --wd="$PWD" -- "$@"`;
  }

  /** Runs `hawser` on the host to its end; `run` and `serve` ask the resolver of this internet. */
  async hawser([command, ...words]: readonly string[], options: HawserOptions = {}): Promise<Outcome> {
    const resolver = command === "run" || command === "serve" ? ["-D", RESOLVER] : [];
    return await hawser([command!, ...resolver, ...words], { around: this.around, ...options });
  }

  /** Runs a shell script under `hawser run` with these options; `$CA` names the authority's certificate. */
  async run(options: readonly string[], script: string, more: HawserOptions = {}): Promise<Outcome> {
    const env = { CA: `${this.folder}/ca.pem`, ...more.env };
    return await this.hawser(["run", ...options, "--", "bash", "-c", script], { ...more, env });
  }

  /**
   * Starts a program where the servers are, or on the host; it is ended with the internet,
   * and so is its stdin, on which nothing comes.
   */
  serve(where: "world" | "host", command: string, ...args: string[]): Deno.ChildProcess {
    const { pid } = where === "world" ? this.#world : this.#host;
    const child = new Deno.Command("nsenter", {
      args: [`--net=/proc/${pid}/ns/net`, "--", command, ...args],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    this.#children.push(child);
    return child;
  }

  /**
   * Starts a server of SSH at port 22 of every address, whose user root has this folder for a home, and makes
   * `repository` there, of git, with one commit. Returns the words of an `ssh` that it lets in.
   */
  async ssh(): Promise<string> {
    await shell(MAKE_HOME, this.folder);
    this.serve("world", "unshare", "--mount", "sh", "-c", SERVE_SSH, "sh", this.folder);
    await until("the server of SSH listens", () => this.inWorld("ss -Hltn sport = :22").then((text) => text !== ""));
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"];
    return ["ssh", "-F", "none", "-i", `${this.folder}/id`, ...options.flatMap((option) => ["-o", option])].join(" ");
  }

  /** Runs a shell script where the servers are and returns what it wrote, trimmed. Throws an `Error` if it fails. */
  async inWorld(script: string, ...args: string[]): Promise<string> {
    return await shell(`exec nsenter --net=/proc/${this.#world.pid}/ns/net -- sh -c '${script}' sh "$@"`, ...args);
  }

  /** Runs a shell script on the host and returns what it wrote, trimmed. Throws an `Error` if it fails. */
  async onHost(script: string, ...args: string[]): Promise<string> {
    return await shell(`exec nsenter --net=/proc/${this.#host.pid}/ns/net -- sh -c '${script}' sh "$@"`, ...args);
  }

  /** Has both resolvers answer from this zone from now on. */
  async zone(zone: Zone): Promise<void> {
    await this.#servers.call("zone", zone as never);
  }

  /** What has reached the servers, in order. */
  async visits(): Promise<readonly Visit[]> {
    return await this.#servers.call<never>("visits");
  }

  /** Forgets what has reached the servers. */
  async forget(): Promise<void> {
    await this.#servers.call("forget");
  }

  /** Ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    for (const child of this.#children) await child.stdin.abort();
    for (const child of [...this.#children, this.#host, this.#world]) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
    }
    await Deno.remove(this.folder, { recursive: true });
  }
}
