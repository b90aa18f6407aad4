import { assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";

const needs = requires("linux", "root", "ffi", "unshare", "nsenter", "ip");

/**
 * Makes the namespaces of `ipv6_program.ts` and runs what follows. A packet to 2001:db8:7::/64 goes to and fro between
 * host and router until its hops are used up.
 */
const SURROUNDINGS = `

  set -e
  ip link set lo up
  unshare -n sleep 60 </dev/null >/dev/null 2>&1 & near=$!
  unshare -n sleep 60 </dev/null >/dev/null 2>&1 & far=$!
  trap 'kill $near $far' EXIT
  for pid in $near $far; do
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
  done
  ip link add v0 type veth peer name v1 netns $near
  nsenter -t $near -n ip link add w0 type veth peer name w1 netns $far
  nsenter -t $near -n sh -ec 'ip link set lo up; ip link set w0 mtu 1280; ip link set v1 up; ip link set w0 up
    ip addr add 2001:db8:1::2/64 dev v1 nodad; ip addr add 2001:db8:2::1/64 dev w0 nodad
    ip -6 route add prohibit 2001:db8:8::/64; ip -6 route add 2001:db8:7::/64 via 2001:db8:1::1
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
  nsenter -t $far -n sh -ec 'ip link set lo up; ip link set w1 mtu 1280 up
    for i in 2 3 4; do ip addr add 2001:db8:2::$i/64 dev w1 nodad; done; ip -6 route add default via 2001:db8:2::1'
  echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
  ip link set v0 up
  ip addr add 2001:db8:1::1/64 dev v0 nodad; ip addr add fe80::77/64 dev v0 nodad
  ip -6 route add default via 2001:db8:1::2
  # The kernel makes the routes to its own addresses later, in a work queue.
  served() { left=500; until nsenter -t $1 -n ip -6 route show table local | grep -q "$2" || [ "$left" -eq 0 ]; do
    sleep 0.02; left=$((left - 1)); done; }
  for address in fe80::77 2001:db8:1::1; do served $$ $address; done
  for address in 2001:db8:1::2 2001:db8:2::1; do served $near $address; done
  for i in 2 3 4; do served $far 2001:db8:2::$i; done
  "$@" "$(ip -o link show v0 | cut -d: -f1)"`;

Deno.test({
  name:
    `hosts over IPv6 reach link-local addresses by zone, and tell what routers say of a datagram or ping${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const program = new URL("./ipv6_program.ts", import.meta.url);
    const { stdout, stderr, code } = await new Deno.Command("unshare", {
      args: [
        ...["-n", "sh", "-c", SURROUNDINGS, "sh", Deno.execPath(), "run", "--no-check", "--allow-ffi"],
        ...["--allow-read", "--allow-run=sh", "--allow-net", "--allow-env"],
        program.pathname,
      ],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals([code, text(stderr)], [0, ""]);
    const lines = text(stdout).trim().split("\n").map((line) => JSON.parse(line));
    const zoned = (host: string, nobody: string[]) => [
      [`${host} UDP v0`, "fe80::77 3"],
      [`${host} TCP v0`, "connected"],
      [`${host} UDP number`, "fe80::77 3"],
      [`${host} TCP number`, "connected"],
      [`${host} UDP nobody`, nobody[0]],
      [`${host} TCP nobody`, nobody[1]],
    ];
    const pings = (kind: string, far: string) => [
      [`ping answered${kind}`, "2001:db8:1::2 1300"],
      [`ping too large${kind}`, `tooLarge ${far} 1280 5`],
      [`ping in fragments${kind}`, `${far} 1400`],
      [`ping no route beyond${kind}`, "networkUnreachable 2001:db8:9::2 0 5"],
      [`ping in a circle${kind}`, "expired 2001:db8:7::2 0 5"],
    ];
    assertEquals(lines, [
      ...zoned("ffi", ["networkUnreachable fe80::77 0", "networkUnreachable"]),
      ["ffi UDP refused", "refused 2001:db8:2::2 0"],
      ["ffi UDP too large", "tooLarge 2001:db8:2::2 1280"],
      ["ffi UDP no route beyond", "networkUnreachable 2001:db8:9::2 0"],
      ["ffi UDP prohibited beyond", "prohibited 2001:db8:8::2 0"],
      ...pings(" by a raw socket", "2001:db8:2::3"),
      ...pings("", "2001:db8:2::4"),
      ...zoned("deno", ["other fe80::77 0", "other"]),
    ]);
  },
});
