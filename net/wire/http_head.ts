/**
 * The head of an HTTP/1 request (RFC 9112), as far as it says whom the client wants: its Host and its target.
 *
 * `HttpHeadReader` is shown a stream from its beginning, again and again as it grows, and looks at each byte once to
 * find the lines and once more to read them. Nothing it is shown makes it throw.
 *
 * **What may be HTTP**: after empty lines a token, a space or what some servers take for one, and a line that ends in
 * `HTTP/x.y`, or a method in capitals and a path or URL of HTTP, since servers take such a line for a request without a
 * version (HTTP/0.9), or with another. As soon as it cannot become that it is `other`. A control character cannot be in
 * such a line, so it ends the waiting of binary protocols that begin with printable ones; behind a method of letters it
 * does not, because some servers take it.
 *
 * **What is malformed** is what servers read in different ways: fields that are folded, without a colon, with a space
 * before the colon or with a control character (RFC 9112 section 5, RFC 9110 section 5.5), a lone CR, lines that end in
 * CRLF and in LF by turns (RFC 9112 section 2.2: either may end a line), any other version than 1.x, a target of no
 * form (RFC 9112 section 3.2).
 *
 * **Whom it wants** (RFC 9112 section 3.2.2): the target of CONNECT and an absolute target have an authority, which
 * counts, and a Host beside it says the same. Otherwise it is the Host. All of them are given; none, or two, is what no
 * client sends.
 *
 * @module
 */
import { readHostName } from "./host_name.ts";
import type { FirstMessage } from "./tls_client_hello.ts";

/** Most bytes of a head, the empty lines before and behind it included. */
export const HTTP_HEAD_MAX = 16_384;

const LF = 0x0a;
const CR = 0x0d;
const TAB = 0x09;
const SPACE = 0x20;
const DELETE = 0x7f;

const REQUEST_LINE = /^([^ ]+) ([^ ]+) HTTP\/1\.\d$/;
/** A request of HTTP/0.9, or one with a version that some servers do not look at. */
const BEGINS_AS_HTTP = /^[A-Z_-]+\s+(?:\/|[Hh][Tt][Tt][Pp][Ss]?:\/\/)/;
/** Some servers take a lone CR for the end of a line. */
const ENDS_AS_HTTP = /HTTP\/\d+\.\d+[ \t]*(?:\r|$)/i;
/** Tab may be in a field. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
/** What a method looks like; the shortest have three letters. */
const WORD = /^[A-Za-z_-]{3,}$/;
const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)/;
const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{0,5}))?$/;

/** Ports of schemes that need not say one. */
const SCHEME_PORTS: Readonly<Record<string, number>> = { http: 80, ws: 80, https: 443, wss: 443, ftp: 21 };

/** A host and perhaps a port, as an authority says them. */
export interface HttpAuthority {
  /** The name of the host; or its address, of IPv6 without brackets. */
  readonly name: string;
  /** Whether that is a name. */
  readonly isName: boolean;
  /** The port; null: it says none. */
  readonly port: number | null;
}

/** Where a request is to go in the end. */
export interface HttpTarget extends HttpAuthority {
  /** The port, which may be that of the scheme. */
  readonly port: number;
}

/** Reads the head of the request at the beginning of a stream. */
export class HttpHeadReader {
  /** What was found. */
  found: FirstMessage = "more";
  /** Whether it is HTTP for sure: its first line was found. */
  isHttp = false;
  /** What each Host says: one of an honest client; null: it is no authority. */
  readonly hosts: (HttpAuthority | null)[] = [];
  /** The authority of the target, with its port, if it is that of CONNECT or an absolute one. */
  target: HttpTarget | null = null;
  /** Bytes of the head, once it is whole. */
  length = 0;

  /** What has been looked at. */
  #at = 0;
  /** Where the line begins that is looked at. */
  #line = 0;
  /** Where the method of the first line ends, as far as it has been seen; -1: it has not begun. */
  #method = -1;
  /** Whether lines end in LF alone; null: that is not known. */
  #isBare: boolean | null = null;
  #hasControl = false;
  #hasLoneCr = false;

  /** Reads on: `bytes[start, end)` is the stream from its beginning. */
  read(bytes: Uint8Array, start: number, end: number): FirstMessage {
    const size = Math.min(end - start, HTTP_HEAD_MAX);
    while (this.found === "more" && this.#at < size) {
      const byte = bytes[start + this.#at]!;
      if (byte === LF) this.#lineEnds(bytes, start);
      else if (!this.isHttp) this.#look(bytes, start, byte);
      this.#at++;
    }
    if (this.found === "more" && size === HTTP_HEAD_MAX) this.found = "tooLarge";
    return this.found;
  }

  /** A byte of what may become the first line. */
  #look(bytes: Uint8Array, start: number, byte: number): void {
    if (this.#method < 0) {
      if (isTokenByte(byte)) {
        // What stands before it in its line are lone CRs, which some servers step over.
        this.#hasLoneCr = this.#at > this.#line;
        this.#line = this.#at;
        this.#method = 0;
      } else if (byte !== CR) {
        this.found = "other";
      }
    } else if (this.#method === 0) {
      if (isBlank(byte)) this.#method = this.#at;
      else if (!isTokenByte(byte)) this.found = "other";
    } else if (isControl(byte) && !isBlank(byte) && !this.#hasControl) {
      this.#hasControl = true;
      if (!WORD.test(text(bytes, start + this.#line, start + this.#method))) this.found = "other";
    }
  }

  #lineEnds(bytes: Uint8Array, start: number): void {
    const isBare = this.#at === this.#line || bytes[start + this.#at - 1] !== CR;
    const line = text(bytes, start + this.#line, start + this.#at - (isBare ? 0 : 1));
    this.#line = this.#at + 1;
    if (!this.isHttp) return this.#firstLine(line, isBare);
    if (isBare !== this.#isBare) this.found = "malformed";
    else if (line === "") this.#headEnds();
    else this.#field(line);
  }

  #firstLine(line: string, isBare: boolean): void {
    if (this.#method < 0) return;
    if (this.#method === 0 || !(BEGINS_AS_HTTP.test(line) || ENDS_AS_HTTP.test(line))) {
      this.found = "other";
      return;
    }
    this.isHttp = true;
    this.#isBare = isBare;
    const parts = this.#hasLoneCr || CONTROL.test(line) ? null : REQUEST_LINE.exec(line);
    if (parts === null || !this.#readTarget(parts[1]!, parts[2]!)) this.found = "malformed";
  }

  /** Whether a target has a form that is right for the method. */
  #readTarget(method: string, target: string): boolean {
    if (method === "CONNECT") return this.#targets(target, undefined);
    if (target.startsWith("/") || (method === "OPTIONS" && target === "*")) return true;
    const absolute = ABSOLUTE.exec(target);
    return absolute !== null && this.#targets(absolute[2]!, SCHEME_PORTS[absolute[1]!.toLowerCase()]);
  }

  #targets(authority: string, schemePort: number | undefined): boolean {
    const read = readAuthority(authority), port = read?.port ?? schemePort;
    if (read === null || port === undefined) return false;
    this.target = { ...read, port };
    return true;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    if (!isToken(line.slice(0, Math.max(colon, 0))) || CONTROL.test(line)) this.found = "malformed";
    else if (line.slice(0, colon).toLowerCase() === "host") this.hosts.push(readAuthority(trimmed(line, colon + 1)));
  }

  #headEnds(): void {
    this.length = this.#at + 1;
    this.found = "whole";
  }
}

/** The host and port that `authority` says, without those who want something of it; null if it is none. */
export function readAuthority(authority: string): HttpAuthority | null {
  const parts = AUTHORITY.exec(authority);
  if (parts === null) return null;
  const host = parts[1]!, port = parts[2] === undefined || parts[2] === "" ? null : Number(parts[2]);
  if (port !== null && port > 0xffff) return null;
  if (host.startsWith("[")) return { name: host.slice(1, -1), isName: false, port };
  const name = readHostName(latin1(host), 0, host.length);
  if (name !== null) return { name, isName: true, port };
  return /^[\d.]+$/.test(host) ? { name: host, isName: false, port } : null;
}

function text(bytes: Uint8Array, start: number, end: number): string {
  let line = "";
  for (let at = start; at < end; at++) line += String.fromCharCode(bytes[at]!);
  return line;
}

/** The rest of `line`, without the spaces and tabs around it: other white space is no white space in HTTP. */
function trimmed(line: string, from: number): string {
  let to = line.length;
  while (from < to && isSpace(line[from]!)) from++;
  while (to > from && isSpace(line[to - 1]!)) to--;
  return line.slice(from, to);
}

function isSpace(char: string): boolean {
  return char === " " || char === "\t";
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** What may stand between the parts of a first line, for one server or another (RFC 9112 section 3). */
function isBlank(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= CR && byte !== LF);
}

function isControl(byte: number): boolean {
  return (byte < SPACE && byte !== TAB) || byte === DELETE;
}

function isToken(word: string): boolean {
  for (let at = 0; at < word.length; at++) if (!isTokenByte(word.charCodeAt(at))) return false;
  return word !== "";
}

/** RFC 9110 section 5.6.2. */
function isTokenByte(byte: number): boolean {
  return TOKEN[byte] === 1;
}

const TOKEN: Uint8Array = tokens();

function tokens(): Uint8Array {
  const table = new Uint8Array(256);
  for (const char of "!#$%&'*+-.^_`|~") table[char.charCodeAt(0)] = 1;
  for (let byte = 0; byte < 256; byte++) if (/[0-9A-Za-z]/.test(String.fromCharCode(byte))) table[byte] = 1;
  return table;
}
