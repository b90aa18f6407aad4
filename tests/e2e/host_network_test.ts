import { assertEquals, assertMatch } from "@std/assert";
import type { GatewayOptions } from "../../mod.ts";
import type { HostConnection } from "../../net/linux/host_network.ts";
import { requires } from "../support/requirements.ts";
import { Program } from "./program.ts";
import { hawser } from "./run_support.ts";

const { ignore, reason } = requires(
  "linux",
  "root",
  "tun",
  "unshare",
  "nsenter",
  "bash",
  "ip",
  "nc",
  "socat",
  "ping",
  "busybox",
);

/**
 * A host of its own, 192.168.7.20, with a neighbour behind a veth pair. That is its router too, 192.168.7.1, and has a
 * second address, .30, and the internet, 203.0.113.9; the same of IPv6. Port 8000 of both says who was asked at which
 * address, and who asks. All of it has processes of its own, which end with the first.
 */
const SURROUNDINGS = `exec unshare --net --pid --fork --kill-child --mount-proc sh -c '
  ip link set lo up
  unshare -n sleep 300 </dev/null >/dev/null 2>&1 & peer=$!
  until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
  ip link add v0 type veth peer name v1 netns $peer
  echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range
  ip addr add 192.168.7.20/24 dev v0; ip addr add 2001:db8:7::20/64 dev v0 nodad; ip link set v0 up
  nsenter -t $peer -n sh -c "ip link set lo up; ip addr add 203.0.113.9 dev lo; ip addr add 2001:db8:ffff::9 dev lo
    for a in 192.168.7.1/24 192.168.7.30/24; do ip addr add \\$a dev v1; done
    for a in 2001:db8:7::1/64 2001:db8:7::30/64 fe80::1/64; do ip addr add \\$a dev v1 nodad; done; ip link set v1 up"
  ip route add default via 192.168.7.1; ip route add default via fe80::1 dev v0
  answer() { echo "SYSTEM:echo $1 \\$SOCAT_SOCKADDR \\$SOCAT_PEERADDR"; }
  for way in TCP4-LISTEN:8000 TCP6-LISTEN:8000,ipv6only=1; do
    nsenter -t $peer -n socat $way,fork "$(answer peer)" </dev/null >/dev/null 2>&1 &
  done
  for way in TCP4-LISTEN:8000,bind=127.0.0.1 TCP6-LISTEN:8000,bind=[::1]; do
    socat $way,fork "$(answer host)" </dev/null >/dev/null 2>&1 &
  done
  until nc -z 203.0.113.9 8000 && nc -z 2001:db8:ffff::9 8000 && nc -z 127.0.0.1 8000 && nc -z ::1 8000; do
    sleep 0.05
  done
  "$@"' sh "$@"`;

/** The host's network, as a guest has it too. */
const NETWORK = {
  ipv4: { guest: "192.168.7.20/24", gateway: "192.168.7.1", relaysSubnet: true },
  ipv6: { guest: "2001:db8:7::20/64", gateway: "fe80::1", relaysSubnet: true },
} as const;
const ADDRESSES = { dnsAddresses: ["169.254.1.1"], hostAliases: ["169.254.1.2"] };
const CONFIGURE = `ip addr add 192.168.7.20/24 dev eth0; ip route add default via 192.168.7.1
  ip addr add 2001:db8:7::20/64 dev eth0 nodad; ip route add default via fe80::1 dev eth0 metric 1`;

function start(options: GatewayOptions): Program {
  return new Program(new URL("./host_network_gateway.ts", import.meta.url), {
    before: ["sh", "-c", SURROUNDINGS, "sh"],
    permissions: ["--allow-read", "--allow-net", "--allow-ffi", "--allow-env", "--allow-run", "--allow-sys"],
    isConfigured: true,
    words: [JSON.stringify(options)],
  });
}

function test(name: string, options: GatewayOptions, body: (at: Guest) => Promise<void>): void {
  Deno.test({
    name: `${name}${reason}`,
    ignore,
    fn: async () => {
      await using program = start(options);
      await body(new Guest(program));
    },
  });
}

/** What a test does in the guest. */
class Guest {
  readonly program: Program;

  constructor(program: Program) {
    this.program = program;
  }

  async run(line: string): Promise<string> {
    return (await this.program.call<string>("guest", line.replaceAll("\n", ";"))).trim();
  }

  /** Who answers at each of these addresses, by which address, a word each; nothing: nobody. */
  async asks(addresses: string): Promise<string[]> {
    const found: string[] = [];
    for (const address of addresses.split(" ")) {
      const said = await this.run(`nc -w 10 ${address} 8000 </dev/null || true`);
      found.push(said.split(" ").slice(0, 2).join(" "));
    }
    return found;
  }
}

test(
  "a guest with the host's own address reaches its neighbours, the internet and the host",
  { network: NETWORK, ...ADDRESSES, dns: "203.0.113.9" },
  async (at) => {
    const { ipv4, ipv6 } = await at.program.call<never>("connection") as HostConnection;
    assertEquals([ipv4, ipv6], [
      { name: "v0", mtu: 1500, addresses: ["192.168.7.20/24"], gateway: "192.168.7.1" },
      { name: "v0", mtu: 1500, addresses: ["2001:db8:7::20/64"], gateway: "fe80::1" },
    ]);
    await at.run(CONFIGURE);
    assertEquals(await at.asks("192.168.7.30 203.0.113.9 192.168.7.1 169.254.1.2 192.168.7.99"), [
      "peer 192.168.7.30",
      "peer 203.0.113.9",
      "host 127.0.0.1",
      "host 127.0.0.1",
      "",
    ]);
    assertEquals(await at.asks("2001:db8:7::30 2001:db8:ffff::9 fe80::1%eth0"), [
      "peer [2001:0db8:0007:0000:0000:0000:0000:0030]",
      "peer [2001:0db8:ffff:0000:0000:0000:0000:0009]",
      "host [0000:0000:0000:0000:0000:0000:0000:0001]",
    ]);
    for (const address of ["192.168.7.30", "2001:db8:7::30", "192.168.7.1", "169.254.1.1"]) {
      assertMatch(await at.run(`ping -n -c 1 -W 10 ${address}`), /1 received/, address);
    }
    const macs = await at.run("ip neigh show to 192.168.7.30; ip neigh show to 2001:db8:7::30");
    assertEquals(macs.match(/lladdr (\S+)/g)?.length, 2, macs);
    // DNS is where it was told to be, and names of the host are where that is.
    const names = await at.run("busybox nslookup -type=a host.containers.internal 169.254.1.1");
    assertMatch(names, /Name:\s+host\.containers\.internal\s+Address:? (1: )?169\.254\.1\.2/);
    const [denied] = await at.program.call<never>("warnings") as string[];
    assertEquals(denied, undefined);
  },
);

test(
  "a guest in the host's network may give itself another free address, and none that is taken",
  { network: NETWORK, ...ADDRESSES },
  async (at) => {
    await at.run(CONFIGURE);
    // Duplicate address detection of both families (RFC 5227, RFC 4862).
    const probe = (address: string) => at.run(`busybox arping -D -q -c 2 -w 3 -I eth0 ${address}; echo $?`);
    assertEquals([await probe("192.168.7.77"), await probe("192.168.7.1")], ["0", "1"]);
    await at.run("ip addr add 2001:db8:7::77/64 dev eth0");
    await at.run("for i in $(seq 200); do ip addr show tentative dev eth0 | grep -q 7::77 || break; sleep 0.05; done");
    assertMatch(await at.run("ip addr show dev eth0"), /inet6 2001:db8:7::77\/64 scope global \n/);
    await at.run("ip addr add 192.168.7.77/24 dev eth0");
    assertEquals(
      await at.run("nc -w 10 -s 192.168.7.77 192.168.7.30 8000 </dev/null | cut -d' ' -f1,2"),
      "peer 192.168.7.30",
    );
    assertEquals(
      await at.run(
        "nc -w 10 -s 2001:db8:7::77 2001:db8:7::30 8000 </dev/null | cut -c 1-4",
      ),
      "peer",
    );
  },
);

test(
  "without the host's loopback the gateway is the real router, and a deny closes the network as any other",
  { network: NETWORK, ...ADDRESSES, hostLoopback: false, deny: ["192.168.7.30"] },
  async (at) => {
    await at.run(CONFIGURE);
    assertEquals(await at.asks("192.168.7.1 192.168.7.30 169.254.1.2 203.0.113.9 169.254.169.254"), [
      "peer 192.168.7.1",
      "",
      "host 127.0.0.1",
      "peer 203.0.113.9",
      "",
    ]);
    assertMatch(await at.run("ping -n -c 1 -W 10 192.168.7.1"), /1 received/);
    const { denied } = await at.program.call<never>("counters") as { denied: number };
    assertEquals(denied, 2);
  },
);

/** What udhcpc does with a lease: the routes that it was told (RFC 3442), in their order, and nothing else. */
const LEASE = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev eth0
set -- $staticroutes
while [ "$1" ]; do
  if [ "$2" = 0.0.0.0 ]; then ip route add $1 dev eth0; else ip route add $1 via $2; fi
  shift 2
done`;

test(
  "a guest with a single address has its routes by DHCP to a gateway that is not of its subnet, and all that is behind",
  {
    network: {
      ipv4: { guest: "192.0.2.5/32", gateway: "198.51.100.1" },
      ipv6: { guest: "2001:db8:5::5/128", gateway: "fe80::9" },
    },
    ipv6Route: true,
  },
  async (at) => {
    const script = await Deno.makeTempFile({ prefix: "hawser-lease-" });
    try {
      await Deno.writeTextFile(script, LEASE, { mode: 0o755 });
      await Deno.chmod(script, 0o755);
      await at.run(`busybox udhcpc -i eth0 -n -q -f -t 10 -O staticroutes -s ${script} 2>&1`);
    } finally {
      await Deno.remove(script);
    }
    const routes = (await at.run("ip route")).split("\n").map((line) => line.trim());
    assertEquals(routes, ["default via 198.51.100.1 dev eth0", "198.51.100.1 dev eth0 scope link"]);
    await at.run("ip addr add 2001:db8:5::5/128 dev eth0 nodad");
    await at.run("for i in $(seq 200); do ip -6 route | grep -q ^default && break; sleep 0.05; done");
    assertMatch(await at.run("ip -6 route"), /^default via fe80::2 dev eth0 proto ra/m);
    assertEquals(await at.asks("198.51.100.1 203.0.113.9 2001:db8:ffff::9 fe80::9%eth0"), [
      "host 127.0.0.1",
      "peer 203.0.113.9",
      "peer [2001:0db8:ffff:0000:0000:0000:0000:0009]",
      "host [0000:0000:0000:0000:0000:0000:0000:0001]",
    ]);
  },
);

/** What the addresses of `hawser run` are good for: the resolver that is told, names, who answers where. */
const ASK = `cat /etc/resolv.conf
  busybox nslookup -type=a host.hawser.internal | sed -n "s/^Address[^A]*: *//p" | tail -n 1
  for address in 169.254.1.2 fd00::9 10.0.2.2 169.254.169.254; do
    echo "$address: $(nc -w 10 $address 8000 </dev/null | cut -d" " -f 1,2)"
  done`;

Deno.test({
  name: `hawser run has DNS and the host where --dns-address and --host-address say, in 169.254.0.0/16 too${reason}`,
  ignore,
  fn: async () => {
    const addresses = ["--dns-address", "169.254.1.1", "--host-address", "169.254.1.2", "--host-address", "fd00::9"];
    const asked = async (...options: string[]) => {
      const words = ["run", "-D", "203.0.113.9", ...addresses, ...options, "sh", "-c", ASK];
      const { code, stdout, stderr } = await hawser(words, { around: SURROUNDINGS });
      assertEquals(code, 0, stderr);
      return { lines: stdout.trim().split("\n"), stderr };
    };
    const closed = await asked("--no-host-loopback");
    assertEquals(closed.lines, [
      "nameserver 169.254.1.1",
      "169.254.1.2",
      "169.254.1.2: host 127.0.0.1",
      "fd00::9: host [0000:0000:0000:0000:0000:0000:0000:0001]",
      "10.0.2.2: ",
      "169.254.169.254:",
    ]);
    assertMatch(closed.stderr, /> 10\.0\.2\.2:8000 of guest 1: no host loopback/);
    assertMatch(closed.stderr, /> 169\.254\.169\.254:8000 of guest 1: deny 169\.254\.0\.0\/16 \(the default/);
    const denied = await asked("--deny", "169.254.1.0/24");
    assertEquals(denied.lines.slice(1, 5), [
      "169.254.1.2",
      "169.254.1.2: ",
      "fd00::9: host [0000:0000:0000:0000:0000:0000:0000:0001]",
      "10.0.2.2: host 127.0.0.1",
    ]);
  },
});
