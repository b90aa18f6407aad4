/**
 * Tests of a relay, each of which runs over the host's own sockets, through a filter that lets everything pass, behind
 * a judge who has verified the flow's name, and over IPv6: that makes no difference to anyone.
 *
 * @module
 */
import { NameJudge } from "../../nat/relay/name_judge.ts";
import { RuleList } from "../../nat/rules/rule_list.ts";
import { helloFor } from "./client_hellos.ts";
import { PASS_ALL } from "./filters.ts";
import { NatScript } from "./nat_script.ts";
import { plainRule } from "./plain_rule.ts";

const NAME = "registry.example";

/** Registers all four. */
export function relayTest(name: string, body: () => void): void {
  Deno.test(name, body);
  Deno.test(`${name}, through a filter`, () => NatScript.filtered({ judge: PASS_ALL }, body));
  Deno.test(`${name}, verified`, () => NatScript.filtered({ judge: judgeOfName, greeting: helloFor(NAME) }, body));
  Deno.test(`${name}, over IPv6`, () => NatScript.over(6, body));
}

function judgeOfName(): NameJudge {
  const list = new RuleList([plainRule(`allow ${NAME}`)]);
  return new NameJudge({
    list: () => list,
    isBound: (name) => name === NAME,
    port: 80,
    look: "verify",
    strict: true,
    reports: false,
    listener: { nameVerified() {}, nameRefused() {} },
  });
}
