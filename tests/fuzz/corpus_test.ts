import { assertEquals } from "@std/assert";
import { DROP_REASONS, type DropReason } from "../../nat/base/counters.ts";
import { TCP_STATES, type TcpState } from "../../nat/tcp/transitions.ts";
import { readCorpus } from "./corpus.ts";
import { readTwins } from "./families.ts";
import { parseScript } from "./script.ts";
import { FuzzTarget } from "./target.ts";

const corpus = [...readCorpus(), ...readTwins()];
const counted = new Set<string>(), states = new Set<string>();

for (const { name, text } of corpus) {
  Deno.test(`the gateway keeps its promises in ${name}`, () => {
    const actions = parseScript(text);
    const target = new FuzzTarget(actions[0]?.verb === "options" ? actions[0].fields : undefined);
    for (const action of actions) target.act(action);
    for (const [reason, count] of Object.entries(target.nat.counters)) if (count > 0) counted.add(reason);
    for (const state of target.states) states.add(state);
    target.close();
  });
}

// A flow that is CLOSED is none.
const NEVER_SEEN: readonly TcpState[] = ["CLOSED"];
// It would take 64,512 flows of one client: `tests/nat/forwards_test.ts` pretends that there are so many.
// No script has a way to a guest's loopback, which a promise opens: `tests/forward/loopback_clients_test.ts` has.
// Listeners turn guests away, and no script has one: `tests/net/link/` does.
const NEVER_COUNTED: readonly DropReason[] = ["forwardNoPort", "forwardNoWay", "guestRefused"];

Deno.test("the corpus moves every counter and shows every TCP state", () => {
  const reasons = Object.keys(DROP_REASONS) as DropReason[];
  assertEquals(
    reasons.filter((reason) => !counted.has(reason) && !NEVER_COUNTED.includes(reason)),
    [],
    "counters that no script moves",
  );
  assertEquals(TCP_STATES.filter((state) => !states.has(state) && !NEVER_SEEN.includes(state)), [], "states not shown");
});
