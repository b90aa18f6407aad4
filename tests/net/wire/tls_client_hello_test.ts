import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import fc from "fast-check";
import {
  CLIENT_HELLO_MAX,
  CLIENT_HELLO_RECORDS_MAX,
  ClientHelloReader,
  findSslv2Hello,
  findTlsAlert,
  type FirstMessage,
} from "../../../net/wire/tls_client_hello.ts";
import { noise } from "../../support/packet_bytes.ts";
import { checkProperty } from "../../support/properties.ts";
import {
  CAPTURED_HELLOS,
  clientHello,
  extension,
  helloFor,
  inRecords,
  message,
  serverNames,
  sslv2Hello,
} from "../../support/client_hellos.ts";

/** What is found in a stream that comes in pieces of `step` bytes, each time shown from its beginning. */
function read(stream: Uint8Array, step = stream.length): ClientHelloReader {
  const reader = new ClientHelloReader(), bytes = concat([Uint8Array.of(9, 9, 9), stream, Uint8Array.of(9)]);
  for (let end = step; end < stream.length; end += step) reader.read(bytes, 3, 3 + end);
  reader.read(bytes, 3, 3 + stream.length);
  return reader;
}

function found(stream: Uint8Array): FirstMessage {
  return read(stream).found;
}

for (const [program, bytes] of Object.entries(CAPTURED_HELLOS)) {
  Deno.test(`ClientHelloReader finds what ${program} says, in pieces of any size`, () => {
    for (const step of [1, 2, 7, 100, bytes.length]) {
      const { found, names, hasEch } = read(bytes, step);
      assertEquals([found, names, hasEch], ["whole", program === "opensslNameless" ? [] : ["registry.example"], false]);
    }
  });

  Deno.test(`ClientHelloReader wants more of what ${program} says, at whatever byte it is cut off`, () => {
    const length = 5 + bytes[3]! * 256 + bytes[4]!;
    for (let end = 0; end < length; end++) assertEquals(found(bytes.subarray(0, end)), "more");
  });
}

Deno.test("ClientHelloReader finds the name whatever records the message is split over, and GREASE beside it", () => {
  const hello = clientHello({ names: ["registry.example"] });
  for (const sizes of [[1], [3, 1], [4], [5], [40, 2, 100], [hello.length - 1]]) {
    for (const step of [1, 6, 10_000]) {
      const { found, names } = read(inRecords(hello, ...sizes), step);
      assertEquals([found, names], ["whole", ["registry.example"]], `records of ${sizes}`);
    }
  }
});

Deno.test("ClientHelloReader says whether Encrypted Client Hello is there, and gives the outer name", () => {
  for (const ech of [false, true]) {
    const { names, hasEch } = read(inRecords(clientHello({ names: ["outer.example"], ech })));
    assertEquals([names, hasEch], [["outer.example"], ech]);
  }
});

Deno.test("ClientHelloReader gives names in lower case without a final dot, and null for what is none", () => {
  const cases: [string, string | null][] = [
    ["Registry.EXAMPLE", "registry.example"],
    ["registry.example.", "registry.example"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["_dmarc.a_b.example", "_dmarc.a_b.example"],
    ["localhost", "localhost"],
    ["192.0.2.7", null],
    ["0x7f.1", null],
    ["::1", null],
    ["[::1]", null],
    ["registry..example", null],
    [".", null],
    ["registry.example..", null],
    ["registry.example\0", null],
    ["registry example", null],
    ["bücher.example", null],
    ["*.example", null],
    [`${"a".repeat(64)}.example`, null],
    [`${"a.".repeat(127)}`, "a.".repeat(127).slice(0, -1)],
    [`${"a.".repeat(127)}a`, null],
  ];
  for (const [said, name] of cases) assertEquals(read(helloFor(said)).names, [name], said);
});

Deno.test("ClientHelloReader gives every name of a hello that says several, in a list or in two extensions", () => {
  const both = ["a.example", "b.example"];
  assertEquals(read(inRecords(clientHello({ names: both }))).names, both);
  const twice = clientHello({ names: both.slice(0, 1), extensions: [serverNames(both[1]!)] });
  assertEquals([found(inRecords(twice)), read(inRecords(twice)).names], ["whole", both]);
});

Deno.test("ClientHelloReader takes a hello without extensions, as before TLS 1.2", () => {
  const old = message(new Uint8Array(0)).slice(0, -2);
  old[3] = old.length - 4;
  assertEquals([found(inRecords(old)), read(inRecords(old)).names], ["whole", []]);
});

Deno.test("ClientHelloReader takes a message of 16,384 bytes and none that is larger, as soon as it knows", () => {
  const most = clientHello({ names: ["registry.example"], size: CLIENT_HELLO_MAX });
  assertEquals([most.length, found(inRecords(most)), found(inRecords(most, 100))], [16_384, "whole", "whole"]);
  const larger = inRecords(clientHello({ size: CLIENT_HELLO_MAX + 1 }), 1000);
  assertEquals([found(larger.subarray(0, 8)), found(larger.subarray(0, 9)), found(larger)], [
    "more",
    "tooLarge",
    "tooLarge",
  ]);
});

Deno.test("ClientHelloReader bounds the records of a message as well", () => {
  const tiny = inRecords(clientHello({ size: 6000 }), 1);
  assert(tiny.length > CLIENT_HELLO_RECORDS_MAX);
  assertEquals([found(tiny), read(tiny, 1).found], ["tooLarge", "tooLarge"]);
  assertEquals(found(tiny.subarray(0, CLIENT_HELLO_RECORDS_MAX - 1)), "more");
});

Deno.test("ClientHelloReader finds malformed what is no ClientHello in records", () => {
  const good = helloFor("registry.example");
  const changes: Record<string, (bytes: Uint8Array) => void> = {
    "another major version": (bytes) => bytes[1] = 2,
    "an empty record": (bytes) => bytes.fill(0, 3, 5),
    "a record that is too large": (bytes) => bytes.set([0x40, 1], 3),
    "another message": (bytes) => bytes[5] = 2,
    "something behind the message in its record": (bytes) => bytes[8]!--,
    "a session id that is too long": (bytes) => bytes[43] = 33,
    "an odd length of suites": (bytes) => bytes[77] = 5,
    "no suites": (bytes) => bytes.set([0, 0], 76),
    "no compression method": (bytes) => bytes[84] = 0,
    "extensions that end before the message": (bytes) => bytes[87]!--,
    "extensions that end behind the message": (bytes) => bytes[87]!++,
    "an extension that ends behind all": (bytes) => bytes[91] = 255,
    "a name of another type": (bytes) => bytes[98] = 1,
    "a list of names that is too short": (bytes) => bytes[97]!--,
    "a name that is longer than its list": (bytes) => bytes[100]!++,
    "an empty name": (bytes) => bytes[100] = 0,
  };
  for (const [what, change] of Object.entries(changes)) {
    const bytes = good.slice();
    change(bytes);
    assertEquals(found(bytes), "malformed", what);
    assertEquals(read(bytes, 1).found, "malformed", `${what}, byte by byte`);
  }
  for (const data of [[], [0, 0], [0], [0, 1, 0]]) {
    assertEquals(found(inRecords(clientHello({ extensions: [extension(0, data)] }))), "malformed", `${data}`);
  }
});

Deno.test("ClientHelloReader finds malformed what is not allowed, though all lengths agree, and what ends early", () => {
  const body = (sessionId: number, suites: number[], methods: number, extensions: number[]) => {
    const parts = [new Array(34).fill(3), [sessionId], new Array(sessionId).fill(7), [0, suites.length], suites];
    const rest = [[methods], new Array(methods).fill(0), extensions];
    return [...parts, ...rest].flat();
  };
  const cases: [number[], FirstMessage][] = [
    [body(32, [1, 2], 1, [0, 0]), "whole"],
    [body(0, [1, 2], 255, []), "whole"],
    [body(33, [1, 2], 1, [0, 0]), "malformed"],
    [body(32, [], 1, [0, 0]), "malformed"],
    [body(32, [1, 2, 3], 1, [0, 0]), "malformed"],
    [body(32, [1, 2], 0, [0, 0]), "malformed"],
    [body(32, [1, 2], 1, [0]), "malformed"],
    [body(0, [1, 2], 1, [0, 0]).slice(0, 34), "malformed"],
    [body(0, [1, 2], 1, [0, 0]).slice(0, 35), "malformed"],
    [body(0, [1, 2], 1, [0, 0]).slice(0, 36), "malformed"],
    [body(0, [1, 2], 1, [0, 0]).slice(0, 39), "malformed"],
    [body(0, [1, 2], 1, [0, 0]).slice(0, 40), "malformed"],
    [[], "malformed"],
  ];
  for (const [bytes, is] of cases) {
    const message = Uint8Array.of(1, 0, bytes.length >> 8, bytes.length & 255, ...bytes);
    assertEquals([found(inRecords(message)), found(inRecords(message, 3))], [is, is], `${bytes}`);
  }
});

Deno.test("ClientHelloReader finds a record of another type within the message malformed", () => {
  const good = inRecords(clientHello({ names: ["registry.example"] }), 60);
  const alert = concat([good.subarray(0, 65), Uint8Array.of(21, 3, 3, 0, 2, 1, 0), good.subarray(65)]);
  assertEquals([found(alert), found(good)], ["malformed", "whole"]);
});

Deno.test("ClientHelloReader looks no further than the message: whatever follows, the verdict stands", () => {
  const early = CAPTURED_HELLOS.opensslEarly13, length = 5 + early[3]! * 256 + early[4]!;
  assertEquals([early[length], early[length + 6]], [20, 23], "a change of ciphers, then data");
  assertEquals([read(early).found, read(early, 3).found], ["whole", "whole"]);
});

Deno.test("ClientHelloReader throws nothing and says the same of any bytes, however they are split", () => {
  const seeds = [...Object.values(CAPTURED_HELLOS), inRecords(clientHello({ names: ["a.example"], ech: true }), 50, 9)];
  const script = fc.record({
    seed: fc.nat(seeds.length - 1),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
    cut: fc.option(fc.nat()),
    steps: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
  });
  checkProperty(script, ({ seed, changes, cut, steps }) => {
    const bytes = seeds[seed]!.slice(0, cut === null ? undefined : cut % seeds[seed]!.length);
    if (bytes.length === 0) return;
    // Near the front are the lengths.
    for (const [at, value] of changes) bytes[at % Math.min(bytes.length, at % 3 === 0 ? 12 : bytes.length)] = value;
    const whole = read(bytes), split = new ClientHelloReader();
    for (let end = 0, i = 0; end < bytes.length; i++) {
      split.read(bytes, 0, end = Math.min(bytes.length, end + steps[i % steps.length]!));
    }
    assertEquals([split.found, split.names, split.hasEch], [whole.found, whole.names, whole.hasEch]);
  });
});

Deno.test("ClientHelloReader looks at each byte once, however many calls show it", () => {
  const bytes = inRecords(clientHello({ size: CLIENT_HELLO_MAX }), 2000);
  let gets = 0;
  const counted = new Proxy(bytes, {
    get(target, key) {
      if (typeof key === "string") gets++;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const reader = new ClientHelloReader();
  for (let end = 1; end <= bytes.length; end++) reader.read(counted, 0, end);
  assertEquals(reader.found, "whole");
  assert(gets < 3 * bytes.length, `${gets} looks at ${bytes.length} bytes`);
});

Deno.test("findSslv2Hello tells a hello of SSLv2 from other protocols as soon as it can", () => {
  const hello = sslv2Hello();
  for (let end = 0; end < 11; end++) assertEquals(findSslv2Hello(hello, 0, end), "more");
  for (let end = 11; end <= hello.length; end++) assertEquals(findSslv2Hello(hello, 0, end), "whole");
  const sunRpc = [0x80, 0, 1, 0x2c, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0];
  for (const bytes of [[0x16], [0x80, 1, 2], [0x80, 1, 1, 4], sunRpc, [0xff, 0xfd, 3]]) {
    assertEquals(findSslv2Hello(Uint8Array.from(bytes), 0, bytes.length), "other", `${bytes}`);
  }
  const wrong = hello.slice();
  wrong[1]!++;
  assertEquals(findSslv2Hello(wrong, 0, wrong.length), "other");
  for (let seed = 1; seed < 500; seed++) findSslv2Hello(noise(20, seed), 0, seed % 20);
});

Deno.test("findTlsAlert tells a record with an alert from other protocols as soon as it can", () => {
  const alert = Uint8Array.of(0x15, 3, 1, 0, 2, 1, 0x5a, 0x16);
  for (let end = 0; end < 5; end++) assertEquals(findTlsAlert(alert, 0, end), "more");
  for (let end = 5; end <= alert.length; end++) assertEquals(findTlsAlert(alert, 0, end), "whole");
  for (const bytes of [[0x16], [0x15, 4], [0x15, 3, 0, 1], [0x15, 3, 0, 0, 0], [0x15, 3, 0, 0, 5]]) {
    assertEquals(findTlsAlert(Uint8Array.from(bytes), 0, bytes.length), "other", `${bytes}`);
  }
});
