import { assertEquals } from "@std/assert";
import type { HostAddresses } from "../../../nat/host.ts";
import { HostGuard } from "../../../nat/rules/host_guard.ts";
import { translate } from "../../../nat/rules/translate.ts";
import { scriptRules } from "../../support/rules.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";

/** A host whose addresses the test changes. */
class Host implements HostAddresses {
  asked = 0;
  looked = 0;
  #version = 7;
  #own = new Set<string>();

  set own(addresses: string[]) {
    this.#own = new Set(addresses);
    this.#version++;
  }

  version(): number {
    this.looked++;
    return this.#version;
  }

  has(address: IpAddress): boolean {
    this.asked++;
    return this.#own.has(`${address}`);
  }
}

function refusalOf(rules: ReturnType<typeof scriptRules>, address: string, protocol = PROTOCOL_TCP): string {
  const answer = translate(rules, { family: 4, protocol, address: IpAddress.parse(address), port: 80 });
  return "refusal" in answer
    ? `${answer.refusal}: ${answer.rule}`
    : answer.targets.map((t) => `${t.address}`).join(" ");
}

Deno.test("translate refuses every way to an address of the host, and names it, but leaves DNS and others alone", () => {
  const host = new Host();
  host.own = ["192.0.2.9", "2001:db8::9", "127.0.0.1"];
  const maps = [
    "10.0.2.100=192.0.2.9",
    "10.0.2.101=2001:db8::9",
    "10.0.2.102=192.0.2.10",
  ];
  const dnsServers = ["127.0.0.53"];
  const rules = scriptRules({ hostAddresses: host, maps, dnsServers });
  const rule = (address: string) => `denied: no host, and ${address} is an address of the host (--no-host)`;
  for (const protocol of [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP]) {
    assertEquals(refusalOf(rules, "192.0.2.9", protocol), rule("192.0.2.9"));
    assertEquals(refusalOf(rules, "10.0.2.2", protocol), rule("127.0.0.1"));
    assertEquals(refusalOf(rules, "10.0.2.100", protocol), rule("192.0.2.9"));
    assertEquals(refusalOf(rules, "10.0.2.101", protocol), rule("2001:db8::9"));
    assertEquals(refusalOf(rules, "10.0.2.102", protocol), "192.0.2.10");
    assertEquals(refusalOf(rules, "192.0.2.8", protocol), "192.0.2.8");
  }
  const dns = { family: 4, protocol: PROTOCOL_TCP, address: rules.ipv4!.dns, port: 53 } as const;
  assertEquals("refusal" in translate(rules, dns), false);
});

Deno.test("translate goes by the addresses that the host has when it is asked, and allow rules open none of them", () => {
  const host = new Host(), rules = scriptRules({ hostAddresses: host, allow: ["192.0.2.0/24"] });
  assertEquals(refusalOf(rules, "192.0.2.9"), "192.0.2.9");
  host.own = ["192.0.2.9"];
  assertEquals(refusalOf(rules, "192.0.2.9").startsWith("denied: no host"), true);
  host.own = [];
  assertEquals(refusalOf(rules, "192.0.2.9"), "192.0.2.9");
  assertEquals(refusalOf(scriptRules(), "192.0.2.9"), "192.0.2.9");
});

Deno.test("HostGuard looks at what is remembered once for each version of the addresses, and at that once a turn", () => {
  const host = new Host(), target = { address: IpAddress.parse("192.0.2.9"), port: 53 };
  let now = 0;
  const guard = new HostGuard(host, () => now), known = { target, hostVersion: NaN };
  for (let i = 0; i < 10; i++) assertEquals(guard.permits(known), true);
  assertEquals([host.asked, host.looked], [1, 1]);
  now = 1;
  assertEquals([guard.permits(known), host.asked, host.looked], [true, 1, 2]);
  host.own = ["192.0.2.9"];
  now = 2;
  assertEquals([guard.permits(known), guard.permits(known)], [false, false]);
  host.own = [];
  now = 3;
  assertEquals(guard.permits(known), true);
});

Deno.test("HostGuard of a gateway whose guests may reach the host permits everything and asks nobody", () => {
  const guard = new HostGuard(null, () => 0), target = { address: IpAddress.parse("127.0.0.1"), port: 1 };
  assertEquals([guard.permits({ target, hostVersion: NaN }), guard.version], [true, 0]);
});
