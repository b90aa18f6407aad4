import { assertEquals } from "@std/assert";
import type { EventOf } from "../../../nat/flow/events.ts";
import type { Rule } from "../../../nat/rules/rule.ts";
import type { Said } from "../../../nat/rules/verdict.ts";
import type { TcpRelay } from "../../../nat/relay/tcp_relay.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { TCP_RST } from "../../../net/wire/tcp.ts";
import { bind, listOf, nameRule } from "../../support/name_rules.ts";
import { NatScript } from "../../support/nat_script.ts";

const SERVER = "192.0.2.7";
const registry = nameRule("allow", "registry.example"), mirror = nameRule("allow", "mirror.example");

interface Case {
  /** Rules before; texts are allows of addresses. */
  readonly before: readonly (Rule | string)[];
  /** Rules after. */
  readonly after: readonly (Rule | string)[];
  /** Names of the server. */
  readonly names?: readonly string[];
  /** What the flow has said. */
  readonly said?: Said;
  readonly options?: ConstructorParameters<typeof NatScript>[0];
}

/** Whether a flow to the server at port 443 goes on. */
function goesOn({ before, after, names = [], said, options = {} }: Case): boolean {
  const script = new NatScript({ ...options, rules: { egress: listOf(...before) } });
  const endings: string[] = [];
  script.nat.events.listen((type, make) => {
    if (type === "flowEnded") endings.push((make() as EventOf<"flowEnded">).ending);
  });
  for (const name of names) bind(script.guest.bindings, SERVER, name, script.nat.now());
  script.remoteIp = parseIpv4(SERVER);
  script.remotePort = 443;
  const socket = script.open();
  if (said !== undefined) (script.nat.registry.all()[0] as TcpRelay).verified(said);
  const ended = script.nat.replaceRules(listOf(...after));
  script.nat.turn();
  assertEquals(endings, ended === 1 ? ["rulesChanged"] : []);
  if (ended === 1) {
    assertEquals(script.take().map(({ flags }) => flags & TCP_RST), [TCP_RST]);
    assertEquals(socket.wasReset, true);
    script.assertEmpty();
  }
  script.nat.close();
  return ended === 0;
}

Deno.test("other rules end a flow that no address rule and no name allows any more, and let others go on", () => {
  const by = (before: Case["before"], after: Case["after"], names: string[] = []) => goesOn({ before, after, names });
  assertEquals(by([], [SERVER]), true);
  assertEquals(by([], ["198.51.100.1"]), false);
  assertEquals(by([SERVER], []), true);
  assertEquals(by([SERVER], [registry]), false, "no answer led there");
  assertEquals(by([SERVER], [registry], ["registry.example"]), true, "bindings are kept in every mode");
  assertEquals(by([registry], [mirror], ["registry.example"]), false);
  assertEquals(by([registry], [mirror], ["registry.example", "mirror.example"]), true, "it has said nothing");
  assertEquals(by([], [nameRule("deny", "registry.example")], ["registry.example"]), false);
  assertEquals(by([], [nameRule("deny", "registry.example")], ["registry.example", "mirror.example"]), true);
  assertEquals(by([registry], [nameRule("allow", "registry.example", { port: 80 })], ["registry.example"]), false);
});

Deno.test("other rules judge a flow by the name that it has said, if it has said one", () => {
  const names = ["registry.example", "mirror.example"], said = { name: "registry.example", port: 443 };
  assertEquals(goesOn({ before: [registry], after: [mirror], names, said }), false);
  assertEquals(goesOn({ before: [registry], after: [registry], names, said }), true);
  const deny = nameRule("deny", "registry.example");
  assertEquals(goesOn({ before: [SERVER], after: [SERVER, deny], names, said }), false, "the stream has said it");
  assertEquals(goesOn({ before: [SERVER], after: [SERVER, nameRule("deny", "x.example")], names, said }), true);
  assertEquals(goesOn({ before: [], after: [deny], names, said }), false);
});

Deno.test("other rules judge a flow to a proxy by the proxy and by the target", () => {
  const names = ["registry.example"], said = { name: "target.example", port: 8443 };
  const target = nameRule("allow", "target.example", { port: 8443 });
  assertEquals(goesOn({ before: [registry, target], after: [registry, target], names, said }), true);
  assertEquals(goesOn({ before: [registry, target], after: [registry], names, said }), false);
  assertEquals(goesOn({ before: [registry, target], after: [target], names, said }), false);
  const address = { name: "198.51.100.1", port: 443 };
  assertEquals(goesOn({ before: [registry], after: [registry, "198.51.100.0/24"], names, said: address }), true);
  assertEquals(goesOn({ before: [registry], after: [registry], names, said: address }), false);
});

Deno.test("other rules under strict end a flow that was not looked at, and a report ends none", () => {
  const names = ["registry.example"], options = { strictNames: true };
  assertEquals(goesOn({ before: [SERVER], after: [registry], names, options }), false);
  const unverified = nameRule("allow", "registry.example", { unverified: true });
  assertEquals(goesOn({ before: [SERVER], after: [unverified], names, options }), true);
  assertEquals(goesOn({ before: [SERVER], after: ["198.51.100.1"], options: { reportOnly: true } }), true);
});

Deno.test("other rules leave forwards alone, and keepFlows everything", () => {
  const script = new NatScript();
  script.open();
  assertEquals(script.nat.replaceRules(listOf("198.51.100.1"), { keepFlows: true }), 0);
  assertEquals([script.nat.flowCount, script.state], [1, "ESTABLISHED"]);
  script.nat.close();
});
