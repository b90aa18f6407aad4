import { assertEquals } from "@std/assert";
import { explanations, keyOf, mutantsOf, shuffled } from "../../tools/mutants.ts";

function keysOf(text: string): string[] {
  return mutantsOf("a.ts", text).map((mutant) => keyOf(mutant).slice("a.ts: ".length));
}

Deno.test("mutantsOf turns comparisons and logic round, each operator by itself", () => {
  assertEquals(keysOf("const x = a < b && c !== d;"), [
    "const x = a < b && c !== d; -> const x = a <= b && c !== d;",
    "const x = a < b && c !== d; -> const x = a >= b && c !== d;",
    "const x = a < b && c !== d; -> const x = a < b || c !== d;",
    "const x = a < b && c !== d; -> const x = a < b && c === d;",
  ]);
});

Deno.test("mutantsOf leaves comments, texts, types, arrows and shifts alone", () => {
  const lines = [
    "// a < b",
    'const text = "a && b";',
    "const map: Map<string, number> = new Map<string, number>();",
    "const f = (x: A | B) => x >>> 1;",
    "/** this.go(); */",
  ];
  assertEquals(keysOf(lines.join("\n")), []);
});

Deno.test("mutantsOf leaves out statements, and nothing whose absence would not parse or says nothing", () => {
  const text = `class A {
  #field = 0;
  readonly other: number;
  method(): void {
    const x = 1;
    this.go();
    if (x) return;
    if (x) this.stop();
    else this.go(
      x,
    );
    return x;
  }
  abstract(): void;
}
`;
  assertEquals(keysOf(text), ["this.go(); -> left out", "if (x) return; -> left out"]);
});

Deno.test("mutantsOf gives the whole file with one fault, and tells equal lines apart", () => {
  const mutants = mutantsOf("a.ts", "function f() {\n  go();\n  go();\n}\n");
  assertEquals(mutants.map(keyOf), ["a.ts: go(); -> left out", "a.ts: go(); [2] -> left out"]);
  assertEquals(mutants[1]!.text, "function f() {\n  go();\n\n}\n");
});

Deno.test("shuffled gives the same order for the same seed, another for another, and loses nothing", () => {
  const values = Array.from({ length: 100 }, (_, i) => i);
  assertEquals(shuffled(values, 7), shuffled(values, 7));
  assertEquals(shuffled(values, 7).join() === shuffled(values, 8).join(), false);
  assertEquals(shuffled(values, 7).toSorted((a, b) => a - b), values);
});

Deno.test("tools/mutate_survivors.md explains faults that there are", async () => {
  const root = new URL("../../", import.meta.url), keys = new Set<string>();
  const explained = explanations(await Deno.readTextFile(new URL("tools/mutate_survivors.md", root)));
  for (const path of new Set([...explained].map((key) => key.split(": ")[0]!))) {
    for (const mutant of mutantsOf(path, await Deno.readTextFile(new URL(path, root)))) keys.add(keyOf(mutant));
  }
  assertEquals([...explained].filter((key) => !keys.has(key)), []);
});
