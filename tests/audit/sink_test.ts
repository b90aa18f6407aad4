import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AuditRecord } from "../../audit/records.ts";
import { CallbackSink, FileOutput, type LineOutput, LineSink, MOST_KEPT } from "../../audit/sink.ts";
import { Records } from "../support/audit_records.ts";

/** An output that takes so many bytes and then none, or fails. */
class ScriptOutput implements LineOutput {
  readonly patience: number;
  room = Infinity;
  failure: string | null = null;
  text = "";
  writes = 0;
  isOpen = true;

  constructor(patience = 0) {
    this.patience = patience;
  }

  write(bytes: Uint8Array): number {
    this.writes++;
    if (this.failure !== null && this.room === 0) throw new Error(this.failure);
    const count = Math.min(this.room, bytes.length);
    this.room -= count;
    this.text += new TextDecoder().decode(bytes.subarray(0, count));
    return count;
  }

  [Symbol.dispose](): void {
    this.isOpen = false;
  }
}

const RECORDS = new Records().open().verified("registry.example").close().list;
const LINES = RECORDS.map((record) => `${JSON.stringify(record)}\n`);

Deno.test("LineSink writes each record as one line, at once", () => {
  const output = new ScriptOutput(), sink = new LineSink(output);
  for (const [i, record] of RECORDS.entries()) {
    assert(sink.put(record));
    assertEquals(output.text, LINES.slice(0, i + 1).join(""));
    assertEquals([sink.isAvailable, sink.waits, output.writes], [true, false, i + 1]);
  }
  sink[Symbol.dispose]();
  assert(!output.isOpen);
});

Deno.test("LineSink completes a line of which a part was written before another begins, wherever it was cut", () => {
  for (let cut = 0; cut < LINES[0]!.length; cut++) {
    const output = new ScriptOutput(), sink = new LineSink(output);
    Object.assign(output, { room: cut, failure: "no space left" });
    assert(sink.put(RECORDS[0]!));
    assert(sink.put(RECORDS[1]!));
    assertEquals([sink.isAvailable, sink.waits, sink.problem], [false, true, "no space left"], `${cut}`);
    assertEquals(output.text, LINES[0]!.slice(0, cut));
    output.room = Infinity;
    sink.flush();
    assertEquals([output.text, sink.isAvailable, sink.waits], [LINES[0]! + LINES[1]!, true, false]);
  }
});

Deno.test("LineSink to a reader that stalls stays available for 1 MiB, keeps as much again, and then loses records", () => {
  const output = new ScriptOutput(MOST_KEPT), sink = new LineSink(output);
  output.room = 10;
  let kept = 0;
  while (sink.isAvailable) {
    assert(sink.put(RECORDS[0]!));
    kept++;
  }
  assertEquals(kept, Math.floor((MOST_KEPT + 10) / LINES[0]!.length) + 1);
  assertEquals(sink.problem, "its reader does not read");
  while (sink.put(RECORDS[0]!)) kept++;
  assertEquals(kept, Math.floor((2 * MOST_KEPT + 10) / LINES[0]!.length));
  output.room = Infinity;
  sink.flush();
  assertEquals([output.text === LINES[0]!.repeat(kept), sink.isAvailable, sink.waits], [true, true, false]);
});

Deno.test("LineSink whose reader is gone is not available though little waits", () => {
  const output = new ScriptOutput(MOST_KEPT), sink = new LineSink(output);
  Object.assign(output, { room: 0, failure: "broken pipe (EPIPE)" });
  assert(sink.put(RECORDS[0]!));
  assertEquals([sink.isAvailable, sink.problem], [false, "broken pipe (EPIPE)"]);
});

Deno.test("CallbackSink gives records in order, and again those at which the function threw", () => {
  const got: AuditRecord[] = [];
  let isBroken = false;
  const sink = new CallbackSink((record) => {
    if (isBroken) throw new Error("database gone");
    got.push(record);
  });
  assert(sink.put(RECORDS[0]!) && sink.isAvailable);
  isBroken = true;
  assert(sink.put(RECORDS[1]!) && sink.put(RECORDS[2]!));
  assertEquals([sink.isAvailable, sink.waits, sink.problem], [false, true, "database gone"]);
  isBroken = false;
  sink.flush();
  assertEquals([got, sink.isAvailable, sink.waits], [RECORDS, true, false]);
});

Deno.test("FileOutput makes a file for its owner alone, appends, and ends a line that an earlier run left unfinished", async () => {
  const folder = await Deno.makeTempDir(), path = `${folder}/audit.jsonl`;
  try {
    for (const before of ["", '{"v":1,"run":"x","se']) {
      if (before !== "") Deno.writeTextFileSync(path, before, { append: true });
      const sink = new LineSink(FileOutput.open(path));
      assert(sink.put(RECORDS[0]!));
      sink[Symbol.dispose]();
    }
    assertEquals(Deno.readTextFileSync(path), `${LINES[0]}{"v":1,"run":"x","se\n${LINES[0]}`);
    if (Deno.build.os !== "windows") assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("FileOutput refuses what is no regular file, and says why a file cannot be had", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assertThrows(() => FileOutput.open(folder), Error, `Cannot open ${folder}: it is no regular file`);
    assertThrows(() => FileOutput.open("/dev/null"), Error, "Cannot open /dev/null: it is no regular file");
    const absent = `${folder}/absent/audit.jsonl`;
    assertThrows(() => FileOutput.open(absent), Error, `Cannot open ${absent}: No such file or directory`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
