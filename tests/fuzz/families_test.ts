import { assert, assertEquals, assertThrows } from "@std/assert";
import { readCorpus } from "./corpus.ts";
import { inIpv6, readTwins } from "./families.ts";
import { parseScript } from "./script.ts";
import { FuzzTarget } from "./target.ts";

/** Plays a script; returns what was counted, and the EtherTypes of the guest's frames. */
function play(text: string): { counted: Record<string, number>; types: Set<string> } {
  const actions = parseScript(text);
  const target = new FuzzTarget(actions[0]?.verb === "options" ? actions[0].fields : undefined);
  for (const action of actions) target.act(action);
  target.close();
  const frames = target.played.filter((line) => line.startsWith("frame "));
  return { counted: { ...target.nat.counters }, types: new Set(frames.map((line) => line.slice(30, 34))) };
}

Deno.test("a script over IPv6 comes to the same counters as over IPv4, by frames of IPv6 alone", () => {
  const twins = readTwins(), corpus = new Map(readCorpus().map(({ name, text }) => [`${name} over IPv6`, text]));
  assert(twins.length > 20, `${twins.length} scripts`);
  for (const { name, text } of twins) {
    const { counted, types } = play(text);
    assertEquals(counted, play(corpus.get(name)!).counted, name);
    assertEquals([...types].filter((type) => type !== "86dd"), [], name);
  }
});

Deno.test("inIpv6 puts each address, port and offset where IPv6 has it", () => {
  const lines = [
    ["tcp SYN", "tcp SYN to=[fd00::2]:80"],
    ["tcp SYN to=10.0.2.3:53 set=50:1234", "tcp SYN to=[fd00::3]:53 set=70:1234"],
    ["icmp type=8 dst=192.0.2.9 hex=00010001", "icmp type=128 dst=2001:db8:1::9 hex=00010001"],
    ["host client from=127.0.0.1:5000 at=10.0.2.20", "host client from=[::1]:5000 at=fd00::20"],
    ["host udp-send from=127.0.0.53:53 len=4", "host udp-send from=127.0.0.53:53 len=4"],
    [
      "arp op=2 sender=10.0.2.20",
      "icmp type=136 src=fd00::20 to=[fd00::2] ttl=255 hex=60000000fd000000000000000000000000000020",
    ],
    ["expect neverRelayed=1", "expect neverRelayed=1"],
  ];
  for (const [ipv4, ipv6] of lines) assertEquals(inIpv6(ipv4!), ipv6);
  assertThrows(() => inIpv6("tcp SYN set=22:09"), SyntaxError, "it changes the IPv4 header");
});
