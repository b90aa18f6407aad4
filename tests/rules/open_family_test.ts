import { assertEquals } from "@std/assert";
import type { Segments } from "../../nat/rules/segment.ts";
import { createTranslationRules } from "../../nat/rules/translation_options.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { openFamilyWarning } from "../../rules/open_family.ts";
import { createRuleList } from "../../rules/read.ts";

Deno.test("openFamilyWarning warns if all of one family is denied and nothing of the other", () => {
  const both = createTranslationRules();
  const warning = (rules: { allow?: string[]; deny?: string[] }, segments: Segments = both) =>
    openFamilyWarning(createRuleList(rules), segments);
  assertEquals(
    warning({ deny: ["0.0.0.0/0"] }),
    "--deny of all of IPv4 leaves IPv6 open: add --deny ::/0, or give guests one family alone (-4, -6)",
  );
  assertEquals(
    warning({ deny: ["none", "::/0"] }),
    "--deny of all of IPv6 leaves IPv4 open: add --deny 0.0.0.0/0, or give guests one family alone (-4, -6)",
  );
  assertEquals(warning({ deny: ["0.0.0.0/0", "::/0"] }), null);
  assertEquals(warning({ deny: ["0.0.0.0/0"], allow: ["192.0.2.1"] }), null, "an allow-list closes the other one");
  assertEquals(warning({ deny: ["0.0.0.0/0:25", "10.0.0.0/8"] }), null, "ports and networks are meant as they are");
  assertEquals(warning({ deny: ["0.0.0.0/0"] }, { ...both, ipv6: null }), null);
  assertEquals(warning({ deny: ["0.0.0.0/0"] }, { ...both, ipv4: null }), null);
  assertEquals(warning({}), null);
});

Deno.test("openFamilyWarning sees that networks close a family together, and where one of them is missing", () => {
  const warns = (...deny: string[]) => openFamilyWarning(createRuleList({ deny }), createTranslationRules()) !== null;
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/1"), true);
  assertEquals(warns("::/1", "8000::/1"), true);
  assertEquals(warns("128.0.0.0/2", "0.0.0.0/1", "192.0.0.0/2", "10.0.0.0/8"), true);
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"), false, "both families are closed");
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/2"), false);
  assertEquals(warns("0.0.0.0/1", "0.0.0.0/1"), false);
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/1:80"), false, "ports of the rest are open");
  // All addresses of both ends but one of them, as far down as prefixes go.
  const all = Array.from({ length: 32 }, (_, i) => `${IpAddress.fromIpv4(2 ** (31 - i))}/${i + 1}`);
  assertEquals([warns(...all), warns(...all, "0.0.0.0/32")], [false, true]);
});
