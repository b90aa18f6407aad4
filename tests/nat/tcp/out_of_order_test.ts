import { assert, assertEquals } from "@std/assert";
import { MAX_RANGES } from "../../../nat/tcp/reassembly.ts";
import { TCP_ACK } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, pattern } from "../../support/endpoint_script.ts";

/** Every order of `items`. */
function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

Deno.test("TcpEndpoint delivers segments in order once, in whatever order they come, across the wrap", () => {
  const bytes = pattern(50);
  for (const order of permutations([0, 1, 2, 3, 4])) {
    const script = new EndpointScript().open({ sackPermitted: true }), start = script.seq;
    for (const i of order) {
      script.send({ payload: bytes.subarray(i * 10, i * 10 + 10), seq: (start + i * 10) >>> 0 });
      for (const { ack } of script.take()) assert(((ack - start) >>> 0) <= 50);
    }
    assertEquals(Uint8Array.from(script.user.received), bytes, `${order}`);
    script.seq = (start + 50) >>> 0;
    finish(script);
  }
});

Deno.test("TcpEndpoint delivers overlapping and repeated segments once, whichever way they overlap", () => {
  const bytes = pattern(60);
  let seed = 1;
  const random = (n: number) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
  for (let round = 0; round < 200; round++) {
    const script = new EndpointScript().open({ sackPermitted: round % 2 === 0 }), start = script.seq;
    for (let i = 0; i < 40; i++) {
      const from = random(60), to = Math.min(60, from + 1 + random(20));
      script.send({ payload: bytes.subarray(from, to), seq: (start + from) >>> 0 });
    }
    script.send({ payload: bytes, seq: start });
    assertEquals(Uint8Array.from(script.user.received), bytes);
    assertEquals(script.take().at(-1)!.ack, (start + 60) >>> 0);
    finish(script);
  }
});

Deno.test("TcpEndpoint acknowledges at once what is out of order, repeated or fills a gap, and else once a turn", () => {
  const script = new EndpointScript().open(), start = script.seq;
  const inTurn = (fields: { payload: string; seq: number }) => {
    script.send(fields);
    return script.take().map(({ ack }) => (ack - start) >>> 0);
  };
  assertEquals(inTurn({ payload: "ab", seq: start }), [2]);
  assertEquals(inTurn({ payload: "ef", seq: (start + 4) >>> 0 }), [2]);
  assertEquals(inTurn({ payload: "ij", seq: (start + 8) >>> 0 }), [2]);
  assertEquals(inTurn({ payload: "cd", seq: (start + 2) >>> 0 }), [6]);
  assertEquals(inTurn({ payload: "ab", seq: start }), [6]);
  assertEquals(inTurn({ payload: "gh", seq: (start + 6) >>> 0 }), [10]);
  assertEquals(script.user.text, "abcdefghij");
  finish(script);
});

Deno.test("TcpEndpoint reports what it holds by SACK, the latest first, four blocks at most (RFC 2018 section 4)", () => {
  const script = new EndpointScript().open({ sackPermitted: true }), start = script.seq;
  const at = (n: number) => (start + n) >>> 0;
  for (const n of [10, 20, 30, 40, 50]) script.send({ payload: "xx", seq: at(n) });
  const sacks = script.take().map(({ sack }) => sack);
  assertEquals(sacks[0], [at(10), at(12)]);
  assertEquals(sacks[1], [at(20), at(22), at(10), at(12)]);
  assertEquals(sacks[4], [50, 52, 40, 42, 30, 32, 20, 22].map(at));
  script.send({ payload: "x".repeat(8), seq: at(12) });
  assertEquals(script.expect({ flags: TCP_ACK, ack: start }).sack.slice(0, 2), [at(10), at(22)]);
  finish(script);
});

Deno.test("TcpEndpoint reports nothing by SACK to a peer that has not permitted it", () => {
  const script = new EndpointScript().open();
  script.send({ payload: "xx", seq: (script.seq + 10) >>> 0 });
  assertEquals(script.expect().sack, []);
  finish(script);
});

Deno.test("TcpEndpoint keeps a bounded number of gaps, counts what it does not keep, and loses nothing by it", () => {
  const script = new EndpointScript().open({ sackPermitted: true }), start = script.seq;
  const count = MAX_RANGES + 50;
  for (let i = 1; i <= count; i++) script.send({ payload: "x", seq: (start + i * 2) >>> 0 });
  assertEquals(script.drops.tcpTooManyGaps, 50);
  for (let i = 0; i <= count * 2; i++) script.send({ payload: i % 2 ? "y" : "x", seq: (start + i) >>> 0 });
  assertEquals(script.user.text.length, count * 2 + 1);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint takes nothing beyond the window that it has promised", () => {
  const script = new EndpointScript({ tcp: { receiveLimit: 1000 } }).open(), start = script.seq;
  script.user.budget = 0;
  script.send({ payload: pattern(1500), seq: start });
  assertEquals(script.expect().ack, (start + 1000) >>> 0);
  script.send({ payload: pattern(500, 1000), seq: (start + 1000) >>> 0 });
  assertEquals(script.expect({ window: 0 }).ack, (start + 1000) >>> 0);
  assertEquals(script.drops.tcpUnacceptable, 1);
  script.send({ payload: pattern(500, 3000), seq: (start + 3000) >>> 0 });
  assertEquals(script.drops.tcpUnacceptable, 2);
  script.consume(1000);
  assertEquals(Uint8Array.from(script.user.received), pattern(1000));
  script.take();
  finish(script);
});
