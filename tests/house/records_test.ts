import { assertEquals, assertGreater } from "@std/assert";
import { readTree } from "./tree.ts";
import { stateInRecords } from "./records.ts";

/** A file of `nat/tcp/` with one class of these members, and what its types name. */
function classWith(...members: string[]): { path: string; text: string }[] {
  const other = "export interface Other {\n  count: number;\n}\nexport class Part {}\nexport type Kind = 1 | 2;\n";
  return [
    { path: "nat/base/other.ts", text: other },
    { path: "nat/tcp/one.ts", text: `export class One implements Other {\n  ${members.join("\n  ")}\n}\n` },
  ];
}

Deno.test("what makes a flow keeps its state in records", async () => {
  const tree = await readTree();
  assertGreater(tree.filter(({ text }) => /^ {2}readonly record: \w+Record\b/m.test(text)).length, 12);
  assertEquals(stateInRecords(tree), []);
});

for (
  const member of [
    "#count = 0;",
    "#count = -1;",
    "count: number = 0;",
    "readonly count: number;",
    "#when!: number;",
    "#open = false;",
    "#name: string;",
    "#name: string | null = null;",
    "#kind: Kind;",
    "#maybe: Part | undefined;",
    "#list: Part[] = [];",
    "#list: readonly number[];",
    "#bytes = new Uint8Array(4);",
    "#pages = new Map<number, Part>();",
    "#pages: Map<number, Part>;",
    "#call: () => void;",
    "#either: Part | Other;",
    "#nameless;",
    "#other: Other = { count: 0 };",
    "protected static readonly count = 0;",
  ]
) {
  Deno.test(`stateInRecords complains about ${member}`, () => {
    const field = member.match(/#?\b(?!protected|static|readonly)\w+/)![0];
    assertEquals(stateInRecords(classWith("readonly record: OneRecord = { a: 0 };", member)), [
      `nat/tcp/one.ts keeps ${field} of One beside its record`,
    ]);
  });
}

Deno.test("stateInRecords complains about data that a method or the constructor makes", () => {
  const made = classWith("#other: Other;", "constructor() {", "  this.#other = { count: 0 };", "}");
  assertEquals(stateInRecords(made), ["nat/tcp/one.ts makes data for #other of One beside its record"]);
  const declared = classWith("constructor(private count: number) {}");
  assertEquals(stateInRecords(declared), ["nat/tcp/one.ts declares fields of One in its constructor"]);
});

Deno.test("stateInRecords lets records, references and methods be, and other folders", () => {
  const kept = [
    "readonly record: OneRecord;",
    "readonly record: OneRecord = { count: 0, list: [] };",
    "#other: Other;",
    "readonly part: Part = new Part();",
    "#part = new Part();",
    "#part: Part | null = null;",
    "#parts: Part<Other>;",
    "#parts = new Part<Other>();",
    "place: Other = NOWHERE;",
    "get count(): number {",
    "  return 1;",
    "}",
    "#call(): void {}",
    "constructor(context: Other) {",
    "  this.record = { count: 0, list: [] };",
    "  this.#other = context;",
    "}",
  ];
  assertEquals(stateInRecords(classWith(...kept)), []);
  const elsewhere = classWith("#count = 0;").map(({ path, text }) => ({ path: path.replace("tcp", "base"), text }));
  assertEquals(stateInRecords(elsewhere), []);
});
