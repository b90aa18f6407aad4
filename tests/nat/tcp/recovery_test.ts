import { assertEquals } from "@std/assert";
import { CongestionWindow } from "../../../nat/tcp/congestion.ts";
import { Recovery } from "../../../nat/tcp/recovery.ts";

const MSS = 1000;

/** Four segments on their way from 1000 on, to a peer that reports by SACK. */
function outstanding() {
  const space = { una: 1000, next: 5000, mss: MSS, sackPermitted: true };
  return { space, recovery: new Recovery(space, new CongestionWindow(10 * MSS)) };
}

Deno.test("Recovery begins when the end of a tail loss probe is reported, an ACK short of it notwithstanding", () => {
  for (const una of [1000, 2000]) {
    const { space, recovery } = outstanding();
    recovery.tailProbeSent(5000);
    space.una = una;
    if (una > 1000) recovery.acknowledged(una - 1000);
    recovery.sacked(4000, 5000);
    recovery.duplicate(true);
    assertEquals(recovery.isActive, true, `una ${una}`);
  }
});

Deno.test("Recovery forgets a tail loss probe that was acknowledged, also when its number comes round again", () => {
  const { space, recovery } = outstanding();
  recovery.tailProbeSent(5000);
  space.una = 5000;
  recovery.acknowledged(4000);
  // Four gigabytes later.
  Object.assign(space, { una: 3500, next: 7500 });
  recovery.sacked(4500, 5500);
  recovery.duplicate(true);
  assertEquals(recovery.isActive, false);
});
