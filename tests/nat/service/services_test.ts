import { assertEquals } from "@std/assert";
import { Services } from "../../../nat/service/services.ts";
import { createTranslationRules } from "../../../nat/rules/translation_options.ts";
import { parseMac } from "../../../net/wire/address.ts";
import { DHCP_BOOT_REQUEST, DHCP_DISCOVER, encodeDhcpv4 } from "../../../net/wire/dhcpv4.ts";

Deno.test("Services answers DHCP, unless guests do without it: then every message that is whole is ignored", () => {
  const rules = createTranslationRules(), mac = parseMac("52:55:0a:00:02:02"), bytes = new Uint8Array(600);
  const message = { operation: DHCP_BOOT_REQUEST, transactionId: 7, clientMac: mac, messageType: DHCP_DISCOVER };
  const length = encodeDhcpv4(bytes, 9, message), reply = { senderMac: mac, into: new Uint8Array(1500), at: 0 };
  const asked = (without: readonly ("dhcp" | "dhcpv6" | "router")[], end = 9 + length) =>
    new Services(rules, { mac, mtu: 1500, without }).dhcp(bytes, 9, end, reply);
  assertEquals(typeof asked([]), "object");
  assertEquals(typeof asked(["dhcpv6", "router"]), "object");
  assertEquals(asked(["dhcp"]), "dhcpIgnored");
  assertEquals(asked(["dhcp"], 9 + 100), "dhcpMalformed");
});
