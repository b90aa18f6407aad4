import { assert, assertEquals, assertThrows } from "@std/assert";
import { END_MS, LIKE_MS, MOST_UNLIKE, Recorder, RETRY_MS } from "../../audit/recorder.ts";
import type { AuditRecord } from "../../audit/records.ts";
import { CallbackSink, type LineOutput, LineSink } from "../../audit/sink.ts";
import { type EventOf, Events, type EventType } from "../../nat/flow/events.ts";
import type { FlowInfo } from "../../nat/flow/flow.ts";
import type { Rule } from "../../nat/rules/rule.ts";
import { parseRule } from "../../rules/parse_rule.ts";
import { checkedRecords } from "../support/audit_schema.ts";

const RULE: Rule = parseRule("192.0.2.0/24:443", { verdict: "allow", source: "rules.txt:3" });
const NOTE = { text: "allow 192.0.2.0/24:443", source: "rules.txt:3" };
const DIGEST = "0123456789abcdef".repeat(4);
const START = {
  event: "start",
  hawser: "1.2.3",
  rules: DIGEST,
  mode: "enforce",
  names: "verify",
  allow: 1,
  deny: 3,
  dnsOpen: false,
} as const;

/** A recorder over a disk that may be full, on a clock that is moved by hand. */
class Script implements LineOutput {
  readonly patience: number;
  readonly events = new Events();
  readonly warnings: string[] = [];
  readonly recorder: Recorder;
  now = 1000;
  room = Infinity;
  failure: string | null = "no space left on device (ENOSPC)";
  text = "";
  isClosed = false;

  constructor(patience = 0, own: string[] = []) {
    this.patience = patience;
    this.recorder = new Recorder({
      sinks: [new LineSink(this)],
      now: () => this.now,
      wallClock: () => Date.UTC(2026, 0, 2) + this.now,
      run: "r",
      own,
      logger: { ...console, debug() {}, info() {}, error() {}, warn: (line: string) => void this.warnings.push(line) },
    });
    this.events.listen(this.recorder.listener);
  }

  write(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room);
    this.room -= count;
    this.text += new TextDecoder().decode(bytes.subarray(0, count));
    if (count === 0 && this.failure !== null) throw new Error(this.failure);
    return count;
  }

  [Symbol.dispose](): void {
    this.isClosed = true;
  }

  emit<T extends EventType>(event: EventOf<T>): this {
    this.events.emit(event.type, () => event as never);
    return this;
  }

  /** The records, which the schema allows and of which none is missing, without what all have. */
  get records(): Partial<AuditRecord>[] {
    return checkedRecords(this.text).map(({ v: _v, run: _run, seq: _seq, time: _time, ...rest }) => rest);
  }

  get events_(): string[] {
    return checkedRecords(this.text).map(({ event }) => event);
  }
}

function flow(members: Partial<FlowInfo> = {}): FlowInfo {
  return {
    number: 7,
    protocol: "tcp",
    guestNumber: 2,
    guest: "10.0.2.15:40000",
    target: "192.0.2.7:443",
    host: "198.51.100.1:4443",
    openedBy: "guest",
    state: "SYN-RECEIVED",
    bytesFromGuest: 10,
    bytesToGuest: 20,
    bytesToHost: 10,
    bytesFromHost: 20,
    retransmissions: 0,
    ageMs: 30.4,
    idleMs: 0,
    ...members,
  };
}

function opened(members: Partial<FlowInfo> = {}, more: Partial<EventOf<"flowOpened">> = {}): EventOf<"flowOpened"> {
  const names = ["registry.example"];
  return { type: "flowOpened", flow: flow(members), names, rule: RULE, wouldRefuse: null, ...more };
}

function ended(members: Partial<FlowInfo> = {}): EventOf<"flowEnded"> {
  return { type: "flowEnded", flow: flow(members), ending: "guestFirst" };
}

function refused(members: Partial<EventOf<"flowRefused">> = {}): EventOf<"flowRefused"> {
  return {
    type: "flowRefused",
    guestNumber: 2,
    protocol: "tcp",
    guest: "10.0.2.15:40001",
    target: "192.0.2.8:443",
    address: "192.0.2.8",
    port: 443,
    reason: "denied",
    cause: "notAllowed",
    rule: "no allow rule matches",
    ruleDecided: null,
    names: [],
    ...members,
  };
}

const REFUSED = {
  event: "refuse",
  guest: 2,
  protocol: "tcp",
  source: "10.0.2.15:40001",
  address: "192.0.2.8",
  port: 443,
  names: [],
  reason: "notAllowed",
  rule: null,
  count: 1,
} as const;

Deno.test("Recorder writes each event as the schema has it, in order, while it is delivered", async () => {
  const script = new Script(), { recorder } = script;
  recorder.start(START);
  script.emit(opened());
  assertEquals(script.records.at(-1), {
    event: "open",
    guest: 2,
    flow: 7,
    protocol: "tcp",
    source: "10.0.2.15:40000",
    address: "192.0.2.7",
    port: 443,
    names: ["registry.example"],
    host: "198.51.100.1:4443",
    rule: NOTE,
    by: "guest",
  });
  script.emit({
    type: "flowVerified",
    number: 7,
    guestNumber: 2,
    via: "sni",
    name: "registry.example",
    port: 443,
    ech: true,
  });
  script.emit(ended());
  script.emit({
    type: "dnsAnswered",
    guestNumber: 2,
    name: "registry.example",
    recordType: 28,
    via: "udp",
    rcode: 0,
    decision: "forwarded",
    rule: RULE,
    addresses: ["2001:db8::7"],
    cnames: ["edge.example"],
    removed: ["ech"],
  });
  script.emit({ type: "rulesChanged", from: DIGEST, to: DIGEST, ended: 3 });
  await recorder[Symbol.asyncDispose]();
  assertEquals(script.records, [
    START,
    script.records[1]!,
    { event: "verified", guest: 2, flow: 7, via: "sni", name: "registry.example", ech: true },
    {
      event: "close",
      guest: 2,
      flow: 7,
      bytesFromGuest: 10,
      bytesToGuest: 20,
      durationMs: 30,
      ending: "guestFirst",
      verified: true,
    },
    {
      event: "dns",
      guest: 2,
      name: "registry.example",
      type: "AAAA",
      via: "udp",
      decision: "forwarded",
      rule: NOTE,
      rcode: 0,
      addresses: ["2001:db8::7"],
      cnames: ["edge.example"],
      removed: ["ech"],
    },
    { event: "rules", from: DIGEST, to: DIGEST, ended: 3 },
    {
      event: "end",
      flows: 1,
      refused: 0,
      wouldRefuse: 0,
      queries: 1,
      bytesFromGuest: 10,
      bytesToGuest: 20,
      gaps: 0,
    },
  ]);
  assertEquals([script.isClosed, script.warnings], [true, []]);
  assertEquals(checkedRecords(script.text)[0]!.time, "2026-01-02T00:00:01.000Z");
});

Deno.test("Recorder: a client of a forward, a flow of IPv6, the gateway's own DNS, more than 16 names", () => {
  const script = new Script(0, ["10.0.2.3:53"]);
  script.emit(
    opened({ openedBy: "host", host: "127.0.0.1:50000", target: "10.0.2.2:50000" }, { rule: null, names: [] }),
  );
  script.emit(opened({ number: 8, guest: "[fd00::15]:1", target: "[2001:db8::7]:22", host: "[2001:db8::7]:22" }));
  script.emit(opened({ number: 9, target: "10.0.2.3:53", host: "10.0.2.3:53" }));
  script.emit(opened({ number: 10 }, { names: Array.from({ length: 20 }, (_, i) => `n${i}.example`) }));
  assertEquals(
    script.records.map((record) =>
      record.event === "open" && [record.source, record.address, record.port, record.host, record.by]
    ),
    [
      ["127.0.0.1:50000", "10.0.2.15", 40000, "127.0.0.1:50000", "host"],
      ["[fd00::15]:1", "2001:db8::7", 22, "[2001:db8::7]:22", "guest"],
      ["10.0.2.15:40000", "10.0.2.3", 53, null, "guest"],
      ["10.0.2.15:40000", "192.0.2.7", 443, "198.51.100.1:4443", "guest"],
    ],
  );
});

Deno.test("Recorder: each peer of a mapping is a flow, the mapping itself is none", () => {
  const script = new Script();
  const peer = {
    number: 9,
    protocol: "icmp",
    guestNumber: 2,
    guest: "10.0.2.15:77",
    address: "192.0.2.7",
    port: 0,
    host: "192.0.2.7:0",
    names: [],
    rule: null,
    wouldRefuse: null,
  } as const;
  script.emit(opened({ number: 8, protocol: "icmp" }));
  script.emit({ type: "peerOpened", ...peer });
  script.emit({ type: "peerEnded", ...peer, bytesFromGuest: 1, bytesToGuest: 2, durationMs: 3, ending: "idle" });
  script.emit(ended({ number: 8, protocol: "icmp" }));
  assertEquals(script.events_, ["open", "close"]);
  assertEquals((script.records[0] as { port: null }).port, null);
});

Deno.test("Recorder puts like refusals of a second together, and writes the others by themselves", () => {
  const script = new Script(), { recorder } = script;
  script.emit(refused());
  assertEquals(recorder.turn(script.now), script.now + LIKE_MS);
  script.now += LIKE_MS / 2;
  for (let i = 2; i <= 5; i++) script.emit(refused({ guest: `10.0.2.15:4000${i}` }));
  script.emit(refused({ port: 80 }));
  assertEquals(script.text, "");
  script.now += LIKE_MS / 2;
  assertEquals(recorder.turn(script.now), script.now + LIKE_MS / 2);
  assertEquals(script.records, [{ ...REFUSED, count: 5 }]);
  assertEquals(checkedRecords(script.text)[0]!.time, "2026-01-02T00:00:01.000Z");
  script.now += LIKE_MS;
  assertEquals(recorder.turn(script.now), Infinity);
  assertEquals(script.records[1], { ...REFUSED, port: 80 });
});

Deno.test("Recorder: unlike refusals are not kept for ever", async () => {
  const script = new Script(), { recorder } = script;
  for (let port = 1; port <= MOST_UNLIKE + 5; port++) script.emit(refused({ port }));
  assertEquals(script.records.map((record) => (record as { port: number }).port), [1, 2, 3, 4, 5]);
  await recorder[Symbol.asyncDispose]();
  assertEquals(script.records.length, MOST_UNLIKE + 5 + 1);
  assertEquals((script.records.at(-1) as { refused: number }).refused, MOST_UNLIKE + 5);
});

Deno.test("Recorder writes at once, and in order, what ends a flow and what would have refused one", () => {
  const script = new Script();
  const wouldRefuse = { cause: "unbound", counter: "nameUnbound", rule: null, names: [], words: "" } as const;
  // The log's own line about it, which has no number.
  script.emit(refused({ cause: "unbound", reason: null, wouldRefuse: true }));
  script.emit(opened({}, { wouldRefuse, rule: null }));
  script.emit(refused({ cause: "sniRefused", reason: null, flow: 7, name: "other.example", names: ["a.example"] }));
  script.emit(ended());
  assertEquals(script.records.map(({ event }) => event), ["refuse", "open", "refuse", "close"]);
  assertEquals(script.records[0], {
    ...REFUSED,
    source: "10.0.2.15:40000",
    address: "192.0.2.7",
    names: ["registry.example"],
    reason: "unbound",
    flow: 7,
    wouldRefuse: true,
  });
  assertEquals(script.records[2], {
    ...REFUSED,
    names: ["a.example"],
    reason: "sniRefused",
    flow: 7,
    name: "other.example",
  });
});

Deno.test("Recorder: a full disk makes records unavailable, which is said once; a gap follows, and nothing is lost", () => {
  const script = new Script(), { recorder } = script;
  recorder.start(START);
  for (let number = 1; number <= 3; number++) script.emit(opened({ number }));
  // It is full in the middle of a line.
  script.room = 50;
  script.emit(opened({ number: 4 }));
  assertEquals(recorder.isAvailable, false);
  const unavailable = { cause: "auditUnavailable", reason: "auditUnavailable" } as const;
  for (let i = 0; i < 10; i++) script.emit(refused({ ...unavailable, port: i }));
  script.emit(ended({ number: 1 })).emit(ended({ number: 2 }));
  assertEquals(recorder.turn(script.now), script.now + RETRY_MS);
  script.now += RETRY_MS;
  assertEquals([recorder.isAvailable, recorder.turn(script.now)], [false, script.now + RETRY_MS]);
  assertEquals(script.warnings, [
    "Cannot write the audit: no space left on device (ENOSPC); new flows and queries are refused until it can be written",
  ]);
  script.room = Infinity;
  // Not before it is time to try again.
  assertEquals(recorder.isAvailable, false);
  script.now += RETRY_MS;
  assertEquals([recorder.isAvailable, recorder.turn(script.now)], [true, Infinity]);
  script.emit(opened({ number: 5 }));
  assertEquals(script.events_, ["start", "open", "open", "open", "open", "close", "close", "gap", "open"]);
  assertEquals(script.records.at(-2), {
    event: "gap",
    from: "2026-01-02T00:00:01.000Z",
    to: "2026-01-02T00:00:01.200Z",
    refused: 10,
    lost: 0,
  });
  assertEquals(script.warnings[1], "The audit is written again; 10 flows and queries were refused meanwhile");
});

Deno.test("Recorder counts what had no room to wait, and numbers leave out as many", () => {
  const script = new Script(), { recorder } = script;
  script.room = 0;
  const flows = 10_000;
  for (let number = 1; number <= flows; number++) script.emit(opened({ number }));
  script.room = Infinity;
  script.now += RETRY_MS;
  assert(recorder.isAvailable);
  const records = script.text.trimEnd().split("\n").map((line) => JSON.parse(line)), gap = records.at(-1);
  assertEquals([gap.event, gap.lost > 0], ["gap", true]);
  assertEquals(gap.seq, records.length + gap.lost);
});

Deno.test("Recorder whose disk is full again when the gap is to be written begins another gap", () => {
  const script = new Script(), { recorder } = script;
  script.room = 0;
  script.emit(opened());
  // Room for the flow, and not for the gap.
  const other = new Script().emit(opened());
  script.room = other.text.length + 1;
  script.now += RETRY_MS;
  assertEquals(recorder.isAvailable, false);
  script.room = Infinity;
  script.now += RETRY_MS;
  assertEquals(recorder.isAvailable, true);
  assertEquals(script.events_, ["open", "gap", "gap"]);
});

Deno.test("Recorder over a slow reader stays available, and goes on as the reader does", () => {
  const script = new Script(1 << 20), { recorder } = script;
  Object.assign(script, { failure: null, room: 10 });
  script.emit(opened());
  assertEquals(recorder.isAvailable, true);
  const next = recorder.turn(script.now);
  assert(next > script.now && next <= script.now + RETRY_MS);
  script.room = Infinity;
  script.now = next;
  assertEquals(recorder.turn(script.now), Infinity);
  assertEquals(script.events_, ["open"]);
  assertEquals(script.warnings, []);
});

Deno.test("Recorder of a program whose function throws is unavailable until it does not", () => {
  let isBroken = true;
  const got: AuditRecord[] = [], events = new Events();
  let now = 0;
  const sink = new CallbackSink((record) => {
    if (isBroken) throw new Error("database gone");
    got.push(record);
  });
  const recorder = new Recorder({ sinks: [sink], now: () => now });
  events.listen(recorder.listener);
  events.emit("flowOpened", () => opened());
  assertEquals(recorder.isAvailable, false);
  isBroken = false;
  now += RETRY_MS;
  assertEquals(recorder.isAvailable, true);
  assertEquals(got.map(({ event }) => event), ["open", "gap"]);
});

Deno.test("Recorder does not begin where not even that can be written", () => {
  const script = new Script();
  script.room = 0;
  assertThrows(() => script.recorder.start(START), Error, "Cannot write the audit: no space left on device (ENOSPC)");
});

Deno.test("Recorder gives a slow reader some time at the end, and says if that was not enough", async () => {
  const script = new Script(1 << 20), { recorder } = script;
  recorder.start(START);
  Object.assign(script, { failure: null, room: 10 });
  script.emit(opened());
  const end = recorder[Symbol.asyncDispose]();
  script.now += END_MS - 1;
  script.room = Infinity;
  await end;
  assertEquals([script.events_, script.warnings, script.isClosed], [["start", "open", "end"], [], true]);
  const stalled = new Script(1 << 20);
  stalled.recorder.start(START);
  Object.assign(stalled, { failure: null, room: 10 });
  stalled.emit(opened());
  const over = stalled.recorder[Symbol.asyncDispose]();
  stalled.now += END_MS;
  await over;
  assertEquals(stalled.warnings, ["The end of the audit could not be written: its reader does not read"]);
});
