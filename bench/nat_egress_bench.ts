/**
 * What a user's rules cost: a decision for a new flow, and a datagram's translation with and without the cache.
 *
 * @module
 */
import { FlowKey } from "../nat/flow/flow_key.ts";
import { translate } from "../nat/rules/translate.ts";
import { createTranslationRules } from "../nat/rules/translation_options.ts";
import { TranslationCache } from "../nat/rules/translation_cache.ts";
import { IpAddress } from "../net/wire/address.ts";
import { createRuleList } from "../rules/read.ts";
import { PROTOCOL_UDP } from "../net/wire/ipv4.ts";

const address = IpAddress.parse("192.0.2.9");
for (const count of [0, 10, 100]) {
  const deny = Array.from({ length: count }, (_, i) => `198.51.${i}.0/24:80,443,8000-8099`);
  const list = createRuleList({ deny });
  Deno.bench(`RuleList.address, ${count} rules and the default`, { group: "decision" }, () => {
    if (list.address("tcp", address, address, 80) !== null) throw new Error("Cannot measure: it is denied");
  });
}

const rules = createTranslationRules({ egress: createRuleList({ deny: ["198.51.100.0/24", "10.0.0.0/8"] }) }),
  cache = new TranslationCache(rules);
const key = new FlowKey().setIpv4(1, PROTOCOL_UDP, 0x0a00020f, 4000, address.ipv4, 80);
Deno.bench("a datagram's translation, anew", { group: "datagram" }, () => {
  translate(rules, { family: 4, protocol: PROTOCOL_UDP, address: IpAddress.fromIpv4(address.ipv4), port: 80 });
});
Deno.bench("a datagram's translation, remembered", { group: "datagram" }, () => {
  cache.find(rules, key);
});
