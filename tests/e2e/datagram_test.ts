import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createSocket } from "node:dgram";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const run = requires("root", "tun", "unshare", "ip");
const socat = requires("root", "tun", "unshare", "ip", "socat");
const ping = requires("root", "tun", "unshare", "ip", "busybox");
const route = requires("root", "tun", "unshare", "ip", "socat", "nsenter");

const GUEST = new URL("./udp_guest.ts", import.meta.url).pathname;
const TFTP_GUEST = new URL("./tftp_guest.ts", import.meta.url).pathname;
const SIZES = [0, 1, 1400, 9000, 60000, 65507];

/** Runs `body` beside a server on 127.0.0.1 that returns every datagram. */
async function besideEcho(body: (port: number) => Promise<void>): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  try {
    await body(socket.address().port);
  } finally {
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
}

async function closedPort(): Promise<number> {
  let closed = 0;
  await besideEcho((port) => Promise.resolve(void (closed = port)));
  return closed;
}

for (
  const flags of [
    ["-m", "1500"],
    ["-m", "1500", "--no-offload"],
    ["-m", "65520"],
    ["-m", "65520", "--no-offload"],
    ["-m", "1500", "--host", "deno"],
  ]
) {
  Deno.test({
    name: `hawser run ${flags.join(" ")} carries UDP of up to 65507 bytes both ways${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      await besideEcho(async (port) => {
        const client = [Deno.execPath(), "run", "--no-check", "--allow-net", GUEST, "10.0.2.2", `${port}`];
        const { code, stdout, stderr } = await hawser(["run", ...flags, "--", ...client, ...SIZES.map(String)]);
        assertEquals([code, stdout], [0, SIZES.map((size) => `${size}\n`).join("")], stderr);
      });
    },
  });
}

Deno.test({
  name: `hawser run refuses a UDP port that nobody listens on${socat.reason}`,
  ignore: socat.ignore,
  fn: async () => {
    const script = `echo x | socat -t 5 - UDP4:10.0.2.2:${await closedPort()}`, began = performance.now();
    const { code, stderr } = await hawser(["run", "--", "sh", "-c", script]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "Connection refused");
    assert(performance.now() - began < 4500);
  },
});

/** A network namespace whose users may open ping sockets if their group is in `groups`. */
function pingNamespace(groups: string): string {
  const inside = `ip link set lo up && echo ${groups} >/proc/sys/net/ipv4/ping_group_range && exec "$@"`;
  return `exec unshare --net -- sh -c '${inside}' sh "$@"`;
}

for (const [kind, groups] of [["ping sockets", "0 0"], ["a raw socket", "1 0"]] as const) {
  Deno.test({
    name: `hawser run pings beyond the gateway through ${kind}${ping.reason}`,
    ignore: ping.ignore,
    fn: async () => {
      const script = `for size in 8 56 30000; do busybox ping -c 2 -W 5 -s $size 10.0.2.100 || exit; done`;
      const words = ["run", "-m", "1500", "--map", "10.0.2.100=127.0.0.1", "--", "sh", "-c", script];
      const { code, stdout, stderr } = await hawser(words, { around: pingNamespace(groups) });
      assertEquals([code, stdout.match(/bytes from 10\.0\.2\.100: seq=[01]/g)?.length], [0, 6], stdout + stderr);
    },
  });
}

Deno.test({
  name: `hawser run --host deno drops echo requests beyond the gateway, says so once and forges no reply${ping.reason}`,
  ignore: ping.ignore,
  fn: async () => {
    const script = "busybox ping -c 3 -i 0.2 -W 1 10.0.2.100; busybox ping -c 1 -W 5 10.0.2.2 && echo gateway";
    const words = ["run", "--host", "deno", "--map", "10.0.2.100=127.0.0.1", "--", "sh", "-c", script];
    const { stdout, stderr } = await hawser(words);
    assertStringIncludes(stdout, "3 packets transmitted, 0 packets received");
    assertStringIncludes(stdout, "gateway\n");
    assertEquals(stderr.match(/Echo requests to IPv4 beyond the gateway are dropped/g)?.length, 1, stderr);
  },
});

Deno.test({
  name: `hawser run tells the guest the MTU of a path beyond the host${route.reason}`,
  ignore: route.ignore,
  fn: async () => {
    // A router in a namespace of its own, behind which only 1000 bytes fit.
    const router =
      `ip addr add 192.0.2.2/30 dev v1; ip link set v1 up; echo 1 >/proc/sys/net/ipv4/ip_forward; ip link add d0 type veth peer name d1; ip link set d1 up
       ip addr add 198.51.100.1/24 dev d0; ip link set d0 mtu 1000 up`;
    const inside = `ip link set lo up
      unshare --net -- sleep 60 </dev/null >/dev/null 2>&1 & router=$!
      until [ "$(readlink /proc/$router/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
      ip link add v0 type veth peer name v1 netns $router && ip addr add 192.0.2.1/30 dev v0 && ip link set v0 up &&
        nsenter --net -t $router -- sh -c "$ROUTER" && ip route add 198.51.100.0/24 via 192.0.2.2 && "$@"
      code=$?; kill $router; exit $code`;
    // The kernel heeds the message for as long as the socket is open.
    const script =
      `(head -c 1400 /dev/zero; sleep 1) | socat -b 1400 -u - UDP4:198.51.100.7:9; ip route get 198.51.100.7`;
    const { stdout, stderr } = await hawser(["run", "-m", "1500", "--", "sh", "-c", script], {
      env: { ROUTER: router, INSIDE: inside },
      around: `exec unshare --net -- sh -c "$INSIDE" sh "$@"`,
    });
    assertStringIncludes(stdout, "mtu 1000", stderr);
  },
});

for (const host of ["ffi", "deno"]) {
  Deno.test({
    name:
      `hawser run --host ${host} passes an answer from another port, as TFTP servers give, and the guest goes on there${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      const asked = createSocket("udp4"), answering = createSocket("udp4");
      asked.on("message", (_, from) => answering.send("DATA", from.port, from.address));
      answering.on("message", (bytes, from) => answering.send(`got ${bytes}`, from.port, from.address));
      for (const socket of [asked, answering]) {
        await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
      }
      try {
        const client = [Deno.execPath(), "run", "--no-check", "--allow-net", TFTP_GUEST, "10.0.2.2"];
        const command = [...client, `${asked.address().port}`];
        const { code, stdout, stderr } = await hawser(["run", "--host", host, "-D", "none", "--", ...command]);
        assertEquals([code, stdout], [0, `DATA from ${answering.address().port}, then got ACK\n`], stderr);
      } finally {
        for (const socket of [asked, answering]) await new Promise<void>((resolve) => socket.close(() => resolve()));
      }
    },
  });
}

Deno.test({
  name: `hawser run shows the gateway to traceroute, by UDP and by ICMP${ping.reason}`,
  ignore: ping.ignore,
  fn: async () => {
    // One hop is asked for, so no packet goes further than the gateway.
    for (const way of [[], ["-I"]]) {
      const trace = ["busybox", "traceroute", "-n", "-q", "1", "-w", "5", "-m", "1", ...way, "192.0.2.1"];
      const { code, stdout, stderr } = await hawser(["run", "-D", "none", "--", ...trace]);
      assertEquals(code, 0, stderr);
      assertMatch(stdout, /^ *1 +10\.0\.2\.2 /m);
    }
  },
});
