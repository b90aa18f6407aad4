import { assertEquals, assertThrows } from "@std/assert";
import { formatStreamEndpoint, parseStreamEndpoint } from "../../forward/stream_endpoint.ts";

Deno.test("parseStreamEndpoint reads names, addresses of both families and paths, and formatStreamEndpoint writes them", () => {
  const good: [string, string][] = [
    ["127.0.0.1:8080", "tcp 127.0.0.1 8080"],
    ["localhost:0", "tcp localhost 0"],
    ["app-1.example.com:65535", "tcp app-1.example.com 65535"],
    ["[::1]:80", "tcp ::1 80"],
    ["[2001:db8::7]:443", "tcp 2001:db8::7 443"],
    ["unix:/run/app.sock", "unix /run/app.sock"],
    ["unix:app.sock", "unix app.sock"],
    ["unix:a:b", "unix a:b"],
  ];
  for (const [text, expected] of good) {
    const endpoint = parseStreamEndpoint(text, 0);
    const read = endpoint.transport === "tcp" ? `tcp ${endpoint.hostname} ${endpoint.port}` : `unix ${endpoint.path}`;
    assertEquals([read, formatStreamEndpoint(endpoint)], [expected, text]);
  }
  assertEquals(formatStreamEndpoint(parseStreamEndpoint("[0:0::1]:80", 1)), "[::1]:80");
});

Deno.test("parseStreamEndpoint refuses what is no endpoint, and says what would be right", () => {
  const bad = [
    "",
    "8080",
    ":8080",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:http",
    "::1:80",
    "[::1]",
    "[127.0.0.1]:80",
    "10.1:80",
  ];
  const more = [
    "256.0.0.1:80",
    "a b:80",
    "http://a:80",
    "[::1:80",
    "[fe80::g]:80",
    "unix:",
    "unix:a\0b",
    "a:80:90",
    "a:123456",
  ];
  for (const text of [...bad, ...more]) {
    assertThrows(() => parseStreamEndpoint(text, 0), TypeError, "it is HOST:PORT, [V6]:PORT or unix:PATH", text);
  }
  assertThrows(() => parseStreamEndpoint("a:0", 1), RangeError, "its port is from 1 to 65535");
  assertThrows(() => parseStreamEndpoint("a:65536", 0), RangeError, "its port is from 0 to 65535");
});
