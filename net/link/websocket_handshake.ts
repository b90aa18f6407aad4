/**
 * The opening handshake of a WebSocket, the server's side (RFC 6455 section 4.2): who may come in, and what is
 * answered.
 *
 * A client sends one HTTP request of at most `MOST_REQUEST` bytes and then waits (section 4.1), so bytes behind the
 * request are a mistake. Every refusal is a status line and one sentence, and the connection ends with it. A request is
 * judged in this order: is it a request at all, does it want a WebSocket, does its origin let it in, does it know the
 * token, is it version 13 with a key.
 *
 * If the client offers subprotocols, one has to be answered, or clients such as Emscripten's hang up: `binary`, or else
 * the first. What is carried is the same whatever it is called.
 *
 * @module
 */
import { sha1 } from "./sha1.ts";

/** Bytes that a request may have. Browsers send the cookies of everything on the same host along. */
export const MOST_REQUEST: number = 1 << 14;

/** Who may connect. */
export interface Admission {
  /** What a client must know; nothing unless given. */
  readonly token?: string;
  /** Web origins that may connect besides those on loopback; `*` for any. */
  readonly origins?: readonly string[];
}

/** What a request is answered with: `why` is the sentence of a refusal that the log should have. */
export interface Answer {
  /** Whether it is a WebSocket from here on. */
  readonly accepted: boolean;
  /** The bytes of the response. */
  readonly response: Uint8Array<ArrayBuffer>;
  /** Why not, if the log should know. */
  readonly why?: string;
}

const STATUS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  408: "Request Timeout",
  426: "Upgrade Required",
  431: "Request Header Fields Too Large",
  503: "Service Unavailable",
};
/** Header fields that a status brings with it (RFC 9110 sections 11.6.1 and 15.5.22). */
const STATUS_FIELDS: Readonly<Record<number, readonly string[]>> = {
  401: ["WWW-Authenticate: Bearer"],
  426: ["Upgrade: websocket", "Sec-WebSocket-Version: 13"],
};
const PURPOSE = "This port takes WebSockets that carry Ethernet frames.";
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** The characters of a name in HTTP (RFC 9110 section 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What no client says twice. */
const SINGLE = ["host", "origin", "authorization", "sec-websocket-key", "sec-websocket-version"];

/** Reads a request as it comes, and answers it. */
export class HandshakeReader {
  /** Where to read to, from `end` on. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MOST_REQUEST);
  /** See `bytes`. */
  end = 0;
  readonly #admission: Admission;

  /** For whoever is let in by `admission`. */
  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** `count` more bytes were read. Answers the request once it is there, or cannot be one any more. */
  took(count: number): Answer | undefined {
    const { bytes } = this, from = Math.max(0, this.end - 3);
    this.end += count;
    // A method begins with a capital letter. TLS and QEMU's framing do not, and would wait for an answer that never
    // comes.
    if (bytes[0]! < 0x41 || bytes[0]! > 0x5a) return refusal(400, PURPOSE);
    const head = findEnd(bytes, from, this.end);
    if (head < 0) return this.end < bytes.length ? undefined : refusal(431, "The request is too long.");
    if (head < this.end) return refusal(400, "Nothing may follow the request before it is answered.");
    return answer(new TextDecoder("latin1").decode(bytes.subarray(0, head)), this.#admission);
  }
}

/** A refusal: its status and one sentence. */
export function refusal(status: number, sentence: string, why?: string): Answer {
  const body = `${sentence}\n`, length = new TextEncoder().encode(body).length;
  const fields = ["Content-Type: text/plain; charset=utf-8", `Content-Length: ${length}`, "Connection: close"];
  return {
    accepted: false,
    response: response(`${status} ${STATUS[status]}`, [...STATUS_FIELDS[status] ?? [], ...fields], body),
    ...(why !== undefined && { why }),
  };
}

/** Answers a request, given as text with the empty line at its end. */
export function answer(request: string, admission: Admission): Answer {
  const [line = "", ...rest] = request.split("\r\n");
  const [, method, target] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(line) ?? [];
  const fields = readFields(rest.slice(0, -2));
  if (method === undefined || fields === undefined || !fields.has("host")) return refusal(400, PURPOSE);
  if (method !== "GET" || !lists(fields.get("upgrade"), "websocket")) return refusal(426, PURPOSE);
  const origin = fields.get("origin"), { token, origins = [] } = admission;
  if (origin !== undefined && !isAllowed(origin, origins)) {
    return denial(403, `the origin ${clipped(origin)} is not allowed`);
  }
  if (token !== undefined && !isSame(tokenOf(fields, target!), token)) {
    return denial(401, "the token is missing or wrong");
  }
  const key = fields.get("sec-websocket-key") ?? "";
  if (fields.get("sec-websocket-version") !== "13") {
    return refusal(426, "Only version 13 of the protocol is spoken here.");
  }
  if (!lists(fields.get("connection"), "upgrade") || !/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    return refusal(400, "The request for a WebSocket is incomplete.");
  }
  const protocol = chooseProtocol(fields.get("sec-websocket-protocol"));
  const lines = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${acceptKey(key)}`];
  if (protocol !== undefined) lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  return { accepted: true, response: response("101 Switching Protocols", lines) };
}

function denial(status: number, why: string): Answer {
  return refusal(status, `Refused: ${why}.`, why);
}

function response(status: string, lines: readonly string[], body = ""): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode([`HTTP/1.1 ${status}`, ...lines, "", body].join("\r\n"));
}

/** Where the request ends, behind its empty line; -1 if that has not come. */
function findEnd(bytes: Uint8Array, from: number, end: number): number {
  for (let at = bytes.indexOf(10, from + 3); at >= 0 && at < end; at = bytes.indexOf(10, at + 1)) {
    if (bytes[at - 1] === 13 && bytes[at - 2] === 10 && bytes[at - 3] === 13) return at + 1;
  }
  return -1;
}

/**
 * Header fields by their names in small letters, several of a name joined (RFC 9110 section 5.3); `undefined` if one is
 * broken.
 */
function readFields(lines: readonly string[]): Map<string, string> | undefined {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":"), name = line.slice(0, Math.max(0, colon)).toLowerCase();
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, ""), before = fields.get(name);
    // deno-lint-ignore no-control-regex
    if (!TOKEN.test(name) || /[\x00-\x08\x0a-\x1f\x7f]/.test(value)) return undefined;
    if (before !== undefined && SINGLE.includes(name)) return undefined;
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

/** Whether a comma list has this word, in whatever letters. */
function lists(value: string | undefined, word: string): boolean {
  return (value ?? "").split(",").some((part) => part.trim().toLowerCase() === word);
}

function chooseProtocol(offered: string | undefined): string | undefined {
  const names = (offered ?? "").split(",").map((name) => name.trim()).filter((name) => TOKEN.test(name));
  return names.includes("binary") ? "binary" : names[0];
}

/** Whether a page of this origin may connect: one on loopback, or one that was named. */
function isAllowed(origin: string, origins: readonly string[]): boolean {
  if (origins.includes("*") || origins.includes(origin)) return true;
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname);
}

function tokenOf(fields: ReadonlyMap<string, string>, target: string): string {
  const bearer = /^Bearer (.+)$/i.exec(fields.get("authorization") ?? "")?.[1];
  if (bearer !== undefined) return bearer;
  return URL.canParse(target, "http://host") ? new URL(target, "http://host").searchParams.get("token") ?? "" : "";
}

/** Compares in a time that does not tell how much of a guess is right. */
function isSame(guess: string, token: string): boolean {
  const encoder = new TextEncoder(), a = encoder.encode(guess), b = encoder.encode(token);
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= b[i]! ^ (a[i] ?? 0);
  return difference === 0;
}

/** The proof that the request was understood (RFC 6455 section 4.2.2, step 5.4). */
function acceptKey(key: string): string {
  return btoa(String.fromCharCode(...sha1(new TextEncoder().encode(key + KEY_SUFFIX))));
}

/** Text of a stranger's, as much of it as belongs in a log line. */
function clipped(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
