import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { DROP_REASONS } from "../../nat/base/counters.ts";
import { FLOW_ENDINGS } from "../../nat/flow/endings.ts";
import {
  commentWidth,
  externalImports,
  fileSize,
  foreignFunctions,
  functionDeclarations,
  importCircles,
  importDirection,
  knownPlace,
  leastPrivilege,
  noMachine,
  noStreams,
  privateModules,
  purity,
  type Rule,
  SOURCE_RULES,
} from "./rules.ts";
import { blankComments, importsOf } from "./source.ts";
import { readRootFile, readTree, ROOT } from "./tree.ts";

for (const rule of SOURCE_RULES) {
  Deno.test(`the tree keeps the rule ${rule.name}`, async () => {
    const files = await readTree();
    assertGreater(files.length, 10);
    assertEquals(files.flatMap((file) => rule(file)), []);
  });
}

Deno.test("no files of the program import each other in a circle", async () => {
  assertEquals(importCircles(await readTree()), []);
});

Deno.test("importCircles finds a circle of types through three files, and no other", () => {
  const file = (path: string, ...imports: string[]) => ({
    path: `nat/${path}.ts`,
    text: imports.map((name) => `import type { X } from "./${name}.ts";\n`).join(""),
  });
  const circle = [file("a", "b"), file("b", "c", "d"), file("c", "a"), file("d"), file("e", "a", "d")];
  assertEquals(importCircles(circle), ["nat/a.ts, nat/b.ts, nat/c.ts import each other in a circle"]);
  assertEquals(importCircles([file("a", "b", "d"), file("b", "d"), file("d"), file("e", "a", "b")]), []);
});

Deno.test("every drop counter and every ending is named by a test", async () => {
  const unnamed = new Set<string>([...Object.keys(DROP_REASONS), ...Object.keys(FLOW_ENDINGS)]);
  for (const { path, text } of await readTree()) {
    if (!path.endsWith("_test.ts")) continue;
    for (const name of unnamed) if (new RegExp(`\\b${name}\\b`).test(text)) unnamed.delete(name);
  }
  assertEquals([...unnamed], []);
});

Deno.test("configuration and documents grant no blanket permission", async () => {
  const complaints: string[] = [];
  for (const folder of ["", "docs/"]) {
    for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
      if (!/\.(md|json)$/.test(entry.name)) continue;
      complaints.push(...leastPrivilege(await readRootFile(`${folder}${entry.name}`)));
    }
  }
  complaints.push(...leastPrivilege(await readRootFile(".ci/run")));
  assertEquals(complaints, []);
});

Deno.test("configuration and lock belong to no single machine", async () => {
  const files = [await readRootFile("deno.json"), await readRootFile("deno.lock")];
  assertEquals(files.flatMap((file) => noMachine(file)), []);
});

/** Each rule with what breaks it and what is close to that but keeps it. */
const SAMPLES: { rule: Rule; path: string; bad: string[]; good: string[] }[] = [
  {
    rule: importDirection,
    path: "net/wire/a.ts",
    bad: [
      'import { x } from "../link/link.ts";',
      'import type { X } from "../../nat/host.ts";',
      'export * from "../linux/libc.ts";',
      'import "../../mod.ts";',
      'const x = await import("../../cli.ts");',
      'import {\n  a,\n  b,\n} from "../link/tap.ts";',
    ],
    good: [
      'import { x } from "./b.ts";',
      '/** import { x } from "../link/link.ts"; */',
      'import { x } from "@std/cli";',
    ],
  },
  {
    rule: importDirection,
    path: "nat/tcp/a.ts",
    bad: ['import { x } from "../../net/link/link.ts";', 'import { x } from "../../forward/mod.ts";'],
    good: ['import { x } from "../host.ts";', 'import { x } from "../../net/wire/mod.ts";'],
  },
  {
    rule: importDirection,
    path: "net/link/a.ts",
    bad: ['import { x } from "../../nat/flow/flow_table.ts";', 'import { x } from "../../forward/mod.ts";'],
    good: ['import { x } from "../../nat/host.ts";', 'import { x } from "../linux/tun.ts";'],
  },
  {
    rule: importDirection,
    path: "net/linux/a.ts",
    bad: ['import { x } from "../../nat/mod.ts";'],
    good: ['import type { X } from "../../nat/base/logger.ts";', 'import { x } from "../wire/address.ts";'],
  },
  {
    rule: importDirection,
    path: "forward/a.ts",
    bad: ['import { x } from "../mod.ts";', 'import { x } from "../guest/mod.ts";'],
    good: ['import { x } from "../nat/mod.ts";', 'import { x } from "../net/linux/libc.ts";'],
  },
  {
    rule: importDirection,
    path: "guest/a.ts",
    bad: ['import { x } from "../forward/mod.ts";'],
    good: ['import { x } from "../nat/tcp/endpoint.ts";'],
  },
  {
    rule: importDirection,
    path: "rules/a.ts",
    bad: ['import { x } from "../net/link/link.ts";', 'import { x } from "../audit/mod.ts";'],
    good: ['import { x } from "../nat/rules/rule.ts";', 'import { x } from "../net/wire/address.ts";'],
  },
  {
    rule: importDirection,
    path: "audit/a.ts",
    bad: ['import { x } from "../host/mod.ts";', 'import { x } from "../mod.ts";'],
    good: ['import { x } from "../rules/mod.ts";', 'import type { X } from "../nat/flow/events.ts";'],
  },
  {
    rule: importDirection,
    path: "mod.ts",
    bad: [
      'import { x } from "./cli.ts";',
      'import { x } from "./cli/run.ts";',
      'import { x } from "./tests/support/x.ts";',
    ],
    good: ['import { x } from "./forward/mod.ts";', 'import { x } from "./guest/mod.ts";'],
  },
  {
    rule: importDirection,
    path: "cli/run.ts",
    bad: ['new Worker(new URL("../tests/x.ts", import.meta.url));', 'import { x } from "../tools/x.ts";'],
    good: ['new Worker(new URL("./worker.ts", import.meta.url));', 'import { Gateway } from "../mod.ts";'],
  },
  { rule: knownPlace, path: "extra/a.ts", bad: [""], good: [] },
  { rule: knownPlace, path: "bench/a.ts", bad: [], good: [""] },
  {
    rule: privateModules,
    path: "nat/tcp/a.ts",
    bad: ['import { x } from "../_private.ts";', 'import { x } from "../relay/_timers.ts";'],
    good: ['import { x } from "./_private.ts";', 'import { x } from "../not_private.ts";'],
  },
  {
    rule: externalImports,
    path: "nat/a.ts",
    bad: ['import { x } from "@std/bytes";', 'import { x } from "node:timers";', 'import { x } from "jsr:@std/bytes";'],
    good: ['import { x } from "./b.ts";'],
  },
  {
    rule: externalImports,
    path: "forward/a.ts",
    bad: [
      'import { x } from "@std/cli";',
      'import { x } from "@std/log";',
      'import x from "npm:left-pad";',
      'import x from "https://example.com/x.ts";',
    ],
    good: ['import { delay } from "@std/async";', 'import { x } from "node:timers";', 'import { x } from "./b.ts";'],
  },
  {
    rule: externalImports,
    path: "rules/a.ts",
    bad: ['import fc from "fast-check";', 'import { parse } from "npm:tldts";', 'import { x } from "@std/cli";'],
    good: ['const { parse } = await import("tldts");'],
  },
  {
    rule: externalImports,
    path: "audit/a.ts",
    bad: ['const { parse } = await import("tldts");'],
    good: ['import { x } from "../rules/mod.ts";'],
  },
  {
    rule: externalImports,
    path: "tests/a_test.ts",
    bad: ['import x from "left-pad";', 'import x from "npm:fast-check";', 'import x from "fast-check/lib/x.js";'],
    good: ['import fc from "fast-check";', 'import { x } from "@std/cli";', 'import { x } from "./support/x.ts";'],
  },
  {
    rule: externalImports,
    path: "mod.ts",
    bad: ['import fc from "fast-check";'],
    good: ['import { x } from "./nat/mod.ts";'],
  },
  {
    rule: externalImports,
    path: "bench/a_bench.ts",
    bad: ['import fc from "fast-check";'],
    good: ['import { x } from "../nat/mod.ts";'],
  },
  {
    rule: externalImports,
    path: "cli/a.ts",
    bad: ['import { x } from "npm:commander";'],
    good: ['import { x } from "@std/cli";', 'import { x } from "@std/log";'],
  },
  {
    rule: purity,
    path: "nat/a.ts",
    bad: [
      "Deno.now();",
      "const at = Date.now();",
      "performance.now();",
      "setTimeout(f, 1);",
      "console.log(1);",
      "export async function f() {}",
      "let p: Promise<void>;",
      "const seed = Math.random();",
      "const text = `${Deno.pid}`;",
      "const r = /[/]/; Deno.exit();",
    ],
    good: [
      "// Deno.now()",
      'const text = "Deno.connect waits for a Promise";',
      "this.console.log(1);",
      "let updated = updateDate;",
      "const text = `a Promise of ${x} Dates`;",
      "interface X extends AsyncDisposable {}",
      "const half = a / 2; // performance",
    ],
  },
  { rule: purity, path: "forward/a.ts", bad: [], good: ["await Deno.connect();"] },
  {
    rule: foreignFunctions,
    path: "net/link/a.ts",
    bad: ['Deno.dlopen("libc.so.6", {});', "const { dlopen } = Deno;"],
    good: ['import { libc } from "../linux/libc.ts";', '"Deno.dlopen"'],
  },
  { rule: foreignFunctions, path: "net/linux/libc.ts", bad: [], good: ['Deno.dlopen("libc.so.6", {});'] },
  {
    rule: noStreams,
    path: "forward/a.ts",
    bad: ["conn.readable.pipeTo(x);", "const w = conn.writable;", "a.pipeThrough(b);"],
    good: ["// conn.readable closes the connection", "socket.writableBits();"],
  },
  {
    rule: commentWidth,
    path: "nat/a.ts",
    bad: [`// ${"x".repeat(118)}`, ` * ${"x".repeat(118)}`, `/** ${"x".repeat(120)} */`],
    good: [`// ${"x".repeat(117)}`, ` * | ${"x".repeat(130)} |`, `const text = "${"x".repeat(130)}";`],
  },
  { rule: fileSize, path: "nat/a.ts", bad: ["x;\n".repeat(601)], good: ["x;\n".repeat(600)] },
  {
    rule: functionDeclarations,
    path: "nat/a.ts",
    bad: ["export const f = (x: number) => x;", "const f = async () => {};", "const f: F = x => x;"],
    good: ["export function f(): void {}", "function f() {\n  const g = () => 1;\n}", "const x = list.map((y) => y);"],
  },
  {
    rule: leastPrivilege,
    path: "README.md",
    bad: ["`deno run -A x.ts`", "deno run --allow-all x.ts", '"test": "deno test -RA"'],
    good: ["deno run --allow-net x.ts", "a TCP-ACK and `ls -A`"],
  },
  {
    rule: noMachine,
    path: "deno.lock",
    bad: ['"file:///root/x.ts"', '"https://registry.npmjs.org/x"', '"http://localhost:4873/x"', "/home/alice/x"],
    good: ['"npm:deno-std@1.4.0": "1.4.0"'],
  },
];

for (const { rule, path, bad, good } of SAMPLES) {
  Deno.test(`${rule.name} complains about what breaks it in ${path} and about nothing else`, () => {
    for (const text of bad) {
      const complaints = rule({ path, text });
      assertEquals(complaints.length > 0, true, `no complaint about: ${text}`);
      assertStringIncludes(complaints[0]!, path);
    }
    for (const text of good) assertEquals(rule({ path, text }), [], text);
  });
}

Deno.test("importsOf finds every way of importing and resolves paths", () => {
  const text = [
    'import { a } from "./a.ts";',
    'import type { B } from "../b.ts";',
    'export * from "../../c.ts";',
    'export type { D } from "./sub/d.ts";',
    'import "./e.ts";',
    'const f = await import("./f.ts");',
    'new Worker(new URL("./g.ts", import.meta.url), { type: "module" });',
    'import { h } from "@std/assert";',
    '// import "./no.ts";',
    "const text = 'import { x } from \"./no.ts\";';",
  ].join("\n");
  assertEquals(
    importsOf({ path: "nat/tcp/x.ts", text }).sort(),
    [
      "@std/assert",
      "c.ts",
      "nat/b.ts",
      "nat/tcp/a.ts",
      "nat/tcp/e.ts",
      "nat/tcp/f.ts",
      "nat/tcp/g.ts",
      "nat/tcp/sub/d.ts",
    ],
  );
});

Deno.test("blankComments keeps code and blanks comments and texts, whatever they hold", () => {
  const blanked = (text: string) => blankComments(text, { texts: false }).replaceAll(/\s+/g, " ").trim();
  assertEquals(blanked('a("//x"); // y'), 'a(" ");');
  assertEquals(blanked("a(`x${b(`y${c}`)}z`); d"), "a(` ${b(` ${c}`)} `); d");
  assertEquals(blanked(`a(/["'/*]/); b`), "a(/ /); b");
  assertEquals(blanked("a / b / c"), "a / b / c");
  assertEquals(blanked('"\\"" + d'), '" " + d');
  assertEquals(blanked("`}` + { a: `${{}}` } + e"), "` ` + { a: `${{}}` } + e");
  assertEquals(blanked("/* unclosed"), "");
});
