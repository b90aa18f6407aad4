import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Binding, GuestBindings, MAX_BOUND_ADDRESSES, MAX_BOUND_NAMES } from "../../../nat/rules/bindings.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { checkProperty } from "../../support/properties.ts";

const HOUR = 3_600_000, DAY = 24 * HOUR;
const SEVEN = IpAddress.parse("192.0.2.7");

function address(text: string): IpAddress {
  return IpAddress.parse(text);
}

function namesOf(bindings: readonly Binding[]): string[] {
  return bindings.map(({ name }) => name);
}

/** The `number`th address of a large network. */
function numbered(number: number): IpAddress {
  return IpAddress.fromIpv4(0x0b000000 + number);
}

Deno.test("GuestBindings.of gives every name that an address was bound to, and of another address none", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "one.example", 60, 0);
  bindings.bind(SEVEN, "two.example", 60, 0);
  bindings.bind(SEVEN, "one.example", 60, 0);
  assertEquals(bindings.of(SEVEN, 0).map(({ name, address }) => ({ name, address })), [
    { name: "one.example", address: "192.0.2.7" },
    { name: "two.example", address: "192.0.2.7" },
  ]);
  assertEquals(bindings.of(address("192.0.2.8"), 0), []);
  assertEquals(bindings.lapsed(address("192.0.2.8"), 0), []);
});

Deno.test("GuestBindings keeps a binding for its TTL, an hour if that is less, a week if it is more", () => {
  const bindings = new GuestBindings(), at = { short: numbered(1), long: numbered(2), endless: numbered(3) };
  bindings.bind(at.short, "short.example", 0, 1000);
  bindings.bind(at.long, "long.example", 7200, 1000);
  bindings.bind(at.endless, "endless.example", 0x7fffffff, 1000);
  const live = (now: number) =>
    Object.values(at).flatMap((where) => namesOf(bindings.of(where, now))).map((name) => name.split(".")[0]).join(" ");
  assertEquals(live(1000 + HOUR - 1), "short long endless");
  assertEquals(live(1000 + HOUR), "long endless");
  assertEquals(live(1000 + 2 * HOUR), "endless");
  assertEquals(live(1000 + 7 * DAY), "");
});

Deno.test("GuestBindings takes another least life, which may be longer than a day", () => {
  const brief = new GuestBindings(5), lasting = new GuestBindings(2 * 86_400);
  brief.bind(SEVEN, "a.example", 1, 0);
  lasting.bind(SEVEN, "a.example", 1, 0);
  assertEquals([namesOf(brief.of(SEVEN, 4999)), namesOf(brief.of(SEVEN, 5000))], [["a.example"], []]);
  assertEquals(namesOf(lasting.of(SEVEN, 2 * DAY - 1)), ["a.example"]);
  lasting.letGo(held(lasting, DAY));
  assertEquals(namesOf(lasting.of(SEVEN, 2 * DAY)), []);
});

Deno.test("GuestBindings names what has lapsed, until an answer binds it again", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "a.example", 60, 0);
  assertEquals(bindings.lapsed(SEVEN, HOUR - 1), []);
  assertEquals([bindings.of(SEVEN, HOUR), bindings.lapsed(SEVEN, HOUR)], [[], ["a.example"]]);
  bindings.bind(SEVEN, "a.example", 60, HOUR);
  assertEquals([namesOf(bindings.of(SEVEN, 2 * HOUR - 1)), bindings.lapsed(SEVEN, HOUR)], [["a.example"], []]);
});

Deno.test("GuestBindings: each new flow renews a binding, up to a day after the answer", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "a.example", 60, 0);
  let now = 0;
  for (; bindings.of(SEVEN, now).length > 0; now += HOUR / 2) bindings.letGo(held(bindings, now));
  assertEquals(now, DAY);
  assertEquals(bindings.of(SEVEN, DAY - 1).length, 1);
});

Deno.test("GuestBindings: a flow that lives holds its binding, and one that is over does not", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "a.example", 60, 0);
  const first = held(bindings, 0), second = held(bindings, 0);
  assertEquals(namesOf(bindings.of(SEVEN, 9 * DAY)), ["a.example"]);
  bindings.letGo(first);
  assertEquals(namesOf(bindings.of(SEVEN, 9 * DAY)), ["a.example"]);
  bindings.letGo(second);
  assertEquals(bindings.of(SEVEN, 9 * DAY), []);
});

Deno.test("GuestBindings counts an address with an IPv4 address in it as that one, in answers and in flows", () => {
  const same = ["192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::192.0.2.7", "64:ff9b:1::192.0.2.7", "2002:c000:207::1"];
  for (const bound of same) {
    const bindings = new GuestBindings();
    bindings.bind(address(bound), "a.example", 60, 0);
    for (const asked of same) assertEquals(namesOf(bindings.of(address(asked), 0)), ["a.example"], `${bound} ${asked}`);
    assertEquals(bindings.of(address("2001:db8::7"), 0), []);
  }
});

Deno.test("GuestBindings: an address that may lead to one of two IPv4 addresses is bound as itself alone", () => {
  const bindings = new GuestBindings(), teredo = address("2001:0:c000:207::3f57:fef7");
  bindings.bind(teredo, "a.example", 60, 0);
  assertEquals(namesOf(bindings.of(teredo, 0)), ["a.example"]);
  for (const inside of ["192.0.2.7", "192.168.1.8"]) assertEquals(bindings.of(address(inside), 0), []);
});

Deno.test("GuestBindings.bindAlways never lapses and makes room for nobody", () => {
  const bindings = new GuestBindings();
  bindings.bindAlways(SEVEN, "gateway.example");
  for (let i = 0; i < MAX_BOUND_NAMES + 5; i++) bindings.bind(SEVEN, `n${i}.example`, 60, 0);
  for (let i = 0; i < MAX_BOUND_ADDRESSES + 5; i++) bindings.bind(numbered(i), "a.example", 60, 0);
  assertEquals(namesOf(bindings.of(SEVEN, 1000 * DAY)), ["gateway.example"]);
});

Deno.test("GuestBindings: the address unused for longest makes room, one that a flow holds does not", () => {
  const bindings = new GuestBindings();
  for (let i = 0; i < MAX_BOUND_ADDRESSES; i++) bindings.bind(numbered(i), "a.example", 60, 0);
  bindings.hold(bindings.of(numbered(0), 0), 0);
  bindings.bind(numbered(1), "again.example", 60, 1);
  bindings.bind(numbered(9001), "a.example", 60, 1);
  // The held one is not counted: there is room for one more.
  assertEquals(bindings.size, MAX_BOUND_ADDRESSES + 1);
  bindings.bind(numbered(9002), "a.example", 60, 1);
  assertEquals(bindings.size, MAX_BOUND_ADDRESSES + 1);
  assertEquals([0, 1, 2, 9001, 9002].map((number) => bindings.of(numbered(number), 1).length), [1, 2, 0, 1, 1]);
});

Deno.test("GuestBindings: the name of an address unused for longest makes room, one that a flow holds does not", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "held.example", 60, 0);
  const flow = held(bindings, 0);
  for (let i = 0; i <= MAX_BOUND_NAMES; i++) bindings.bind(SEVEN, `n${i}.example`, 60, 0);
  const names = namesOf(bindings.of(SEVEN, 0));
  assertEquals([names.length, names.includes("held.example")], [MAX_BOUND_NAMES + 1, true]);
  assertEquals([names.includes("n0.example"), names.includes("n1.example")], [false, true]);
  bindings.letGo(flow);
  // It is now the one used last, and one too many.
  assertEquals(namesOf(bindings.of(SEVEN, 0)).includes("n1.example"), false);
  assertEquals(bindings.of(SEVEN, 0).length, MAX_BOUND_NAMES);
});

Deno.test("GuestBindings: a target may be asked as long as a binding, or as its origin lives, up to a day", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "a.example", 60, 0);
  bindings.addTarget("cdn.example", "a.example", 60, 0);
  bindings.addTarget("mail.example", "b.example", 60, 0);
  assertEquals(bindings.origins("cdn.example", HOUR - 1), ["a.example"]);
  assertEquals(bindings.origins("mail.example", HOUR - 1), ["b.example"]);
  assertEquals(bindings.origins("other.example", 0), []);
  const flow = held(bindings, HOUR - 1);
  assertEquals([bindings.origins("cdn.example", DAY - 1), bindings.origins("mail.example", HOUR)], [["a.example"], []]);
  assertEquals(bindings.origins("cdn.example", DAY), []);
  bindings.letGo(flow);
  assertEquals(bindings.origins("cdn.example", 2 * HOUR - 2), ["a.example"]);
  assertEquals(bindings.origins("cdn.example", 2 * HOUR - 1), []);
});

Deno.test("GuestBindings: targets and their origins are bounded, the oldest go", () => {
  const bindings = new GuestBindings();
  for (let i = 0; i <= MAX_BOUND_NAMES; i++) bindings.addTarget("t.example", `o${i}.example`, 60, 0);
  assertEquals(bindings.origins("t.example", 0).length, MAX_BOUND_NAMES);
  assertEquals(bindings.origins("t.example", 0)[0], "o1.example");
  for (let i = 0; i < MAX_BOUND_ADDRESSES; i++) bindings.addTarget(`t${i}.example`, "o.example", 60, 0);
  assertEquals([bindings.targets, bindings.origins("t.example", 0)], [MAX_BOUND_ADDRESSES, []]);
  assertEquals(bindings.names, 1);
});

Deno.test("GuestBindings.clear leaves nothing, and a flow that ends later does not mind", () => {
  const bindings = new GuestBindings();
  bindings.bind(SEVEN, "a.example", 60, 0);
  bindings.bindAlways(numbered(1), "b.example");
  bindings.addTarget("t.example", "a.example", 60, 0);
  const flow = held(bindings, 0);
  bindings.clear();
  bindings.letGo(flow);
  assertEquals([bindings.size, bindings.targets, bindings.names], [0, 0, 0]);
  assertEquals(bindings.of(SEVEN, 0), []);
});

Deno.test("GuestBindings: whatever happens, what flows hold is there and the rest is within its bounds", () => {
  const step = fc.record({
    kind: fc.constantFrom("bind", "hold", "letGo", "target"),
    address: fc.nat(5),
    name: fc.nat(80),
    wait: fc.nat(HOUR),
  });
  checkProperty(fc.array(step, { maxLength: 200 }), (steps) => {
    const bindings = new GuestBindings(), flows: (readonly Binding[])[] = [];
    let now = 0;
    for (const { kind, address, name, wait } of steps) {
      now += wait;
      const where = numbered(address);
      if (kind === "bind") bindings.bind(where, `n${name}.example`, name, now);
      else if (kind === "target") bindings.addTarget(`t${address}.example`, `n${name}.example`, name, now);
      else if (kind === "hold") {
        const live = bindings.of(where, now).slice(0, name);
        bindings.hold(live, now);
        flows.push(live);
      } else bindings.letGo(flows.splice(address, 1)[0] ?? []);
      for (const flow of flows) {
        for (const { name, address } of flow) {
          assert(namesOf(bindings.of(IpAddress.parse(address), now)).includes(name));
        }
      }
      const heldNames = new Set(flows.flat().map(({ name, address }) => `${name} ${address}`));
      for (let i = 0; i <= 5; i++) {
        const all = [...namesOf(bindings.of(numbered(i), now)), ...bindings.lapsed(numbered(i), now)];
        const unused = all.filter((name) => !heldNames.has(`${name} ${numbered(i)}`));
        assert(unused.length <= MAX_BOUND_NAMES);
        assertEquals(new Set(all).size, all.length);
      }
    }
    for (const flow of flows) bindings.letGo(flow);
    bindings.clear();
    assertEquals([bindings.size, bindings.targets, bindings.names], [0, 0, 0]);
  });
});

function held(bindings: GuestBindings, now: number): readonly Binding[] {
  const live = bindings.of(SEVEN, now);
  bindings.hold(live, now);
  return live;
}
