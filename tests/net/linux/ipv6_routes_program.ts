/**
 * Changes the IPv6 routes of its network namespace step by step, and prints after each whether there is a default
 * route, what a listener has heard, and whether it heard of it within a second.
 *
 * @module
 */
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { LinuxIpv6Routes } from "../../../net/linux/ipv6_routes.ts";

await using loop = new EventLoop();
using routes = new LinuxIpv6Routes(loop);
const BATCH = `${Deno.args[0]}/routes`;
let heard: boolean[] = [], turns = 0;
loop.onTurnEnd(() => {
  turns++;
  return Infinity;
});

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Makes a change and lets the loop run until something was heard, or for as long as nothing should be. */
function step(name: string, change: () => void, hears: boolean): void {
  heard = [];
  change();
  const end = performance.now() + (hears ? 1000 : 50);
  while (performance.now() < end && !(hears && heard.length > 0)) loop.runBlocking(performance.now() + 10);
  console.log(JSON.stringify({ name, has: routes.has(), heard }));
}

function route(...args: string[]): void {
  ip("-6", "route", ...args);
}

function listener(): void {
  heard.push(routes.has());
}

ip("link", "set", "lo", "up");
step("nothing", () => {}, false);
const end = routes.changed(listener);
step("a network", () => {
  ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1");
  ip("addr", "add", "2001:db8::9/64", "dev", "veth0", "nodad");
  ip("link", "set", "veth1", "up");
  ip("link", "set", "veth0", "up");
}, false);
step("a default route", () => route("add", "default", "via", "2001:db8::1"), true);
step("a second one", () => route("add", "default", "via", "2001:db8::2", "metric", "9"), false);
step("one less", () => route("del", "default", "via", "2001:db8::1"), false);
step("none", () => route("del", "default"), true);
step("one that rejects", () => route("add", "unreachable", "default", "metric", "9"), false);
step("all that is assigned", () => route("add", "2000::/3", "via", "2001:db8::1"), true);
step("the interface is down", () => ip("link", "set", "veth0", "down"), true);
step("up again", () => {
  ip("link", "set", "veth0", "up");
  ip("addr", "add", "2001:db8::9/64", "dev", "veth0", "nodad");
  route("add", "default", "via", "2001:db8::1", "metric", "5");
}, true);
const before = turns;
loop.runBlocking(performance.now() + 100);
console.log(JSON.stringify({ name: "quiet", turns: turns - before }));
end();
step("nobody listens", () => route("del", "default", "via", "2001:db8::1"), false);
const again = routes.changed(listener);
routes.changed(listener)();
step("somebody again", () => route("add", "default", "via", "2001:db8::1", "metric", "5"), true);
step("a storm", () => {
  const lines = Array.from({ length: 3000 }, (_, i) => `route add 2001:db8:1:${i.toString(16)}::/64 via 2001:db8::1`);
  Deno.writeTextFileSync(BATCH, lines.join("\n") + "\nroute del default via 2001:db8::1\n");
  try {
    ip("-6", "-batch", BATCH);
  } finally {
    Deno.removeSync(BATCH);
  }
}, true);
again();
