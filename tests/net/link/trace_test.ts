import { assert, assertEquals, assertMatch } from "@std/assert";
import { pcapLink } from "../../../net/link/pcap_link.ts";
import { traceLink } from "../../../net/link/trace.ts";
import { Frame } from "../../../net/wire/frame.ts";
import { Recorder, ScriptLink } from "../../support/link_recorder.ts";
import { hex } from "../../support/packet_bytes.ts";

const ASK = hex("ffffffffffff 525400123456 0806 0001080006040001 525400123456 0a00020f 000000000000 0a000202");
const ANSWER = hex("525400123456 525400123402 0806 0001080006040002 525400123402 0a000202 525400123456 0a00020f");

function frame(bytes: Uint8Array): Frame {
  return new Frame().set(bytes, 0, bytes.length);
}

Deno.test("traceLink prints a line a frame, in both directions, and passes the frames on", () => {
  const inner = new ScriptLink(), gateway = new Recorder(), lines: string[] = [];
  let time = new Date(2023, 10, 14, 22, 13, 20).getTime() + 0.25;
  const link = traceLink(inner, (line) => lines.push(line), { now: () => time += 0.5 });
  link.start(gateway);
  inner.receiver!.receive(frame(ASK));
  inner.receiver!.flush();
  assert(link.send(frame(ANSWER)));
  link.flush();
  assertEquals(lines, [
    "22:13:20.000750 ARP, Request who-has 10.0.2.2 tell 10.0.2.15",
    "22:13:20.001250 ARP, Reply 10.0.2.2 is-at 52:54:00:12:34:02",
  ]);
  assertEquals([gateway.frames, inner.sent.frames], [[ASK], [ANSWER]]);
});

Deno.test("traceLink prints a line for what is no packet, and none for what the link refuses", () => {
  const inner = new ScriptLink(), lines: string[] = [];
  const link = traceLink(inner, (line) => lines.push(line));
  link.start(new Recorder());
  inner.receiver!.receive(frame(new Uint8Array(3)));
  inner.takes = false;
  link.send(frame(ANSWER));
  assertEquals(lines.length, 1);
  assertMatch(lines[0]!, /^\d\d:\d\d:\d\d\.\d{6} malformed ethernet \(/);
});

Deno.test("traceLink composes with pcapLink: both see every frame", () => {
  const inner = new ScriptLink(), lines: string[] = [], writes: number[] = [];
  const sink = { write: (bytes: Uint8Array) => void writes.push(bytes.length), flush() {} };
  const link = traceLink(pcapLink(inner, sink), (line) => lines.push(line));
  link.start(new Recorder());
  inner.receiver!.receive(frame(ASK));
  link.send(frame(ANSWER));
  assertEquals([lines.length, writes], [2, [24, 58, 58]]);
});
