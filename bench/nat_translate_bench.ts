/**
 * Translation of a new flow's destination.
 *
 * @module
 */
import { type Destination, translate } from "../nat/rules/translate.ts";
import { createTranslationRules } from "../nat/rules/translation_options.ts";
import { IpAddress } from "../net/wire/address.ts";

const rules = createTranslationRules({
  dnsServers: ["127.0.0.53"],
  maps: ["10.0.2.100=127.0.0.1", "198.51.100.7=192.0.2.1"],
});

const destinations: [string, Destination][] = [
  ["nat_translate_outbound_hot_path", { family: 4, protocol: 6, address: IpAddress.parse("93.184.216.34"), port: 443 }],
  ["nat_translate_gateway", { family: 4, protocol: 6, address: IpAddress.parse("10.0.2.2"), port: 8080 }],
  ["nat_translate_dns", { family: 4, protocol: 17, address: IpAddress.parse("10.0.2.3"), port: 53 }],
  ["nat_translate_map", { family: 4, protocol: 6, address: IpAddress.parse("198.51.100.7"), port: 22 }],
  ["nat_translate_never_relayed", { family: 4, protocol: 6, address: IpAddress.parse("127.0.0.1"), port: 22 }],
];

for (const [name, destination] of destinations) {
  Deno.bench(name, () => {
    translate(rules, destination);
  });
}
