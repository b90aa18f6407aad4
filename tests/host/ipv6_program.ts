/**
 * A host in a network namespace of its own talks IPv6 to peers in it, and prints what it is told, a line of JSON each.
 * What needs a router stands behind veth pairs: `near` has 2001:db8:1::2 and leads to `far`, which has 2001:db8:2::2,
 * by a link whose MTU is 1280. The namespaces have been made; see `ipv6_test.ts`.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { DenoHost } from "../../host/deno_host.ts";
import { LinuxHost } from "../../host/linux_host.ts";
import type { HostEndpoint, HostError, HostNetwork } from "../../nat/host.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";

const LINK_LOCAL = IpAddress.parse("fe80::77");
const PORT = 5353;

await using loop = new EventLoop();

/** Lets a host and its peers go on until something was told, or five seconds. */
async function until(told: unknown[]): Promise<void> {
  for (const end = performance.now() + 5000; told.length === 0 && performance.now() < end;) {
    loop.runBlocking(performance.now() + 2);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function print(what: string, told: unknown[]): void {
  console.log(JSON.stringify([what, ...told]));
}

async function udp(host: HostNetwork, what: string, to: HostEndpoint, length = 3): Promise<void> {
  const told: unknown[] = [];
  const socket = host.openUdp(6, {
    hostDatagram: (_bytes, start, end, from) => void told.push(`${from.address} ${end - start}`),
    hostDatagramFailed: (error, { address }, mtu) => void told.push(`${error} ${address} ${mtu}`),
  });
  if (typeof socket === "string") return print(what, [socket]);
  if (!socket.send(new Uint8Array(length), 0, length, to)) told.push("not taken");
  await until(told);
  socket.close();
  print(`${host.name} UDP ${what}`, told);
}

async function tcp(host: HostNetwork, what: string, target: HostEndpoint): Promise<void> {
  const told: unknown[] = [];
  const socket = host.connectTcp(target, {
    hostConnected: () => void told.push("connected"),
    hostConnectFailed: (error: HostError) => void told.push(error),
    hostReadable() {},
    hostWritable() {},
    hostFailed() {},
  });
  await until(told);
  if (told[0] === "connected") socket.close();
  print(`${host.name} TCP ${what}`, told);
}

async function ping(host: HostNetwork, what: string, to: string, length = 8): Promise<void> {
  const told: unknown[] = [];
  const socket = host.openPing!(6, {
    hostEchoReply: (_bytes, start, end, from) => void told.push(`${from} ${end - start}`),
    hostEchoFailed: (error, address, { mtu, sequence }) => void told.push(`${error} ${address} ${mtu} ${sequence}`),
  });
  if (typeof socket === "string") return print(what, [socket]);
  const bytes = new Uint8Array(length);
  bytes[7] = 5;
  if (!socket.send(bytes, 0, length, IpAddress.parse(to))) told.push("not taken");
  await until(told);
  socket.close();
  print(`ping ${what}`, told);
}

const echo = createSocket("udp6");
echo.on("message", (bytes, from) => echo.send(bytes, from.port, from.address));
await new Promise<void>((resolve) => echo.bind(PORT, "::", () => resolve()));
const listener = Deno.listen({ hostname: "::", port: PORT });
const accepting = (async () => {
  for await (const conn of listener) conn.close();
})();

const linux = new LinuxHost(loop);
for (const host of [linux, new DenoHost()]) {
  host.start(() => Infinity);
  for (const zone of ["v0", Deno.args[0]!, "nobody"]) {
    const to = { address: LINK_LOCAL, port: PORT, zone };
    await udp(host, zone === "v0" || zone === "nobody" ? zone : "number", to);
    await tcp(host, zone === "v0" || zone === "nobody" ? zone : "number", to);
  }
  if (host === linux) {
    const far = { address: IpAddress.parse("2001:db8:2::2"), port: 9 };
    await udp(host, "refused", far);
    await udp(host, "too large", far, 1400);
    await udp(host, "no route beyond", { address: IpAddress.parse("2001:db8:9::2"), port: 9 });
    await udp(host, "prohibited beyond", { address: IpAddress.parse("2001:db8:8::2"), port: 9 });
    for (const range of ["1 0", "0 0"]) {
      new Deno.Command("sh", { args: ["-c", `echo ${range} >/proc/sys/net/ipv4/ping_group_range`] }).outputSync();
      const kind = range === "0 0" ? "" : " by a raw socket";
      await ping(host, `answered${kind}`, "2001:db8:1::2", 1300);
      // Of an address each time to which the kernel does not know the path's MTU yet; later it cuts up what is larger.
      const far = range === "0 0" ? "2001:db8:2::4" : "2001:db8:2::3";
      await ping(host, `too large${kind}`, far, 1400);
      await ping(host, `in fragments${kind}`, far, 1400);
      await ping(host, `no route beyond${kind}`, "2001:db8:9::2");
      await ping(host, `in a circle${kind}`, "2001:db8:7::2");
    }
  }
  await host[Symbol.asyncDispose]();
}
listener.close();
await accepting;
echo.close();
