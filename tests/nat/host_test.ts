import { assertEquals } from "@std/assert";
import { fixedIpv6Routes, type Ipv6Routes } from "../../nat/host.ts";
import { Nat } from "../../nat/nat.ts";
import { SILENT } from "../../nat/base/logger.ts";
import { createTranslationRules } from "../../nat/rules/translation_options.ts";
import { ScriptHost } from "../support/script_host.ts";

Deno.test("Nat follows the host's IPv6 routes unless ipv6Route says otherwise, and has none if the host cannot tell", () => {
  const routes: Ipv6Routes = { has: () => true, changed: () => () => {} };
  const cases: [Ipv6Routes | undefined, boolean | undefined, boolean][] = [
    [undefined, undefined, false],
    [undefined, true, true],
    [routes, undefined, true],
    [routes, false, false],
    [fixedIpv6Routes(false), true, true],
  ];
  for (const [ipv6Routes, ipv6Route, expected] of cases) {
    const host = Object.assign(new ScriptHost(), ipv6Routes && { ipv6Routes });
    const option = ipv6Route === undefined ? {} : { ipv6Route };
    const nat = new Nat({
      host,
      rules: createTranslationRules(),
      logger: SILENT,
      random: () => 7,
      maxFlows: 8,
      ...option,
    });
    assertEquals(nat.ipv6Routes.has(), expected);
    nat.ipv6Routes.changed(() => {})();
  }
});
