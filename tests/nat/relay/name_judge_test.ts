import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import fc from "fast-check";
import { NameJudge, type NameJudging, type NameRefusal, type SaidName } from "../../../nat/relay/name_judge.ts";
import { RuleList } from "../../../nat/rules/rule_list.ts";
import { CAPTURED_HELLOS, clientHello, helloFor, inRecords, sslv2Hello } from "../../support/client_hellos.ts";
import { plainRule } from "../../support/plain_rule.ts";
import { bytesOf } from "../../support/nat_script.ts";
import { checkProperty } from "../../support/properties.ts";

const RULES = [
  "allow registry.example:443",
  "allow registry.example:80",
  "allow other.example:443",
  "allow *.wild.example",
  "allow elsewhere.example:443",
  "allow 192.0.2.9:22",
  "deny bad.wild.example",
];
const BOUND = ["registry.example", "other.example", "a.wild.example", "bad.wild.example", "unlisted.example"];

interface Case extends Partial<Omit<NameJudging, "list" | "listener" | "isBound">> {
  readonly rules?: readonly string[];
  /** Bytes shown at once. */
  readonly step?: number;
  /** The guest finishes, or takes too long, if there is no verdict. */
  readonly finishes?: boolean;
}

interface Outcome {
  readonly verdict: string;
  readonly said: SaidName[];
  readonly refusals: NameRefusal[];
  readonly judge: NameJudge;
}

/** What becomes of a stream. */
function judged(stream: string | Uint8Array, options: Case = {}): Outcome {
  const { rules = RULES, step = 1 << 20, finishes, port = 443, look = "verify", strict = false, reports = false } =
    options;
  const bytes = typeof stream === "string" ? bytesOf(stream) : stream;
  const list = new RuleList(rules.map(plainRule)), said: SaidName[] = [], refusals: NameRefusal[] = [];
  const judge = new NameJudge({
    list: () => list,
    ruleOf: (name) => list.name("tcp", name, port),
    isBound: (name) => BOUND.includes(name),
    port,
    look,
    strict,
    reports,
    listener: { nameVerified: (name) => said.push(name), nameRefused: (refusal) => refusals.push(refusal) },
  });
  let verdict: string = "more";
  for (let end = Math.min(step, bytes.length); verdict === "more"; end = Math.min(bytes.length, end + step)) {
    verdict = judge.judge(bytes, 0, end);
    if (end === bytes.length) break;
  }
  if (finishes !== undefined) verdict = judge.last(finishes);
  assertEquals(judge.endsAs, verdict === "refuse" ? refusals[0]!.cause : null);
  return { verdict, said, refusals, judge };
}

/** The verdict alone, or why it refuses. */
function verdictOf(stream: string | Uint8Array, options: Case = {}): string {
  const { verdict, judge } = judged(stream, options);
  for (const step of [1, 3, 100]) {
    assertEquals(judged(stream, { ...options, step }).verdict, verdict, `steps of ${step}`);
  }
  return judge.endsAs ?? verdict;
}

function get(host: string): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

Deno.test("NameJudge passes a ClientHello whose name is allowed on the port and bound to the address", () => {
  for (const name of ["registry.example", "Registry.EXAMPLE.", "other.example", "a.wild.example"]) {
    const { verdict, said, refusals } = judged(helloFor(name)), text = name.toLowerCase().replace(/\.$/, "");
    assertEquals([verdict, said, refusals], ["pass", [{ via: "sni", name: text, port: 443, ech: false }], []]);
  }
});

for (const [program, bytes] of Object.entries(CAPTURED_HELLOS)) {
  const isNamed = program !== "opensslNameless";
  Deno.test(`NameJudge ${isNamed ? "passes" : "refuses"} what ${program} says`, () => {
    assertEquals(verdictOf(bytes), isNamed ? "pass" : "sniRefused");
    assertEquals(verdictOf(bytes, { rules: ["allow other.example"] }), "sniRefused");
  });
}

Deno.test("NameJudge refuses a ClientHello that names another, none, two or an address, and says why", () => {
  const cases: Record<string, [Uint8Array, string | null, RegExp, Case?]> = {
    "not on the list": [
      helloFor("unlisted.example"),
      "unlisted.example",
      /no rule allows; --allow unlisted.example:443 /,
    ],
    "on the list for another port": [helloFor("other.example"), "other.example", /--allow other.example:80 /, {
      port: 80,
    }],
    "on the list, and not bound": [helloFor("elsewhere.example"), "elsewhere.example", /not what led to this address/],
    "denied": [helloFor("bad.wild.example"), "bad.wild.example", /which a rule denies/],
    "the domain of a wildcard": [helloFor("wild.example"), "wild.example", /no rule allows/],
    "none": [inRecords(clientHello({})), null, /names no host by name; "unverified"/],
    "two": [inRecords(clientHello({ names: ["registry.example", "other.example"] })), null, /several/],
    "an address": [helloFor("192.0.2.9"), null, /no host by name/, { port: 22 }],
    "an IPv6 address": [helloFor("::1"), null, /no host by name/],
    "SSLv2": [sslv2Hello(), null, /no host by name/],
    "malformed": [Uint8Array.of(22, 2), null, /malformed/],
    "too large": [inRecords(clientHello({ names: ["registry.example"], size: 16_385 })), null, /too large/],
  };
  for (const [what, [stream, name, words, options = {}]] of Object.entries(cases)) {
    assertEquals(verdictOf(stream, options), "sniRefused", what);
    const { said, refusals: [refusal, ...more] } = judged(stream, options);
    assertEquals([said, refusal!.name, more], [[], name, []], what);
    assert(words.test(refusal!.words), refusal!.words);
    assertEquals(refusal!.rule?.text, what === "denied" ? "deny bad.wild.example" : undefined);
  }
});

Deno.test("NameJudge passes Encrypted Client Hello by its outer name, and refuses it under strict", () => {
  const hello = inRecords(clientHello({ names: ["registry.example"], ech: true }));
  assertEquals(judged(hello).said, [{ via: "sni", name: "registry.example", port: 443, ech: true }]);
  assertEquals(verdictOf(hello, { strict: true }), "sniRefused");
  assertEquals(verdictOf(helloFor("registry.example"), { strict: true }), "pass");
  assertEquals(verdictOf(inRecords(clientHello({ names: ["unlisted.example"], ech: true }))), "sniRefused");
});

Deno.test("NameJudge passes an HTTP request whose one Host is allowed and bound", () => {
  for (const host of ["registry.example", "REGISTRY.example.:8080", "registry.example:80"]) {
    const { verdict, said } = judged(get(host), { port: 80 });
    assertEquals([verdict, said], ["pass", [{ via: "host", name: "registry.example", port: 80, ech: false }]]);
  }
  assertEquals(verdictOf(`\r\n\n${get("registry.example")}`), "pass");
  assertEquals(verdictOf(`${get("registry.example")}${get("unlisted.example")}`), "pass");
});

Deno.test("NameJudge refuses an HTTP request with another Host, none, two or an address", () => {
  const cases = [
    get("unlisted.example"),
    get("bad.wild.example"),
    get("elsewhere.example"),
    get(""),
    get("192.0.2.9"),
    get("[::1]:80"),
    get("registry.example\r\nHost: registry.example"),
    get("registry.example\r\nHost: unlisted.example"),
    get("registry.example\r\n folded"),
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nhost : registry.example\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `GET / HTTP/1.1\r\nHost: registry.example\r\nX: ${"x".repeat(16_384)}\r\n\r\n`,
  ];
  for (const stream of cases) assertEquals(verdictOf(stream), "hostRefused", JSON.stringify(stream.slice(0, 80)));
});

Deno.test("NameJudge passes CONNECT and absolute targets that the rules allow at their port, bound or not", () => {
  const cases: Record<string, [string, string, number]> = {
    "CONNECT registry.example:443 HTTP/1.1": ["pass", "registry.example", 443],
    "CONNECT elsewhere.example:443 HTTP/1.0": ["pass", "elsewhere.example", 443],
    "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example": ["pass", "elsewhere.example", 443],
    "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: Elsewhere.example.:443": ["pass", "elsewhere.example", 443],
    "CONNECT 192.0.2.9:22 HTTP/1.1": ["pass", "192.0.2.9", 22],
    "GET http://registry.example/ HTTP/1.1\r\nHost: registry.example": ["pass", "registry.example", 80],
    "GET https://elsewhere.example/ HTTP/1.1": ["pass", "elsewhere.example", 443],
  };
  for (const [line, [verdict, name, port]] of Object.entries(cases)) {
    const outcome = judged(`${line}\r\n\r\n`, { port: 3128 });
    assertEquals([outcome.verdict, outcome.said], [verdict, [{ via: "host", name, port, ech: false }]], line);
  }
  const wrong = [
    "CONNECT elsewhere.example:22 HTTP/1.1",
    "CONNECT unlisted.example:443 HTTP/1.1",
    "CONNECT unlisted.example:443 HTTP/1.1\r\nHost: registry.example",
    "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: registry.example",
    "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:22",
    "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example\r\nHost: registry.example",
    "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: ",
    "CONNECT 192.0.2.9:443 HTTP/1.1",
    "CONNECT [2001:db8::1]:443 HTTP/1.1",
    "CONNECT [:::]:443 HTTP/1.1",
    "CONNECT 192.0.2:443 HTTP/1.1",
    "CONNECT bad.wild.example:443 HTTP/1.1",
    "GET http://other.example/ HTTP/1.1\r\nHost: other.example",
    "GET http://registry.example/ HTTP/1.1\r\nHost: other.example",
  ];
  for (const line of wrong) assertEquals(verdictOf(`${line}\r\n\r\n`), "hostRefused", line);
  const { refusals } = judged("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n");
  assert(refusals[0]!.words.includes("--allow [2001:db8::1]:443 would"), refusals[0]!.words);
});

/** What is neither TLS nor HTTP, and where that shows. */
const OTHERS = ["SSH-2.0-x\r\n", "EHLO a.example\r\n", "\0\0\0\x08", "*1\r\n", "get /\r\n", "\x15\x04"];

Deno.test("NameJudge takes an alert before a ClientHello, and a request without a version, for what servers take them", () => {
  const hello = helloFor("registry.example"), alert = [0x15, 3, 1, 0, 2, 1, 0x5a];
  assertEquals(verdictOf(Uint8Array.from([...alert, ...hello])), "sniRefused");
  assertEquals(verdictOf(Uint8Array.from(alert.slice(0, 4))), "more");
  assertEquals(verdictOf(Uint8Array.from(alert.slice(0, 4)), { finishes: false }), "sniRefused");
  assertEquals(verdictOf("GET /\r\nHost: registry.example\r\n\r\n"), "hostRefused");
  assertEquals(verdictOf(`\r${get("registry.example")}`), "hostRefused");
});

Deno.test("NameJudge passes other protocols at once and unverified, and strict refuses them", () => {
  for (const stream of OTHERS) {
    const { verdict, said, refusals } = judged(stream);
    assertEquals([verdict, said, refusals], ["pass", [], []], JSON.stringify(stream));
    assertEquals(verdictOf(stream, { strict: true }), "unverified");
    assertEquals(verdictOf(stream, { strict: true, look: "watch" }), "pass");
  }
  assertEquals(verdictOf(Uint8Array.of(0xff, 0xfd, 3)), "pass");
});

Deno.test("NameJudge refuses what it holds when time is over, whatever that may have become", () => {
  const held: [string | Uint8Array, string][] = [
    [helloFor("registry.example").subarray(0, -1), "sniRefused"],
    [Uint8Array.of(22), "sniRefused"],
    [sslv2Hello().subarray(0, 10), "sniRefused"],
    [get("registry.example").slice(0, -1), "hostRefused"],
    ["GE", "hostRefused"],
    ["\r\n", "hostRefused"],
  ];
  for (const [stream, ending] of held) {
    assertEquals(verdictOf(stream), "more");
    assertEquals(verdictOf(stream, { finishes: false }), ending);
    assertEquals(verdictOf(stream, { finishes: false, look: "watch" }), "pass");
  }
});

Deno.test("NameJudge refuses what is cut off when the guest finishes, and passes what was neither TLS nor HTTP", () => {
  assertEquals(verdictOf(helloFor("registry.example").subarray(0, -1), { finishes: true }), "sniRefused");
  assertEquals(verdictOf("GET / HTTP/1.1\r\n", { finishes: true }), "hostRefused");
  for (const stream of ["", "GE", "\r\n", "GET / HTTP/1.1"]) {
    assertEquals(verdictOf(stream, { finishes: true }), "pass", stream);
    assertEquals(verdictOf(stream, { finishes: true, strict: true }), "unverified", stream);
  }
  const { judge, said } = judged(get("registry.example"), { finishes: false }), other = helloFor("unlisted.example");
  assertEquals([judge.judge(other, 0, other.length), judge.last(true), said.length], ["pass", "pass", 1]);
});

Deno.test("NameJudge that watches refuses names that are denied, and passes everything else", () => {
  const options: Case = { look: "watch", rules: ["deny bad.example", "deny *.evil.example:443"] };
  const refused = [
    helloFor("bad.example"),
    helloFor("a.evil.example"),
    inRecords(clientHello({ names: ["registry.example", "bad.example"] })),
    get("bad.example"),
    get("registry.example\r\nHost: bad.example"),
    "CONNECT a.evil.example:443 HTTP/1.1\r\n\r\n",
    "CONNECT a.evil.example:443 HTTP/1.1\r\nHost: registry.example\r\n\r\n",
  ];
  for (const stream of refused) {
    const { verdict, said, refusals } = judged(stream, options);
    assertEquals([verdict, said, refusals[0]!.rule?.verdict], ["refuse", [], "deny"]);
  }
  const passed = [
    helloFor("unknown.example"),
    inRecords(clientHello({})),
    Uint8Array.of(22, 2),
    inRecords(clientHello({ size: 16_385 })),
    sslv2Hello(),
    get("unknown.example"),
    "GET / HTTP/1.0\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
  ];
  for (const target of ["a.evil.example:80", "192.0.2.9:22"]) {
    const { verdict, said } = judged(`CONNECT ${target} HTTP/1.1\r\n\r\n`, options);
    assertEquals([verdict, ...said.map(({ name, port }) => `${name}:${port}`)], ["pass", target]);
  }
  for (const stream of passed) assertEquals([verdictOf(stream, options), judged(stream, options).said], ["pass", []]);
  assertEquals(judged(helloFor("registry.example"), options).said.length, 1, "a bound name is told");
  assertEquals(judged(helloFor("a.evil.example"), { ...options, port: 80 }).verdict, "pass");
});

Deno.test("NameJudge that only reports passes everything, and tells what it would have refused, and the bound name", () => {
  const cases: [string | Uint8Array, string | null, string[]][] = [
    [helloFor("registry.example"), null, ["registry.example"]],
    [helloFor("unlisted.example"), "sniRefused", ["unlisted.example"]],
    [helloFor("nowhere.example"), "sniRefused", []],
    [inRecords(clientHello({})), "sniRefused", []],
    ["GET / HTTP/1.0\r\n\r\n", "hostRefused", []],
    ["SSH-2.0-x\r\n", "unverified", []],
  ];
  for (const [stream, cause, names] of cases) {
    const { verdict, said, refusals, judge } = judged(stream, { reports: true, strict: true });
    assertEquals([verdict, judge.endsAs, refusals[0]?.cause ?? null, said.map(({ name }) => name)], [
      "pass",
      null,
      cause,
      names,
    ]);
  }
});

Deno.test("NameJudge that learns passes everything, and tells names and what kept one from being verified", () => {
  const cases: [string | Uint8Array, string | null, string[]][] = [
    [helloFor("registry.example"), null, ["registry.example 443"]],
    [helloFor("unlisted.example"), null, ["unlisted.example 443"]],
    [helloFor("nowhere.example"), "sniRefused nowhere.example", []],
    [helloFor("bad.wild.example"), "sniRefused bad.wild.example", []],
    [inRecords(clientHello({})), "sniRefused null", []],
    [Uint8Array.of(22, 1), "sniRefused null", []],
    ["GET / HTTP/1.0\r\n\r\n", "hostRefused null", []],
    ["CONNECT nowhere.example:22 HTTP/1.1\r\n\r\n", null, ["nowhere.example 22"]],
    ["SSH-2.0-x\r\n", null, []],
  ];
  for (const [stream, refused, names] of cases) {
    const { verdict, said, refusals: [refusal], judge } = judged(stream, { look: "learn", reports: true });
    assertEquals([verdict, judge.endsAs, said.map(({ name, port }) => `${name} ${port}`)], ["pass", null, names]);
    assertEquals(refusal === undefined ? null : `${refusal.cause} ${refusal.name}`, refused);
  }
  const strict = judged("SSH-2.0-x\r\n", { look: "learn", reports: true, strict: true });
  assertEquals([strict.verdict, strict.refusals[0]!.cause], ["pass", "unverified"]);
});

Deno.test("NameJudge goes by the rules and bindings at the time of the verdict", () => {
  let list = new RuleList([plainRule("allow registry.example")]), isBound = true;
  const judge = () =>
    new NameJudge({
      list: () => list,
      ruleOf: (name) => list.name("tcp", name, 443),
      isBound: () => isBound,
      port: 443,
      look: "verify",
      strict: false,
      reports: false,
      listener: { nameVerified() {}, nameRefused() {} },
    });
  const bytes = helloFor("registry.example"), [first, second] = [judge(), judge()];
  for (const each of [first, second]) assertEquals(each.judge(bytes, 0, 20), "more");
  list = new RuleList([plainRule("allow other.example")]);
  assertEquals(first.judge(bytes, 0, bytes.length), "refuse");
  list = new RuleList([plainRule("allow registry.example")]);
  isBound = false;
  assertEquals([second.judge(bytes, 0, bytes.length), second.judge(bytes, 0, bytes.length)], ["refuse", "refuse"]);
});

Deno.test("NameJudge never passes a stream of TLS or HTTP without a name that is allowed, whatever its bytes", () => {
  const hello = helloFor("unlisted.example"), head = bytesOf(get("unlisted.example"));
  const script = fc.record({
    isTls: fc.boolean(),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }),
    tail: fc.uint8Array({ maxLength: 30 }),
    step: fc.integer({ min: 1, max: 60 }),
  });
  checkProperty(script, ({ isTls, changes, tail, step }) => {
    const bytes = concat([isTls ? hello : head, tail]);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    const whole = judged(bytes, { finishes: false });
    assertEquals(judged(bytes, { finishes: false, step }).verdict, whole.verdict);
    if (bytes[0] === 22) assertEquals(whole.verdict, "refuse");
    if (whole.verdict === "pass") assertEquals(whole.said, []);
  });
});
