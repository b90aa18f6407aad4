/**
 * Linux as an IPv6 guest of `hawser serve`: a TAP in a namespace whose kernel and DHCPv6 clients do what they do on any
 * network. The gateway runs in a namespace of its own, so that its host's default route is the test's.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { shell, until } from "./run_support.ts";
import { Serve } from "./serve_support.ts";
import { complaintsAbout } from "./vm_support.ts";

const NEEDS = ["linux", "root", "tun", "ipv6", "ip"];
/** Writes what a client was given to the file `$LEASE`. */
const SCRIPT = `#!/bin/sh
case "$reason" in BOUND6) echo "$new_ip6_address$new_dhcp6_ia_na1_ia_addr1 $new_dhcp6_name_servers" >>"$LEASE"; esac
exit 0
`;

/** A gateway in one namespace, its guest in another. */
class Link implements AsyncDisposable {
  readonly #serve: Serve;
  readonly #names: { near: string; far: string };

  private constructor(serve: Serve, names: { near: string; far: string }) {
    this.#serve = serve;
    this.#names = names;
  }

  /** Makes both: a host with an interface and no route, a guest whose link is down. `options` are those of `serve`. */
  static async make(name: string, ...options: string[]): Promise<Link> {
    const near = `hw-near-${name}-${Deno.pid}`, far = `hw-far-${name}-${Deno.pid}`;
    await shell(
      `ip netns add ${near} && ip netns add ${far} && ip -n ${near} link set lo up && ip -n ${far} link set lo up &&
        ip -n ${near} link add eth0 type veth peer name eth1 && ip -n ${near} link set eth0 up`,
    );
    try {
      const serve = await Serve.start(["--dns", "127.0.0.1", "--listen", `tap:tap0@${far}`, ...options], {
        around: `exec ip netns exec ${near} "$@"`,
      });
      return new Link(serve, { near, far });
    } catch (error) {
      await shell(`ip netns del ${near}; ip netns del ${far}`);
      throw error;
    }
  }

  /** Runs a script as the guest, or as the host. */
  async run(where: "near" | "far", script: string, ...args: string[]): Promise<string> {
    return await shell(
      'ns="$1"; shift; exec ip netns exec "$ns" sh -c "$@"',
      this.#names[where],
      script,
      "sh",
      ...args,
    );
  }

  /** The guest's link is up, with this setting of the kernel, and the guest has its address there. */
  async up(setting: string): Promise<void> {
    await this.run("far", 'sysctl -qw "net.ipv6.conf.tap0.$1" && ip link set tap0 up', setting);
    await until("the guest has a link-local address", async () => {
      const addresses = await this.addresses();
      return addresses.includes("inet6 fe80::") && !addresses.includes("tentative");
    }, 20_000);
  }

  /** The guest's addresses on the link. */
  async addresses(): Promise<string> {
    return await this.run("far", "ip -6 -o addr show dev tap0");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#serve[Symbol.asyncDispose]();
    await shell(`ip netns del ${this.#names.near}; ip netns del ${this.#names.far}`);
  }
}

const kernel = requires(...NEEDS, "tshark");

/** Runs `body` with options for a gateway that captures, and looks at what it has captured. */
async function captured(body: (folder: string, options: (name: string) => string[]) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "hawser-ipv6-" });
  try {
    // Without offload checksums in the capture are those of the wire.
    await body(folder, (name) => ["--no-offload", "--pcap", `${folder}/${name}.pcap`]);
    for (const { name } of Deno.readDirSync(folder)) {
      if (!name.endsWith(".pcap")) continue;
      const file = `${folder}/${name}`, ipv6 = await shell('tshark -n -r "$1" -Y ipv6 2>/dev/null', file);
      assertMatch(ipv6, /Router Advertisement/);
      assertEquals(await complaintsAbout(file), "", name);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: `a Linux guest finds addresses by itself, and follows the host's default route${kernel.reason}`,
  ignore: kernel.ignore,
  fn: () => captured((_, options) => findAddresses(options("slaac"))),
});

async function findAddresses(options: string[]): Promise<void> {
  await using link = await Link.make("slaac", ...options);
  await link.run("far", "ip link set tap0 up");
  await until("the guest has addresses that nobody else has", async () => {
    const addresses = await link.addresses();
    return /inet6 fd00::[0-9a-f:]+\/64 scope global dynamic/.test(addresses) && !addresses.includes("tentative");
  }, 20_000);
  // One that is taken is found to be, one that is free is not.
  await link.run("far", "ip -6 addr add fd00::2/64 dev tap0 && ip -6 addr add fd00::15/64 dev tap0");
  const hasRoute = async () => (await link.run("far", "ip -6 route show default")).includes("via fe80::2 dev tap0");
  assertEquals(await hasRoute(), false, "the host has none");
  await link.run("near", "ip -6 route add default dev eth0");
  await until("the guest has the route", hasRoute, 20_000);
  await link.run("near", "ip -6 route del default");
  await until("the guest has the route no more", async () => !await hasRoute(), 20_000);
  await until("detection is over", async () => !/fd00::15\/.* tentative/.test(await link.addresses()), 20_000);
  const addresses = await link.addresses();
  assertMatch(addresses, /inet6 fd00::2\/64 scope global dadfailed/);
  assertEquals(addresses.match(/dadfailed/g)?.length, 1, addresses);
}

const clients = requires(...NEEDS, "dhclient", "dhcpcd", "unshare", "tshark");

Deno.test({
  name: `dhclient -6 and dhcpcd are given fd00::15 and the DNS server, and the same again${clients.reason}`,
  ignore: clients.ignore,
  fn: () =>
    captured(async (folder, options) => {
      await Deno.writeTextFile(`${folder}/script`, SCRIPT, { mode: 0o755 });
      await Promise.all([runDhclient(folder, options("dhclient")), runDhcpcd(folder, options("dhcpcd"))]);
      assertEquals(await Deno.readTextFile(`${folder}/dhclient`), "fd00::15 fd00::3\nfd00::15 fd00::3\n");
      assertEquals(await Deno.readTextFile(`${folder}/dhcpcd`), "fd00::15 fd00::3\n");
    }),
});

/** Two clients with leases of their own, one after the other. The first gives its address back. */
async function runDhclient(folder: string, options: string[]): Promise<void> {
  await using link = await Link.make("dhclient", ...options);
  await link.up("dad_transmits=0");
  // A copy is bound to no folder by AppArmor's profile of the original.
  await shell('cp "$(command -v dhclient)" "$1/copy"', folder);
  for (const [i, lease] of ["first", "second"].entries()) {
    const client =
      `"$1/copy" -6 -d -sf "$1/script" -pf "$1/pid" -cf /dev/null -lf "$1/${lease}" -e "LEASE=$1/dhclient"`;
    await link.run(
      "far",
      `${client} -1 tap0 & client=$!
        for _ in $(seq 400); do [ "$(grep -c . "$1/dhclient")" -gt ${i} ] && break; sleep 0.05; done
        kill $client; wait $client
        exec ${client} -r tap0`,
      folder,
    );
  }
}

/** A client that looks whether anyone else has the address before it says that it has it. */
async function runDhcpcd(folder: string, options: string[]): Promise<void> {
  await using link = await Link.make("dhcpcd", ...options);
  await Deno.writeTextFile(
    `${folder}/conf`,
    `duid\nipv6only\nnoipv6rs\noption dhcp6_name_servers\nenv LEASE=${folder}/dhcpcd\nia_na 1\n`,
  );
  await link.up("dad_transmits=1");
  // What it keeps on disk is the test's own.
  const mounts = "mkdir -p /var/lib/dhcpcd && mount -t tmpfs tmpfs /var/lib/dhcpcd && mount -t tmpfs tmpfs /run";
  const client = 'exec dhcpcd -1 -B -6 -f "$1/conf" --script "$1/script" tap0';
  await link.run("far", `exec unshare -m sh -c '${mounts} && ${client}' sh "$1"`, folder);
}
