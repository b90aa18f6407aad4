/**
 * Connects its network namespace step by step, and prints after each how it is connected.
 *
 * @module
 */
import { readHostConnection } from "../../../net/linux/host_network.ts";

/** Does what `lines` say, each an `ip`, and reports. */
function step(name: string, lines: string, from?: string): void {
  for (const line of lines.trim().split("\n").map((line) => line.trim()).filter((line) => line !== "")) {
    const { success, stderr } = new Deno.Command("ip", { args: line.split(" ") }).outputSync();
    if (!success) throw new Error(`ip ${line}: ${new TextDecoder().decode(stderr)}`);
  }
  let connection: unknown;
  try {
    connection = readHostConnection(from);
  } catch (error) {
    connection = (error as Error).message;
  }
  console.log(JSON.stringify({ name, connection }));
}

step("nothing", "link set lo up");
step(
  "addresses without a route",
  `link add veth0 mtu 1400 type veth peer name veth1
   addr add 192.0.2.9/24 dev veth0
   link set veth1 up
   link set veth0 up`,
);
step("named", "", "veth0");
step("no such interface", "", "veth9");
step("IPv4", "route add default via 192.0.2.1 dev veth0 metric 100");
step(
  "both",
  `addr add 192.0.2.10/24 dev veth0
   addr add 2001:db8::8/64 dev veth0 nodad preferred_lft 0
   addr add 2001:db8::9/64 dev veth0 nodad
   route add default via fe80::1 dev veth0`,
);
step(
  "another interface is better for IPv4",
  `link add link1 mtu 9000 type veth peer name link2
   link set link2 up
   addr add 198.51.100.5/31 dev link1
   link set link1 up
   route add default via 198.51.100.4 dev link1 metric 50`,
);
step("named, the worse one", "", "veth0");
step(
  "a tunnel to a peer, without a router",
  `link add tun9 type veth peer name tun8
   link set tun8 up
   addr add 203.0.113.5 peer 203.0.113.1/32 dev tun9
   link set tun9 up
   route add default dev tun9 metric 10`,
);
step(
  "a router outside of the subnet, in another table and in the main one",
  `route del default dev tun9 metric 10
   route add default via 203.0.113.1 dev tun9 table 7 metric 1
   route add default via 198.51.100.99 dev link1 onlink metric 5
   route add blackhole default metric 1`,
);
step(
  "several ways",
  `route add default metric 2 nexthop via 192.0.2.1 dev veth0 nexthop via 198.51.100.4 dev link1`,
);
step(
  "many routes",
  Array.from({ length: 300 }, (_, i) => `route add 10.${i >> 4}.${(i & 15) * 16}.0/24 via 192.0.2.1`).join("\n"),
);
