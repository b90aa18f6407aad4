/**
 * In a network namespace that has an interface v0 beside loopback, this listens by each alone and connects over
 * loopback; it prints what came of that. See `device_test.ts`.
 *
 * @module
 */
import { LinuxHost } from "../../host/linux_host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { IpAddress } from "../../net/wire/address.ts";

const ANY = IpAddress.parse("0.0.0.0");

const loop = new EventLoop(), host = new LinuxHost(loop);
const handler = { hostAccepted: () => null, hostAcceptFailed() {} };
const byVeth = host.listenTcp({ address: ANY, port: 0, device: "v0" }, handler);
if (typeof byVeth === "string") throw new Error(byVeth);
const { port } = byVeth.local;
console.log(await reach());
// The same port by another interface is free.
const byLoopback = host.listenTcp({ address: ANY, port, device: "lo" }, handler);
console.log(typeof byLoopback, await reach());
console.log(host.listenTcp({ address: ANY, port, device: "v0" }, handler));
console.log(host.listenTcp({ address: ANY, port: 0, device: "v9" }, handler));
const datagrams = { hostReceived() {}, hostFailed() {} } as never;
console.log(typeof host.bindUdp({ address: ANY, port, device: "v0" }, datagrams));
console.log(typeof host.bindUdp({ address: ANY, port, device: "lo" }, datagrams));
console.log(host.bindUdp({ address: ANY, port, device: "lo" }, datagrams));
Deno.exit(0);

async function reach(): Promise<string> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return "connected";
  } catch (error) {
    return (error as Error).name;
  }
}
