import { assertEquals, assertStringIncludes } from "@std/assert";
import { DnsServer, respondWith } from "../support/dns_server.ts";
import { requires } from "../support/requirements.ts";
import { hawser, OrdinaryUser, shell, until } from "./run_support.ts";

const { ignore, reason } = requires(
  "linux",
  "root",
  "tun",
  "unshare",
  "nsenter",
  "ip",
  "mount",
  "nc",
  "socat",
  "getent",
);

/** Sockets by which libraries resolve names, those that are covered whatever nsswitch.conf says first. */
const ALWAYS = [
  "/run/nscd/socket",
  "/run/systemd/resolve/io.systemd.Resolve",
  "/run/systemd/machine/io.systemd.Machine",
  "/run/avahi-daemon/socket",
];
const IF_NAMED = ["/var/lib/sss/pipes/nss", "/run/nslcd/socket", "/run/samba/winbindd/pipe"];

/** A service of the host: it takes every connection at one socket, and says nothing. */
class Service implements AsyncDisposable {
  readonly #folder: string;
  readonly #server: Deno.ChildProcess;

  private constructor(folder: string) {
    this.#folder = folder;
    const args = [`UNIX-LISTEN:${this.path},fork,mode=666`, `SYSTEM:echo asked >>${folder}/log`];
    this.#server = new Deno.Command("socat", { args, stdin: "null", stderr: "null" }).spawn();
  }

  static async start(): Promise<Service> {
    const folder = await Deno.makeTempDir();
    await Deno.chmod(folder, 0o755);
    await Deno.writeTextFile(`${folder}/log`, "");
    const service = new Service(folder);
    await until("the service listens", () => shell('test -S "$1"', service.path).then(() => true, () => false));
    return service;
  }

  /** How many have connected. */
  async connected(): Promise<number> {
    return (await Deno.readTextFile(`${this.#folder}/log`)).split("\n").length - 1;
  }

  get path(): string {
    return `${this.#folder}/socket`;
  }

  /** In a mount namespace: puts the socket at every path, beside a file in its folder, and hosts at these services. */
  surroundings(hosts: string): string {
    const places = [...ALWAYS, ...IF_NAMED].map((place) =>
      `mkdir -p "$(dirname ${place})" && touch ${place} && mount --bind "${this.path}" ${place} &&
        echo kept >"$(dirname ${place})/file" &&`
    );
    return `mount -t tmpfs none /run && mount -t tmpfs none /var/lib && ${places.join("\n")}
      echo "hosts: ${hosts}" >/run/nsswitch.conf && mount --bind /run/nsswitch.conf /etc/nsswitch.conf`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.kill();
    await this.#server.status;
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Prints of each socket whether somebody answers there, and what lies beside it. */
const ASK_ALL = [...ALWAYS, ...IF_NAMED].map((place) =>
  `if nc -N -U ${place} </dev/null; then echo ${place} open; else echo ${place} closed; fi; cat "$(dirname ${place})/file"`
).join("\n");

function answers(isOpen: (place: string) => boolean): string {
  return [...ALWAYS, ...IF_NAMED].map((place) => `${place} ${isOpen(place) ? "open" : "closed"}\nkept\n`).join("");
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `hawser run ${name}${reason}`, ignore, fn });
}

test("covers the sockets by which names are resolved without DNS, and nothing beside them", async () => {
  await using service = await Service.start();
  for (const dns of ["none", "127.0.0.1:9"]) {
    const around = `exec unshare -m sh -c '${service.surroundings("files sss [NOTFOUND=continue] ldap wins dns")} &&
      { ${ASK_ALL}; } >&2 && exec "$@"' sh "$@"`;
    const { code, stdout, stderr } = await hawser(["run", "-D", dns, "sh", "-c", ASK_ALL], { around });
    // What was open before is closed behind Hawser.
    assertEquals(
      stderr.split("\n").filter((line) => /open$|closed$|^kept$/.test(line)).join("\n") + "\n",
      answers(() => true),
    );
    assertEquals([code, stdout], [0, answers(() => false)]);
  }
});

test("leaves services of users alone if hosts are not asked there", async () => {
  await using service = await Service.start();
  for (const hosts of ["files dns", "files dns[NOTFOUND=return] compass"]) {
    const around = `exec unshare -m sh -c '${service.surroundings(hosts)} && exec "$@"' sh "$@"`;
    const { stdout } = await hawser(["run", "-D", "none", "sh", "-c", ASK_ALL], { around });
    assertEquals(stdout, answers((place) => IF_NAMED.includes(place)));
  }
});

test("with a name service cache on the host takes names from its own resolver, and gives its own names", async () => {
  await using service = await Service.start(), dns = await DnsServer.start(respondWith([192, 0, 2, 9]));
  const around = `exec unshare -m sh -c '${service.surroundings("files dns")} && exec "$@"' sh "$@"`;
  const script = "for name in plain.test host.docker.internal; do getent ahostsv4 $name | head -n 1; done";
  const own = await hawser(["run", "-D", `127.0.0.1:${dns.port}`, "sh", "-c", script], { around });
  assertEquals(own.stdout.split("\n").map((line) => line.split(" ")[0]), ["192.0.2.9", "10.0.2.2", ""]);
  const none = await hawser(["run", "-D", "none", "sh", "-c", "getent ahostsv4 plain.test || echo none"], { around });
  assertEquals(none.stdout, "none\n");
  assertEquals(await service.connected(), 0);
});

test("covers them for an ordinary user too", async () => {
  await using service = await Service.start(), user = await OrdinaryUser.create();
  const outcome = await user.hawser(["run", "-D", "none", "sh", "-c", ASK_ALL], {
    prepare: service.surroundings("files sss ldap wins dns"),
  });
  assertEquals(outcome.stdout, answers(() => false));
});

test("says so in a line where a socket cannot be covered", async () => {
  await using service = await Service.start();
  const around = `exec unshare -m sh -c '${service.surroundings("files dns")} && rm -f /run/null &&
    mkdir /run/dev && mount -t tmpfs none /run/dev && mkdir /run/dev/net && touch /run/dev/net/tun /run/dev/urandom &&
    mount --bind /dev/net/tun /run/dev/net/tun && mount --bind /dev/urandom /run/dev/urandom &&
    mount --rbind /run/dev /dev && exec "$@"' sh "$@"`;
  const { code, stderr } = await hawser(["run", "-D", "none", "true"], { around, stdin: "" });
  assertEquals(code, 125, stderr);
  assertStringIncludes(stderr, "hawser run: cannot set the resolver: ");
  assertEquals(stderr.trim().split("\n").length, 1, stderr);
});
