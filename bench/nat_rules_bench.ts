/**
 * What a user's rules cost: decisions of lists of 10, 100 and 10,000 rules, and a datagram's translation with and
 * without the cache.
 *
 * @module
 */
import { FlowKey } from "../nat/flow/flow_key.ts";
import { translate } from "../nat/rules/translate.ts";
import { createTranslationRules } from "../nat/rules/translation_options.ts";
import { TranslationCache } from "../nat/rules/translation_cache.ts";
import { createRuleList } from "../rules/read.ts";
import { IpAddress } from "../net/wire/address.ts";
import { PROTOCOL_UDP } from "../net/wire/ipv4.ts";

const COUNTS = [10, 100, 10_000];
const address = IpAddress.parse("192.0.2.9");

/** As many rules of this kind. */
function listOf(count: number, rule: (i: number) => string) {
  return createRuleList({ allow: Array.from({ length: count }, (_, i) => rule(i)) });
}

/** Answers must be of one kind throughout, or something else was measured. */
function expect(isRight: boolean): void {
  if (!isRight) throw new Error("Cannot measure: the rules decide otherwise");
}

for (const count of COUNTS) {
  const list = listOf(count, (i) => `10.${i >> 8}.${i & 255}.0/24:80,443,8000-8099`);
  const last = IpAddress.parse(`10.${(count - 1) >> 8}.${(count - 1) & 255}.7`);
  Deno.bench(`an address, ${count} networks`, { group: "address", baseline: count === 10 }, () => {
    expect(list.address("tcp", last, last, 443) !== null && list.address("tcp", address, address, 443) === null);
  });
}
for (const count of COUNTS) {
  const list = listOf(count, (i) => `host${i}.example.com:443`), last = `host${count - 1}.example.com`;
  Deno.bench(`a name, ${count} names`, { group: "name", baseline: count === 10 }, () => {
    expect(list.name("tcp", last, 443) !== null && list.name("tcp", "registry.example.org", 443) === null);
  });
}
for (const count of COUNTS) {
  const list = listOf(count, (i) => `*.zone${i}.example.com:443`), last = `a.b.zone${count - 1}.example.com`;
  Deno.bench(`a name, ${count} wildcards`, { group: "wildcard", baseline: count === 10 }, () => {
    expect(list.name("tcp", last, 443) !== null && list.name("tcp", "a.b.registry.example.org", 443) === null);
  });
}
for (const count of COUNTS) {
  const list = listOf(count, (i) => `host.example.com:${2 * i + 1}`);
  Deno.bench(`a port of one name, ${count} rules`, { group: "port", baseline: count === 10 }, () => {
    expect(
      list.name("tcp", "host.example.com", 2 * count - 1) !== null && list.name("tcp", "host.example.com", 2) === null,
    );
  });
}

const rules = createTranslationRules({ egress: createRuleList({ deny: ["198.51.100.0/24", "10.0.0.0/8"] }) });
const cache = new TranslationCache(rules);
const key = new FlowKey().setIpv4(1, PROTOCOL_UDP, 0x0a00020f, 4000, address.ipv4, 80);
Deno.bench("a datagram's translation, anew", { group: "datagram" }, () => {
  translate(rules, { family: 4, protocol: PROTOCOL_UDP, address: IpAddress.fromIpv4(address.ipv4), port: 80 });
});
Deno.bench("a datagram's translation, remembered", { group: "datagram" }, () => {
  cache.find(rules, key);
});
