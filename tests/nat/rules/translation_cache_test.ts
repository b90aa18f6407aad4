import { FlowKey } from "../../../nat/flow/flow_key.ts";
import { PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";
import { assert, assertEquals } from "@std/assert";
import { type Translation, withDnsServers } from "../../../nat/rules/translate.ts";
import { scriptRules } from "../../support/rules.ts";
import { TranslationCache } from "../../../nat/rules/translation_cache.ts";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";

const RULES = scriptRules({ deny: ["192.0.2.0/24:53"], dnsServers: ["127.0.0.53"] });

function text(answer: Translation): string {
  return "refusal" in answer ? answer.rule : answer.targets.map(({ address, port }) => `${address}:${port}`).join(" ");
}

const key = new FlowKey();

/** The key of a datagram to this address, a 32-bit number, and port. */
function to(address: number, port: number): FlowKey {
  return key.setIpv4(1, PROTOCOL_UDP, 0x0a00020f, 4000, address, port);
}

Deno.test("TranslationCache gives the very answer again, refusals too, and keeps ports apart", () => {
  const cache = new TranslationCache(RULES), address = parseIpv4("192.0.2.9");
  const first = cache.find(RULES, to(address, 80));
  assertEquals(text(first), "192.0.2.9:80");
  assert(cache.find(RULES, to(address, 80)) === first);
  const refused = cache.find(RULES, to(address, 53));
  assertEquals(text(refused), "deny 192.0.2.0/24:53");
  assert(cache.find(RULES, to(address, 53)) === refused);
  assertEquals(text(cache.find(RULES, to(address, 80))), "192.0.2.9:80");
});

Deno.test("TranslationCache answers right for far more destinations than it has places", () => {
  const cache = new TranslationCache(RULES), base = parseIpv4("192.0.0.0");
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5000; i++) {
      const port = 50 + i % 7, inRange = i >> 8 === 2;
      const refused = "refusal" in cache.find(RULES, to(base + i, port));
      assertEquals(refused, inRange && port === 53, `${i}`);
    }
  }
});

Deno.test("TranslationCache forgets everything when the rules are replaced", () => {
  const cache = new TranslationCache(RULES), dns = parseIpv4("10.0.2.3");
  assertEquals(text(cache.find(RULES, to(dns, 53))), "127.0.0.53:53");
  assertEquals(
    text(cache.find(withDnsServers(RULES, [{ address: IpAddress.parse("192.0.2.1"), port: 53 }]), to(dns, 53))),
    "192.0.2.1:53",
  );
  assertEquals(text(cache.find(RULES, to(dns, 53))), "127.0.0.53:53");
});
