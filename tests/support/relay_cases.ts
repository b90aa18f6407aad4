/**
 * Tests of a relay, each of which runs over the host's own sockets, through a filter that lets everything pass, behind
 * a judge who has verified the flow's name, and over IPv6: that makes no difference to anyone.
 *
 * @module
 */
import { PASS_ALL, VERIFIED } from "./filters.ts";
import { NatScript } from "./nat_script.ts";

/** Registers all four. */
export function relayTest(name: string, body: () => void): void {
  Deno.test(name, body);
  Deno.test(`${name}, through a filter`, () => NatScript.filtered({ judge: PASS_ALL }, body));
  Deno.test(`${name}, verified`, () => NatScript.filtered(VERIFIED, body));
  Deno.test(`${name}, over IPv6`, () => NatScript.over(6, body));
}
