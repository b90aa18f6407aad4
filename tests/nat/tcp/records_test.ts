import { assert, assertEquals } from "@std/assert";
import { TCP_FIN } from "../../../net/wire/tcp.ts";
import type { TcpState } from "../../../nat/tcp/transitions.ts";
import { EndpointScript, finish, pattern, scriptIn, SYNCHRONIZED } from "../../support/endpoint_script.ts";
import { notPlain } from "../../support/plain_data.ts";

/** The records of an endpoint are plain data, whole and the same again after they were copied. */
function assertPlain(script: EndpointScript): void {
  const { records } = script.endpoint;
  for (const [name, record] of Object.entries(records)) {
    assertEquals(notPlain(record, name), []);
    if (record !== null) assert(Object.keys(record).length > 0, `${name} holds nothing`);
  }
  assertEquals(structuredClone(records), records);
}

Deno.test("notPlain finds classes, functions, accessors, symbols and what is undefined, and says where", () => {
  class Kept {
    count = 0;
  }
  const symbol = { a: 0, [Symbol("b")]: 1 };
  const found = notPlain({
    list: [0, new Kept()],
    call: () => {},
    nothing: undefined,
    map: new Map<unknown, number>([["text", 0]]),
    date: new Date(),
    accessor: Object.defineProperty({}, "a", { get: () => 1, enumerable: true }),
    symbol,
  }, "it");
  assertEquals(found, ["it.list[1]", "it.call", "it.nothing", "it.map", "it.date", "it.accessor", "it.symbol"]);
  const plain = { a: 0, b: [true, null], c: "text", d: new Map([[1, new Uint8Array(2)]]), e: { f: -Infinity } };
  assertEquals(notPlain(plain, "it"), []);
});

for (const [state] of SYNCHRONIZED) {
  Deno.test(`TcpEndpoint in ${state} is plain data`, () => {
    const script = scriptIn(state);
    assertEquals(script.endpoint.records.endpoint.state, state);
    assertPlain(script);
    finish(script);
  });
}

Deno.test("TcpEndpoint is plain data before it is synchronized", () => {
  const closed = new EndpointScript(), listening = new EndpointScript(), asking = new EndpointScript().connect();
  listening.receiveSyn();
  const states: TcpState[] = ["CLOSED", "LISTEN", "SYN-SENT"];
  for (const [i, script] of [closed, listening, asking].entries()) {
    assertEquals(script.endpoint.records.endpoint.state, states[i]);
    assertPlain(script);
    if (script !== closed) finish(script);
  }
});

Deno.test("TcpEndpoint shows in its records what was lost, reported, kept behind gaps and timed", () => {
  const script = new EndpointScript().open({ sackPermitted: true });
  assertEquals([script.endpoint.records.scoreboard, script.endpoint.records.reassembly], [null, null]);
  script.write(pattern(14600));
  const segments = script.take();
  script.advance(1);
  script.send({ ack: segments[0]!.seq, sack: [segments[1]!.seq, segments[6]!.seq] });
  const gap = script.seq;
  script.send({ seq: (gap + 10) >>> 0, payload: pattern(5000) });
  script.send({ seq: (gap + 6000) >>> 0, payload: "late", flags: 16 | TCP_FIN });
  const { send, recovery, scoreboard, reassembly, receive, output, silence } = script.endpoint.records;
  assertEquals(scoreboard, { left: [segments[1]!.seq], right: [segments[6]!.seq], bytes: 5 * 1460 });
  assertEquals([send.una, send.retransmissions, recovery.kind], [segments[0]!.seq, 1, 1]);
  assertEquals([receive.next, receive.finSeq], [gap, (gap + 6004) >>> 0]);
  assertEquals(reassembly!.left.map((seq) => (seq - gap) >>> 0), [6000, 10]);
  assertEquals(reassembly!.right.map((seq) => (seq - gap) >>> 0), [6004, 5010]);
  assert(reassembly!.pages.size >= 2, `${reassembly!.pages.size} pages`);
  // What is left of a deadline is its difference to now.
  assert(output.retransmitAt > script.time && output.retransmitAt <= script.time + 1000, `${output.retransmitAt}`);
  assertEquals(silence.heardAt, script.time);
  assertPlain(script);
  script.take();
  finish(script);
});
