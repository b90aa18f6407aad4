/**
 * Changes the addresses of its network namespace step by step, and prints after each which of some are the host's.
 *
 * @module
 */
import { ListedHostAddresses } from "../../../host/own_addresses.ts";
import { LinuxHostAddresses } from "../../../net/linux/host_addresses.ts";
import { IpAddress } from "../../../net/wire/address.ts";

const PROBES = ["192.0.2.9", "2001:db8::9", "198.51.100.7", "192.0.2.10"].map((text) => IpAddress.parse(text));

using host = new LinuxHostAddresses();
let now = 0;
const listed = new ListedHostAddresses({ now: () => now += 10_000 });

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

function report(step: string): void {
  const own = PROBES.filter((address) => host.has(address)).map(String);
  const names = PROBES.filter((address) => listed.has(address)).map(String);
  console.log(JSON.stringify({ step, version: host.version(), own, listed: names }));
}

ip("link", "set", "lo", "up");
report("before");
ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1");
ip("addr", "add", "192.0.2.9/24", "dev", "veth0");
ip("addr", "add", "2001:db8::9/64", "dev", "veth0", "nodad");
ip("link", "set", "veth1", "up");
ip("link", "set", "veth0", "up");
// The kernel makes the route to an IPv6 address of its own later, in a work queue.
for (const end = performance.now() + 10_000; !host.has(PROBES[1]!) && performance.now() < end;) {
  ip("link", "show", "veth0");
}
report("addresses");
ip("route", "add", "local", "198.51.100.0/24", "dev", "lo");
report("a local route");
ip("addr", "del", "192.0.2.9/24", "dev", "veth0");
report("without one");
ip("route", "del", "local", "198.51.100.0/24", "dev", "lo");
ip("link", "del", "veth0");
report("after");
