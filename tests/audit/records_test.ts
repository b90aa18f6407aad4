import { assertEquals, assertNotEquals } from "@std/assert";
import { dnsTypeText, MOST_NAMES, REFUSE_REASONS, timeText } from "../../audit/records.ts";
import schema from "../../docs/audit.schema.json" with { type: "json" };
import { Records } from "../support/audit_records.ts";
import { schemaProblems } from "../support/audit_schema.ts";

Deno.test("dnsTypeText names common types, and others as RFC 3597 does", () => {
  assertEquals([1, 28, 65, 64, 257, 0, 1234].map(dnsTypeText), [
    "A",
    "AAAA",
    "HTTPS",
    "SVCB",
    "CAA",
    "TYPE0",
    "TYPE1234",
  ]);
});

Deno.test("timeText is RFC 3339 in UTC with milliseconds", () => {
  assertEquals(timeText(Date.UTC(2026, 10, 28, 1, 2, 3, 4)), "2026-11-28T01:02:03.004Z");
});

Deno.test("audit.schema.json: records are valid, and know the reasons and bounds that the code has", () => {
  const { list } = new Records().open().verified("registry.example").close().refuse().dns("registry.example");
  for (const record of list) assertEquals(schemaProblems(record), []);
  assertEquals(schema.$defs.refuse.properties.reason.enum, Object.keys(REFUSE_REASONS));
  assertEquals(schema.$defs.open.properties.names.maxItems, MOST_NAMES);
});

Deno.test("docs/audit.md: its examples of records are valid, one of each event at least", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/audit.md", import.meta.url));
  const [, block = ""] = /```json\n(.*?)```/s.exec(text) ?? [], events = new Set<string>();
  for (const line of block.trimEnd().split("\n")) {
    const example = JSON.parse(line.replaceAll(/[0-9a-f]{8}…/g, "0".repeat(64))), { event } = example;
    const guest = ["start", "rules", "gap", "end"].includes(event) ? {} : { guest: 1 };
    const record = { v: 1, run: "r", seq: 1, time: "2026-01-02T03:04:05.678Z", ...guest, ...example };
    assertEquals(schemaProblems(record), [], line);
    events.add(event);
  }
  assertEquals(events.size, schema.oneOf.length);
});

Deno.test("audit.schema.json: a member too many, one of another event, or one that is missing makes a line invalid", () => {
  const [open, close] = new Records().open().close().list as [object, object];
  assertEquals(schemaProblems(open), []);
  for (
    const bad of [
      { ...open, more: 1 },
      { ...open, bytesFromGuest: 1 },
      { ...open, names: new Array(MOST_NAMES + 1).fill("a") },
      { ...open, names: ["new\nline"] },
      { ...open, names: ['a"b'] },
      { ...open, port: 65536 },
      { ...open, time: "2026-01-02 03:04:05" },
      { ...open, v: 2 },
      { ...open, rule: "allow a" },
      { ...close, event: "open" },
      { ...close, verified: undefined },
      {},
      null,
      [],
    ]
  ) assertNotEquals(schemaProblems(JSON.parse(JSON.stringify(bad))), [], JSON.stringify(bad));
});
