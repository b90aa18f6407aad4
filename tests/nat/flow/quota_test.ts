import { assertEquals } from "@std/assert";
import { greediest, MAX_CONNECTING, Quotas } from "../../../nat/flow/quota.ts";
import type { GuestUse } from "../../../nat/flow/flow.ts";
import { Nat } from "../../../nat/nat.ts";
import { MAX_MAPPINGS } from "../../../nat/relay/mappings.ts";
import { SILENT } from "../../../nat/base/logger.ts";
import { createTranslationRules } from "../../../nat/rules/translation_options.ts";
import { TCP_SYN } from "../../../net/wire/tcp.ts";
import { ForwardScript } from "../../support/forward_script.ts";
import { NatScript } from "../../support/nat_script.ts";
import { ScriptHost } from "../../support/script_host.ts";
import { udpFrameOfGuest } from "../../support/sent_datagrams.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";

/** Takes flows for guests, in turns, until none gets any more. */
function fill(quotas: Quotas, uses: GuestUse[], flows = 0): number[] {
  for (let refused = 0; refused < uses.length;) {
    refused = 0;
    for (const use of uses) {
      if (quotas.refusesFlow(use, flows) !== null) refused++;
      else flows++, use.flows++;
    }
  }
  return uses.map((use) => use.flows);
}

Deno.test("Quotas give a guest that is alone every flow, unless others are expected", () => {
  const alone = new Quotas({ maxFlows: 4096 }, 0), expecting = new Quotas({ maxFlows: 4096, shared: true }, 0);
  assertEquals(fill(alone, [alone.guestCame(0)]), [4096]);
  assertEquals(fill(expecting, [expecting.guestCame(0)]), [3072]);
});

Deno.test("Quotas leave something to whoever comes, however many are greedy, and whoever leaves frees the rest", () => {
  for (const greedy of [1, 2, 5, 50]) {
    const quotas = new Quotas({ maxFlows: 4096, shared: true }, 0);
    const took = fill(quotas, Array.from({ length: greedy }, () => quotas.guestCame(0)));
    assertEquals(new Set(took.map((count) => Math.abs(count - took[0]!) <= 1)), new Set([true]));
    const used = took.reduce((sum, count) => sum + count, 0), late = quotas.guestCame(0);
    assertEquals(4096 - used >= Math.floor(4096 / (3 * greedy + 1)), true, `${greedy} took ${used}`);
    assertEquals(fill(quotas, [late], used)[0]! > 4096 / (3 * greedy + 1) / 2, true);
  }
  const quotas = new Quotas({ maxFlows: 8 }, 0), first = quotas.guestCame(0);
  quotas.guestCame(0);
  assertEquals(fill(quotas, [first]), [6]);
  quotas.guestLeft();
  assertEquals(fill(quotas, [first], 6), [8]);
});

Deno.test("Quotas count connects under way of each guest, and ration new flows of each", () => {
  const quotas = new Quotas({ maxFlows: 9999, maxNewFlows: 8 }, 0), greedy = quotas.guestCame(0);
  const modest = quotas.guestCame(0);
  while (quotas.refusesFlow(greedy, 0) === null) quotas.connectBegan(greedy);
  assertEquals([greedy.connecting, quotas.refusesFlow(greedy, 0)?.reason], [MAX_CONNECTING * 3 / 4, "guestShare"]);
  assertEquals(quotas.refusesFlow(modest, 0), null);
  quotas.connectEnded(greedy);
  assertEquals(quotas.refusesFlow(greedy, 0), null);
  const taken = (use: GuestUse) => Array.from({ length: 9 }, () => quotas.refusesNew(use, 0)?.reason ?? "begins");
  assertEquals(taken(greedy), [...Array(6).fill("begins"), ...Array(3).fill("guestShare")]);
  assertEquals(taken(modest).slice(0, 3), ["begins", "begins", "flowRate"]);
});

Deno.test("greediest finds who has the most, and of equals the one that asks", () => {
  assertEquals(greediest([["a", 1], ["b", 3], ["c", 2]], "a"), "b");
  assertEquals(["a", "b", "c"].map((asker) => greediest([["a", 1], ["b", 3], ["c", 3]], asker)), ["b", "b", "c"]);
  assertEquals(greediest([["a", 0], ["b", 0]], "b"), "b");
  assertEquals(greediest([], "b"), "b");
});

/** A gateway with two guests, by the ports that they send datagrams and SYNs from. */
function twoGuests(maxFlows: number) {
  const host = new ScriptHost();
  const nat = new Nat({ host, rules: createTranslationRules(), logger: SILENT, random: () => 7, maxFlows });
  host.start(() => nat.turn());
  const link = { name: "script", mtu: 1500, offload: false, send: () => true, flush() {} };
  const guests = [nat.attach(link), nat.attach(link)], script = new NatScript();
  return {
    nat,
    guests,
    syn: (guest: number, port: number) =>
      guests[guest]!.receive(script.pointAt(script.segment({ flags: TCP_SYN, ack: 0, port }))),
    udp: (guest: number, guestPort: number) =>
      guests[guest]!.receive(
        udpFrameOfGuest({ remote: parseIpv4("192.0.2.1"), remotePort: 9, guestPort }, new Uint8Array(1)),
      ),
  };
}

Deno.test("Nat keeps flows for a second guest while the first opens all it can, and counts what it refuses", () => {
  const { nat, guests, syn } = twoGuests(100);
  for (let i = 0; i < 200; i++) syn(0, 1000 + i);
  assertEquals([guests[0]!.use.flows, nat.counters.guestShare, nat.counters.flowLimit], [75, 125, 0]);
  for (let i = 0; i < 10; i++) syn(1, 1000 + i);
  assertEquals([guests[1]!.use.flows, nat.counters.guestShare], [10, 125]);
  nat.close();
  assertEquals(guests.map(({ use }) => [use.flows, use.connecting]), [[0, 0], [0, 0]]);
});

Deno.test("Nat takes the mapping that makes room from the guest that has the most", () => {
  const { nat, guests, udp } = twoGuests(100), sizes = () => guests.map(({ use }) => use.mappings.size);
  for (let i = 0; i < 20; i++) udp(1, 1000 + i);
  for (let i = 0; i < MAX_MAPPINGS + 500; i++) udp(0, 1024 + i);
  assertEquals([sizes(), nat.endings.evicted], [[MAX_MAPPINGS - 20, 20], 520]);
  for (let i = 0; i < MAX_MAPPINGS; i++) udp(1, 2000 + i);
  assertEquals(sizes(), [MAX_MAPPINGS / 2, MAX_MAPPINGS / 2]);
  nat.close();
  assertEquals(sizes(), [0, 0]);
});

Deno.test("Nat keeps flows for a guest of its own while clients of its forwards take all they can", async () => {
  const script = await ForwardScript.start("tcp:8080:80", { maxFlows: 16 });
  for (let i = 0; i < 40; i++) script.connect(`127.0.0.1:${5000 + i}`);
  assertEquals([script.guest.use.clients, script.nat.counters.forwardShare], [12, 28]);
  script.guest.receive(script.pointAt(script.segment({ flags: TCP_SYN, ack: 0, port: 999 })));
  assertEquals([script.guest.use.flows, script.nat.flowCount], [1, 13]);
  script.nat.close();
});
