import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { HTTP_HEAD_MAX, HttpHeadReader, readAuthority } from "../../../net/wire/http_head.ts";
import type { FirstMessage } from "../../../net/wire/tls_client_hello.ts";
import { bytesOf } from "../../support/nat_script.ts";
import { checkProperty } from "../../support/properties.ts";

/** What is found in a stream that comes in pieces of `step` bytes, each time shown from its beginning. */
function read(stream: string | Uint8Array, step = 1 << 20): HttpHeadReader {
  const reader = new HttpHeadReader(), said = typeof stream === "string" ? bytesOf(stream) : stream;
  const bytes = new Uint8Array(said.length + 4).fill(0x0a);
  bytes.set(said, 3);
  for (let end = step; end < said.length; end += step) reader.read(bytes, 3, 3 + end);
  reader.read(bytes, 3, 3 + said.length);
  return reader;
}

/** The same, whatever the pieces. */
function found(stream: string): FirstMessage {
  const { found } = read(stream);
  for (const step of [1, 3, 50]) assertEquals(read(stream, step).found, found, JSON.stringify(stream));
  return found;
}

/** A request with these lines of fields. */
function get(...fields: string[]): string {
  return ["GET /path HTTP/1.1", ...fields, "", ""].join("\r\n");
}

const NAMED = { name: "registry.example", isName: true, port: null };

Deno.test("HttpHeadReader finds the Host of a request, and where its head ends", () => {
  const head = get("User-Agent: curl/7.88", "Host: registry.example", "Accept: */*");
  for (const step of [1, 2, 5, 1000]) {
    const reader = read(`${head}a body`, step);
    assertEquals([reader.found, reader.hosts, reader.target, reader.length], ["whole", [NAMED], null, head.length]);
  }
  for (let end = 0; end < head.length; end++) assertEquals(read(head.slice(0, end)).found, "more");
});

Deno.test("HttpHeadReader takes every form of a Host that servers take", () => {
  const cases: [string, unknown][] = [
    ["Host: registry.example:8080", { ...NAMED, port: 8080 }],
    ["Host: registry.example:", NAMED],
    ["Host:registry.example", NAMED],
    ["HOST: \t Registry.EXAMPLE. \t", NAMED],
    ["host: 192.0.2.7:80", { name: "192.0.2.7", isName: false, port: 80 }],
    ["Host: [2001:db8::1]:80", { name: "2001:db8::1", isName: false, port: 80 }],
    ["Host: [::ffff:192.0.2.7]", { name: "::ffff:192.0.2.7", isName: false, port: null }],
    ["Host:", null],
    ["Host: :80", null],
    ["Host: registry.example:65536", null],
    ["Host: registry.example:80:80", null],
    ["Host: registry.example:x", null],
    ["Host: user@registry.example", null],
    ["Host: registry.example, other.example", null],
    ["Host: registry.example/path", null],
    ["Host: http://registry.example", null],
    ["Host: registry.example\xa0", null],
    ["Host: [registry.example]", null],
    ["Host: 0x7f.1", null],
    ["Host: b\xfccher.example", null],
  ];
  for (const [field, host] of cases) {
    const bytes = Uint8Array.from(get(field), (char) => char.charCodeAt(0)), { found, hosts } = read(bytes);
    assertEquals([found, hosts], ["whole", [host as never]], field);
  }
});

Deno.test("HttpHeadReader gives every Host that there is, and no field that only looks like one", () => {
  assertEquals(read(get("Host: a.example", "Host: b.example")).hosts.map((host) => host?.name), [
    "a.example",
    "b.example",
  ]);
  assertEquals(read(get("X-Host: a.example", "Hosts: a.example", "Accept: host: a.example")).hosts, []);
  assertEquals(read(`${get("Host: a.example")}Host: b.example\r\n\r\n`).hosts.length, 1);
});

Deno.test("HttpHeadReader steps over empty lines before the request, and takes lines that end in LF alone", () => {
  const named = "GET / HTTP/1.0\nHost: registry.example\n\n";
  for (const before of ["", "\r\n", "\n", "\r\n\r\n\n", "\r\r\n"]) {
    const { found: is, hosts } = read(before + named);
    assertEquals([is, hosts, found(before + named), found(before + get("Host: a"))], [
      "whole",
      [NAMED],
      "whole",
      "whole",
    ]);
  }
  for (
    const mixed of [
      "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
      "GET / HTTP/1.1\nHost: a\r\n\n",
      `${get("A: b\nHost: c")}`,
    ]
  ) {
    assertEquals(found(mixed), "malformed", JSON.stringify(mixed));
  }
});

Deno.test("HttpHeadReader finds the target of CONNECT and of an absolute one, with its port", () => {
  const cases: [string, unknown][] = [
    ["CONNECT Registry.Example:443 HTTP/1.1", { ...NAMED, port: 443 }],
    ["CONNECT 192.0.2.7:22 HTTP/1.0", { name: "192.0.2.7", isName: false, port: 22 }],
    ["CONNECT [2001:db8::1]:22 HTTP/1.1", { name: "2001:db8::1", isName: false, port: 22 }],
    ["GET http://registry.example/path?http://other.example/ HTTP/1.1", { ...NAMED, port: 80 }],
    ["GET HTTP://registry.example.:8080 HTTP/1.1", { ...NAMED, port: 8080 }],
    ["GET https://registry.example?x HTTP/1.1", { ...NAMED, port: 443 }],
    ["PUT ftp://registry.example/file HTTP/1.1", { ...NAMED, port: 21 }],
    ["OPTIONS * HTTP/1.1", null],
    ["GET //other.example/ HTTP/1.1", null],
    ["GET /http://other.example/ HTTP/1.1", null],
  ];
  for (const [line, target] of cases) {
    const { found, target: is } = read(`${line}\r\n\r\n`);
    assertEquals([found, is as unknown], ["whole", target], line);
  }
});

Deno.test("HttpHeadReader finds malformed what servers would read in different ways", () => {
  const lines = [
    "GET  / HTTP/1.1",
    "GET / x HTTP/1.1",
    "GET / HTTP/1.1 ",
    "GET\t/ HTTP/1.1",
    "GET\x0b/\x0cHTTP/1.1",
    "GET\r/ HTTP/1.1",
    "\rGET / HTTP/1.1",
    "\r\r\n\rGET / HTTP/1.1",
    "GET / HTTP/1.1\rHost: other.example",
    "GET / HTTP/1.10",
    "GET / http/1.1",
    "GET / HTTP/2.0",
    "PRI * HTTP/2.0",
    "GET /HTTP/1.1",
    "GET / \0HTTP/1.1",
    "GET /\0 HTTP/1.1",
    "GET /\r HTTP/1.1",
    "GET path HTTP/1.1",
    "GET * HTTP/1.1",
    "GET http:/registry.example HTTP/1.1",
    "GET http:///path HTTP/1.1",
    "GET http://user@registry.example/ HTTP/1.1",
    "GET http://a.example\\@b.example/ HTTP/1.1",
    "GET gopher://registry.example/ HTTP/1.1",
    "CONNECT registry.example HTTP/1.1",
    "CONNECT http://registry.example/ HTTP/1.1",
    "CONNECT /path HTTP/1.1",
    "connect registry.example:443 HTTP/1.1",
  ];
  for (const line of lines) assertEquals(found(`${line}\r\nHost: registry.example\r\n\r\n`), "malformed", line);
  const fields = [
    " folded: x",
    "Host: registry.example\r\n other.example",
    "Host: registry.example\r\n\tother.example",
    "Host : registry.example",
    " Host: registry.example",
    ": registry.example",
    "Host",
    "Host registry.example",
    "Ho\0st: registry.example",
    "Host: registry.example\0",
    "Host: registry.example\rHost: other.example",
    "X: a\x0bb",
    "Hos\xe9: registry.example",
  ];
  for (const field of fields) assertEquals(found(get(field)), "malformed", JSON.stringify(field));
});

Deno.test("HttpHeadReader finds out that other protocols are others with the first byte that shows it", () => {
  const cases: Record<string, [string, number]> = {
    "SSH": ["SSH-2.0-OpenSSH_9.2\r\n", 21],
    "SSH with a comment": ["SSH-2.0-OpenSSH_9.6p1 Ubuntu-3\r\n", 32],
    "SMTP": ["EHLO registry.example\r\n", 23],
    "SMTP, STARTTLS": ["STARTTLS\r\n", 10],
    "IMAP": ["a1 LOGIN user password\r\n", 24],
    "Redis": ["*1\r\n$4\r\nPING\r\n", 4],
    "Redis, inline": ["PING\r\n", 6],
    "git": ["0032git-upload-pack /project.git\0host=registry.example\0", 33],
    "LDAP, 32 bytes": ["0\x20\x02\x01\x01", 3],
    "PostgreSQL": ["\0\0\0\x08\x04\xd2\x16\x2f", 1],
    "MQTT": ["\x10\x0c\0\x04MQTT", 1],
    "AMQP": ["AMQP\0\0\x09\x01", 5],
    "NATS": ["CONNECT {}\r\n", 12],
    "RTSP": ["OPTIONS rtsp://registry.example RTSP/1.0\r\n", 42],
    "SIP": ["OPTIONS sip:a@registry.example SIP/2.0\r\n", 40],
    "FTP": ["USER anonymous\r\n", 16],
    "memcached": ["get /key\r\n", 10],
    "an answer of HTTP": ["HTTP/1.1 200 OK\r\n", 5],
    "a space": [" GET / HTTP/1.1\r\n", 1],
    "MongoDB": ["A\x0b\0\0\0\0\0\0", 3],
    "LDAP, an anonymous bind": ["0\x0c\x02\x01\x01", 3],
    "a token alone": ["GET\n", 4],
  };
  for (const [protocol, [said, length]] of Object.entries(cases)) {
    assertEquals(
      [read(said.slice(0, length - 1), 1).found, read(said.slice(0, length)).found],
      ["more", "other"],
      protocol,
    );
    assertEquals(found(`${said}more`), "other", protocol);
  }
});

Deno.test("HttpHeadReader finds malformed what servers take for a request without a version, or with another", () => {
  const host = "Host: registry.example\r\n\r\n";
  const cases = [
    // nginx goes by the host of an absolute target, node by a Host behind the line.
    "GET http://registry.example/\r\n",
    "GET HTTP://registry.example/\n",
    `GET /\r\n${host}`,
    `GET  / \r\n${host}`,
    // Node's parser takes these too.
    `GET / RTSP/1.0\r\n${host}`,
    `SOURCE / ICE/1.0\r\n${host}`,
    `GET / HTTP/1.1x\r\n${host}`,
  ];
  for (const text of cases) assertEquals(found(text), "malformed", JSON.stringify(text));
});

Deno.test("HttpHeadReader knows that it is HTTP from the first line on", () => {
  assertEquals(read("GET / HTTP/1.1\r").isHttp, false);
  assertEquals(read("GET / HTTP/1.1\r\n").isHttp, true);
});

Deno.test("HttpHeadReader takes a head of 16,384 bytes, and none that is larger", () => {
  const frame = get("Host: registry.example", "X: ").length,
    head = (size: number) => get("Host: registry.example", `X: ${"x".repeat(size - frame)}`);
  assertEquals([head(HTTP_HEAD_MAX).length, found(head(HTTP_HEAD_MAX))], [16_384, "whole"]);
  assertEquals(found(`${head(HTTP_HEAD_MAX)}${"body".repeat(9999)}`), "whole");
  assertEquals([found(head(HTTP_HEAD_MAX + 1)), found("x".repeat(HTTP_HEAD_MAX))], ["tooLarge", "tooLarge"]);
  assertEquals([found("\n".repeat(HTTP_HEAD_MAX)), found("GET /".padEnd(HTTP_HEAD_MAX, " "))], [
    "tooLarge",
    "tooLarge",
  ]);
  assertEquals(found("x".repeat(HTTP_HEAD_MAX - 1)), "more");
});

Deno.test("HttpHeadReader takes time in proportion to the head, whatever is in it and however it comes", () => {
  const fills = [" ", "HTTP/1.1 ", "HTTP/", "1.1.", "\t ", "a ", ":", "[", "http://"];
  const began = performance.now();
  for (const fill of fills) {
    const filled = fill.repeat(16_384).slice(0, 16_000);
    for (const head of [`GET ${filled}`, `GET ${filled}\r\n`, `GET / HTTP/1.1\r\nHost: ${filled}\r\n\r\n`]) {
      const bytes = bytesOf(head), reader = new HttpHeadReader();
      for (let end = 1; end <= bytes.length; end++) reader.read(bytes, 0, end);
    }
  }
  // Some hundred times of what it takes; in proportion to the square it would be minutes.
  assert(performance.now() - began < 10_000);
});

Deno.test("HttpHeadReader throws nothing and says the same of any bytes, however they are split", () => {
  const pieces = [
    "GET ",
    "CONNECT ",
    "/",
    "http://a.example",
    "a.example:443",
    " HTTP/1.1",
    "\r\n",
    "\n",
    "Host: ",
    "Host",
    ":",
  ];
  const script = fc.record({
    parts: fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 })), { maxLength: 14 }),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    steps: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
  });
  checkProperty(script, ({ parts, changes, steps }) => {
    const bytes = bytesOf(parts.join(""));
    if (bytes.length === 0) return;
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    const whole = read(bytes), split = new HttpHeadReader();
    for (let end = 0, i = 0; end < bytes.length; i++) {
      split.read(bytes, 0, end = Math.min(bytes.length, end + steps[i % steps.length]!));
    }
    assertEquals([split.found, split.isHttp, split.hosts, split.target], [
      whole.found,
      whole.isHttp,
      whole.hosts,
      whole.target,
    ]);
  });
});

Deno.test("readAuthority takes host and port apart, and nothing else", () => {
  assertEquals(readAuthority("a.example:1"), { name: "a.example", isName: true, port: 1 });
  for (const wrong of ["", ":", "a b", "[::1", "::1", "[::1]x", "a:-1", "a:000080"]) {
    assertEquals(readAuthority(wrong), null, wrong);
  }
});
