/**
 * What a verdict on a flow's first bytes costs: a ClientHello as curl and Deno send it, whole and a byte at a time, and
 * the head of a request.
 *
 * @module
 */
import { NameJudge } from "../nat/relay/name_judge.ts";
import { RuleList } from "../nat/rules/rule_list.ts";
import { CAPTURED_HELLOS } from "../tests/support/client_hellos.ts";
import { plainRule } from "../tests/support/plain_rule.ts";

const NAME = "registry.example";
const LIST = new RuleList([plainRule(`allow ${NAME}`)]);
const HEAD = new TextEncoder().encode(
  `GET /package HTTP/1.1\r\nHost: ${NAME}\r\nUser-Agent: npm/10.9.2 node/v22.12.0 linux x64\r\nAccept: */*\r\n\r\n`,
);

for (
  const [what, bytes] of [["hello of curl", CAPTURED_HELLOS.curl], ["hello of Deno", CAPTURED_HELLOS.deno]] as const
) {
  Deno.bench(`verdict, ${what}, ${bytes.length} bytes`, { group: "a hello" }, () => judge(bytes, bytes.length));
  Deno.bench(`verdict, ${what}, a byte at a time`, { group: "a hello" }, () => judge(bytes, 1));
}
Deno.bench(`verdict, head of ${HEAD.length} bytes`, { group: "a head" }, () => judge(HEAD, HEAD.length));
Deno.bench("verdict, the same a byte at a time", { group: "a head" }, () => judge(HEAD, 1));

function judge(bytes: Uint8Array, step: number): void {
  const judge = new NameJudge({
    list: () => LIST,
    ruleOf: (name) => LIST.name("tcp", name, 443),
    isBound: (name) => name === NAME,
    port: 443,
    look: "verify",
    strict: false,
    reports: false,
    listener: { nameVerified() {}, nameRefused() {} },
  });
  for (let end = step; judge.judge(bytes, 0, end) === "more";) end += step;
  if (judge.endsAs !== null) throw new Error("Cannot go on: the name was refused");
}
