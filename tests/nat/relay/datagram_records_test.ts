import { assert, assertEquals } from "@std/assert";
import { DatagramFlow } from "../../../nat/relay/datagram_flow.ts";
import { DatagramScript } from "../../support/datagram_script.ts";
import { notPlain } from "../../support/plain_data.ts";

Deno.test("DatagramFlow is plain data, and its deadline is a difference to its last use", () => {
  const script = new DatagramScript();
  script.udp("one");
  const [flow] = script.nat.registry.all();
  assert(flow instanceof DatagramFlow);
  assertEquals(notPlain(flow.record, "flow"), []);
  assertEquals(structuredClone(flow.record), flow.record);
  const { since, usedAt, opened, known, fromGuest, fromHost, bytesFromGuest } = flow.record;
  assertEquals([opened, known, fromGuest, fromHost, bytesFromGuest], [true, true, 1, 0, 3]);
  assertEquals(usedAt, since);
  script.host.advance(1000);
  script.udp("two");
  assertEquals([flow.record.usedAt - usedAt, flow.record.fromGuest, flow.record.since], [1000, 2, since]);
  flow.abort("gatewayClosed");
  assertEquals([flow.record.ended, script.nat.flows()], [true, []]);
  script.assertEmptyAfterClose();
});
