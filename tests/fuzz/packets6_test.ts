import { assert, assertEquals } from "@std/assert";
import type { DropReason } from "../../nat/base/counters.ts";
import { change6, randomFrame6, tornFrames6 } from "./packets6.ts";
import { Random } from "./random.ts";
import { FuzzTarget } from "./target.ts";

/** What frames by chance must come to: everything that can become of a frame of IPv6 by itself. */
const REACHED: readonly DropReason[] = [
  "dhcpIgnored",
  "fragmentMalformed",
  "fragmentOverlap",
  "fragmentRepeated",
  "fragmentTiny",
  "icmpErrorStray",
  "icmpMalformed",
  "icmpNotRelayed",
  "ipv6ExtensionRefused",
  "ipv6Fragment",
  "ipv6Mapped",
  "mldMalformed",
  "mldReport",
  "ndpHopLimit",
  "ndpIgnored",
  "ndpMalformed",
  "ndpNotBelieved",
  "neverRelayed",
  "protocolNotRelayed",
  "spoofedAddress",
  "tcpStray",
  "ttlExceeded",
];

Deno.test("frames of IPv6 by chance come to every fate, and a gateway keeps its promises in all of them", () => {
  const random = new Random(7), reached = new Set<string>();
  let taken = 0;
  for (let i = 0; i < 20; i++) {
    const target = new FuzzTarget();
    for (let frames = 60; frames > 0; frames--) {
      const before = { ...target.nat.counters }, frame = randomFrame6(random);
      for (const one of random.oneIn(8) ? tornFrames6(frame, random) : [frame]) target.frame(one);
      const counted = Object.entries(target.nat.counters).filter(([name, count]) => count > before[name as DropReason]);
      for (const [name] of counted) reached.add(name);
      if (counted.length === 0) taken++;
    }
    target.close();
  }
  assertEquals(REACHED.filter((reason) => !reached.has(reason)), []);
  assert(taken > 100, `${taken} frames had an effect`);
});

Deno.test("change6 throws for no frame, however short, and leaves what is none of IPv6 alone", () => {
  const random = new Random(3);
  for (let i = 0; i < 5000; i++) {
    const frame = new Uint8Array(i % 130).fill(0x60);
    assert(change6(frame, random).length >= Math.min(54, frame.length));
  }
});

Deno.test("tornFrames6 makes fragments that a gateway puts together, unless they are meant not to fit", () => {
  const random = new Random(5);
  let whole = 0;
  for (let i = 0; i < 60; i++) {
    const target = new FuzzTarget();
    const frame = target.script.frame({
      verb: "icmp",
      words: [],
      fields: new Map(Object.entries({ type: "128", to: "[2001:db8::7]", hex: "00070001".padEnd(2800, "61") })),
      line: "",
    }, 0);
    for (const one of tornFrames6(frame, random)) target.frame(one);
    if (target.host.pingSockets.length > 0) whole++;
    target.close();
  }
  assert(whole > 5 && whole < 55, `${whole} were put together`);
});
