import { assert, assertEquals, assertThrows } from "@std/assert";
import { ObservedLink } from "../../../net/link/observed.ts";
import { frameOf, Recorder, ScriptLink } from "../../support/link_recorder.ts";

function rig() {
  const inner = new ScriptLink({ headroom: 4, offload: true, mtu: 9000 }), seen: string[] = [];
  const gateway = new Recorder();
  const observer = {
    frame: (frame: { length: number }) => void seen.push(`frame ${frame.length}`),
    flush: () => void seen.push("flush"),
  };
  const link = new ObservedLink(inner, observer);
  link.start(gateway);
  return { inner, seen, gateway, link };
}

Deno.test("ObservedLink passes everything on and shows it, in both directions", () => {
  const { inner, seen, gateway, link } = rig();
  inner.receiver!.receive(frameOf(60));
  inner.receiver!.flush();
  assert(link.send(frameOf(61)));
  link.flush();
  assertEquals(gateway.log, ["frame 60", "flush"]);
  assertEquals(inner.sent.log, ["frame 61", "flush"]);
  assertEquals(seen, ["frame 60", "flush", "frame 61", "flush"]);
  assertEquals([link.name, link.mtu, link.headroom, link.offload, link.dropped], ["script", 9000, 4, true, 0]);
});

Deno.test("ObservedLink does not show what the inner link refuses", () => {
  const { inner, seen, link } = rig();
  inner.takes = false;
  assertEquals(link.send(frameOf(60)), false);
  assertEquals([seen, link.dropped], [[], 1]);
});

Deno.test("ObservedLink tells the end, with its error, after a last flush, and closes the inner link", async () => {
  const { inner, seen, gateway, link } = rig();
  inner.receiver!.closed(new Error("Gone"));
  assertEquals([gateway.log, seen], [["closed Gone"], ["flush"]]);
  await link.close();
  assertEquals(inner.closes, 1);
  await rig().link[Symbol.asyncDispose]();
});

Deno.test("ObservedLink refuses a second start as the inner link does", () => {
  assertThrows(() => rig().link.start(new Recorder()), Error, "started already");
});
