/**
 * What a Linux kernel makes of IPv6 packets and the gateway of its: segments of 64 KiB, fragments, echo, errors.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { createSocket } from "node:dgram";
import { Gateway } from "../../mod.ts";
import { tapLink } from "../../net/link/tap.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { requires } from "../support/requirements.ts";
import { GUEST_NEEDS, TapGuest } from "../support/tap_guest.ts";

const kernel = requires("linux", "ipv6", ...GUEST_NEEDS, "busybox");

const UDP_GUEST = new URL("./udp_guest.ts", import.meta.url).pathname;
const TCP_GUEST = new URL("./tcp_echo_guest.ts", import.meta.url).pathname;
const SIZES = [0, 1, 1452, 1453, 9000, 65_507, 65_527];

/** A guest at fd00::15 on a TAP, beside servers on ::1 that give back whatever comes. */
async function withGuest(
  link: { mtu: number; offload: boolean },
  body: (guest: TapGuest, ports: { udp: number; tcp: number }) => Promise<void>,
): Promise<void> {
  await using loop = EventLoop.shared();
  await using shell = await TapGuest.start();
  await using gateway = await Gateway.start({ host: "ffi", dns: "none" });
  gateway.attach(tapLink({ loop, fd: shell.takeTun(), name: "eth0", ...link }));
  const socket = createSocket("udp6"), listener = Deno.listen({ hostname: "::1", port: 0 });
  socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(0, "::1", resolve));
  const served = (async () => {
    for await (const conn of listener) await conn.readable.pipeTo(conn.writable);
  })();
  try {
    await shell.run("exec 9>&-; sysctl -qw net.ipv6.conf.eth0.accept_ra=0; ip link set lo up");
    // Nothing but these networks can be reached.
    await shell.run(
      `ip addr add fd00::15/64 dev eth0 nodad; ip link set eth0 mtu ${link.mtu} up; ` +
        "ip route add 2001:db8::/32 via fd00::2 dev eth0",
    );
    await body(shell, { udp: socket.address().port, tcp: listener.addr.port });
  } finally {
    listener.close();
    await served;
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
  const { tcpChecksum, udpChecksum, icmpChecksum, ipv6Malformed, fragmentOverlap } = gateway.counters();
  assertEquals([tcpChecksum, udpChecksum, icmpChecksum, ipv6Malformed, fragmentOverlap], [0, 0, 0, 0, 0]);
}

function program(path: string, ...args: (string | number)[]): string {
  return [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-net", path, ...args].join(" ");
}

for (const link of [{ mtu: 1500, offload: true }, { mtu: 1500, offload: false }, { mtu: 65_520, offload: true }]) {
  const how = `with an MTU of ${link.mtu}, ${link.offload ? "with" : "without"} offload`;

  Deno.test({
    name: `a Linux guest exchanges datagrams of any size and 16 MiB of TCP over IPv6 ${how}${kernel.reason}`,
    ignore: kernel.ignore,
    fn: () =>
      withGuest(link, async (guest, { udp, tcp }) => {
        const answered = await guest.run(program(UDP_GUEST, "fd00::2", udp, ...SIZES));
        assertEquals(answered, SIZES.map((size) => `${size}\n`).join(""));
        assertEquals(await guest.run(program(TCP_GUEST, "fd00::2", tcp, 16 << 20)), "same\n");
      }),
  });
}

Deno.test({
  name: `a Linux guest's ping is answered in pieces too, and traceroute shows the gateway over IPv6${kernel.reason}`,
  ignore: kernel.ignore,
  fn: () =>
    withGuest({ mtu: 1500, offload: true }, async (guest) => {
      for (const size of [8, 1452, 1453, 20_000]) {
        const said = await guest.run(`busybox ping -6 -c 1 -W 10 -s ${size} fd00::2`);
        assertMatch(said, / 1 packets received/);
      }
      // One hop is asked for, so no packet goes further than the gateway.
      const trace = await guest.run("busybox traceroute6 -n -q 1 -w 10 -m 1 2001:db8::7 2>&1");
      assertMatch(trace, /^ *1 +fd00::2 /m);
    }),
});
