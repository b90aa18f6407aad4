import { assert, assertEquals, assertMatch } from "@std/assert";
import { answer, HandshakeReader, MOST_REQUEST, refusal } from "../../../net/link/websocket_handshake.ts";
import { webSocketRequest } from "../../support/websocket_client.ts";

const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

function textOf({ response }: { response: Uint8Array }): string {
  return new TextDecoder().decode(response);
}

/** The status line of the answer to this request. */
function statusOf(request: string, admission = {}): string {
  return textOf(answer(request, admission)).split("\r\n")[0]!;
}

Deno.test("answer proves that it has understood the request of RFC 6455 section 1.3", () => {
  const given = answer(webSocketRequest(), {});
  assert(given.accepted);
  assertEquals(
    textOf(given),
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
  );
});

Deno.test("answer names one of the offered subprotocols, and no extension", () => {
  const chosen = (...fields: string[]) =>
    /Sec-WebSocket-Protocol: (.*)\r\n/.exec(textOf(answer(webSocketRequest(fields), {})))?.[1];
  assertEquals(chosen(), undefined);
  assertEquals(chosen("Sec-WebSocket-Protocol: binary"), "binary");
  assertEquals(chosen("Sec-WebSocket-Protocol: base64, binary"), "binary");
  assertEquals(chosen("sec-websocket-protocol: net.v1,other"), "net.v1");
  assertEquals(chosen("Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: binary"), "binary");
  assertEquals(chosen("Sec-WebSocket-Protocol: a b, <>"), undefined);
  const deflating = answer(webSocketRequest(["Sec-WebSocket-Extensions: permessage-deflate"]), {});
  assert(deflating.accepted && !textOf(deflating).includes("Extensions"));
});

Deno.test("answer takes what browsers and programs send in other letters and lists", () => {
  const request = webSocketRequest().replace("Upgrade: websocket", "upgrade:WebSocket")
    .replace("Connection: Upgrade", "CONNECTION: keep-alive,\tUpgrade ");
  assert(answer(request, {}).accepted);
});

Deno.test("answer refuses whatever is no request for a WebSocket with a status and one sentence", () => {
  const good = webSocketRequest();
  const cases: [string, string][] = [
    ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "426 Upgrade Required"],
    [good.replace("GET", "POST"), "426 Upgrade Required"],
    [good.replace("websocket", "h2c"), "426 Upgrade Required"],
    [good.replace("Version: 13", "Version: 8"), "426 Upgrade Required"],
    [good.replace("HTTP/1.1", "HTTP/1.0"), "400 Bad Request"],
    [good.replace("Host: 127.0.0.1\r\n", ""), "400 Bad Request"],
    [good.replace("Connection: Upgrade\r\n", "Connection: close\r\n"), "400 Bad Request"],
    [good.replace(KEY, "Sec-WebSocket-Key: short"), "400 Bad Request"],
    [good.replace(KEY, "Other: field"), "400 Bad Request"],
    [good.replace(KEY, `${KEY}\r\n${KEY}`), "400 Bad Request"],
    [good.replace(KEY, `${KEY}\r\nno colon`), "400 Bad Request"],
    [good.replace(KEY, `${KEY}\r\n folded: line`), "400 Bad Request"],
    [good.replace(KEY, `${KEY}\r\nA: \x00`), "400 Bad Request"],
    [good.replace(KEY, `${KEY}\r\nOrigin: http://localhost\r\nOrigin: http://localhost`), "400 Bad Request"],
    ["\r\n\r\n", "400 Bad Request"],
  ];
  for (const [request, status] of cases) {
    const given = answer(request, {}), text = textOf(given);
    assertEquals([given.accepted, text.split("\r\n")[0]], [false, `HTTP/1.1 ${status}`], request);
    assertMatch(text, /\r\nConnection: close\r\n\r\n[^\n]+\n$/);
    const [, length, body] = /Content-Length: (\d+)[^]*\r\n\r\n([^]*)$/.exec(text)!;
    assertEquals(Number(length), body!.length);
  }
});

Deno.test("answer does not tell a wrong token from a wrong version before it has seen both origin and token", () => {
  const admission = { token: "s3cret", origins: [] };
  const bad = ["Sec-WebSocket-Version: 8"];
  const request = webSocketRequest().replace("Sec-WebSocket-Version: 13", bad[0]!);
  assertEquals(statusOf(request, admission), "HTTP/1.1 401 Unauthorized");
  assertMatch(textOf(answer(request, admission)), /\r\nWWW-Authenticate: Bearer\r\n/);
  const foreign = webSocketRequest(["Origin: https://evil.example"], "/?token=s3cret");
  assertEquals(statusOf(foreign, admission), "HTTP/1.1 403 Forbidden");
  assertEquals(answer(foreign, admission).why, 'the origin "https://evil.example" is not allowed');
});

Deno.test("answer lets in who knows the token, in the query or as Bearer, whatever letters it has", () => {
  const admission = { token: "s & ü" };
  assertEquals(statusOf(webSocketRequest([], "/?token=s%20%26%20%C3%BC"), admission).slice(9, 12), "101");
  assertEquals(statusOf(webSocketRequest([], "/?token=s"), admission).slice(9, 12), "401");
  assertEquals(statusOf(webSocketRequest(["Authorization: bearer x y"]), { token: "x y" }).slice(9, 12), "101");
  assertEquals(statusOf(webSocketRequest([], "http://[/"), { token: "x" }).slice(9, 12), "401");
});

Deno.test("HandshakeReader answers a request once it is whole, however it is cut", () => {
  const bytes = new TextEncoder().encode(webSocketRequest(["Cookie: a=b"]));
  for (const piece of [1, 2, 3, 7, 100, bytes.length]) {
    const reader = new HandshakeReader({});
    let given;
    for (let at = 0; at < bytes.length; at += piece) {
      assertEquals(given, undefined);
      const part = bytes.subarray(at, at + piece);
      reader.bytes.set(part, reader.end);
      given = reader.took(part.length);
    }
    assert(given?.accepted, `in pieces of ${piece}`);
  }
});

Deno.test("HandshakeReader refuses what is too long, what follows the request, and what is no HTTP at its first byte", () => {
  const given = (bytes: Uint8Array) => {
    const reader = new HandshakeReader({});
    reader.bytes.set(bytes);
    const result = reader.took(bytes.length);
    return result && textOf(result).slice(9, 12);
  };
  const bytes = new TextEncoder().encode(webSocketRequest());
  assertEquals(given(bytes), "101");
  assertEquals(given(new TextEncoder().encode(webSocketRequest() + "x")), "400");
  assertEquals(given(Uint8Array.of(0, 0, 0, 60)), "400");
  assertEquals(given(Uint8Array.of(0x16, 3, 1)), "400");
  assertEquals(given(new Uint8Array(MOST_REQUEST).fill(0x41)), "431");
  assertEquals(given(new Uint8Array(MOST_REQUEST - 1).fill(0x41)), undefined);
});

Deno.test("refusal counts its sentence in bytes", () => {
  assertMatch(textOf(refusal(403, "Refused: ü.")), /Content-Length: 13\r\n/);
});
