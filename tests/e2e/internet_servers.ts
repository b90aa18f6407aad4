/**
 * The servers of `internet.ts`: a program in the namespace where every address is local. Each keeps one log, in the
 * order in which connections, datagrams and questions came, against which a test counts what Hawser let pass.
 *
 * The first word is a folder with `cert.pem` and `key.pem`; what stands in `www/HOST/` is served for that Host.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { DnsServer } from "../support/dns_server.ts";
import { answerFromZone, questionText, type Zone } from "../support/dns_zone.ts";
import { answerCalls } from "./program.ts";

/** What reached a server. */
export type Visit = {
  /** Which server: of HTTP, of TLS, of datagrams and so on. */
  readonly kind: "http" | "tls" | "echo" | "smtp" | "udp" | "dns";
  /** The address and the port that were asked. */
  readonly address: string;
  readonly port: number;
  /** The port it came from. */
  readonly from: number;
  /** What it asked: of HTTP request line and Host, of DNS the question, else the first bytes as text. */
  readonly text: string;
};

/** Ports of TCP, and what answers there at every address. */
const SERVICES: Readonly<Record<number, Visit["kind"]>> = {
  25: "smtp",
  80: "http",
  443: "tls",
  853: "tls",
  3128: "http",
  5432: "echo",
  7000: "echo",
  8443: "tls",
};
const HEAD_MAX = 65_536;

const [folder, ...datagramAddresses] = Deno.args;
const visits: Visit[] = [];
let zone: Zone = {};

/** Notes a visit, whose text may come later. */
function note(visit: Visit): Visit {
  visits.push(visit);
  return visit;
}

function readFile(path: string): string {
  return Deno.readTextFileSync(`${folder}/${path}`);
}

/** Reads to the empty line that ends a request; what came without one if the client has finished. */
async function readHead(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(HEAD_MAX);
  let text = "";
  for (;;) {
    const count = await conn.read(buffer);
    if (count === null) return text;
    text += new TextDecoder().decode(buffer.subarray(0, count));
    if (text.includes("\r\n\r\n") || text.length > HEAD_MAX) return text;
  }
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** A file of the host's folder; for hosts without a folder a line that says who answers. */
function body(host: string, path: string): Uint8Array | null {
  const root = `${folder}/www/${host}`;
  try {
    Deno.statSync(root);
  } catch {
    return new TextEncoder().encode(`hello from ${host}\n`);
  }
  for (const file of [path.split("?")[0]!, `${path}/index.json`, `${path}/index.html`]) {
    try {
      return Deno.readFileSync(`${root}${decodeURIComponent(file)}`);
    } catch {
      // Perhaps the next.
    }
  }
  return null;
}

/** What clients want to be told of a file: installers of packages look. */
function contentType(path: string, content: Uint8Array): string {
  if (/\.(tgz|whl)$|download$/.test(path)) return "application/octet-stream";
  return content[0] === 0x3c ? "text/html" : "application/json";
}

/** Answers requests over a connection until its client finishes or one says that it is the last. */
async function serveHttp(conn: Deno.Conn, visit: { text: string }): Promise<void> {
  for (let isFirst = true;; isFirst = false) {
    const head = await readHead(conn);
    if (head === "") return;
    const [line = "", ...fields] = head.trimStart().split("\r\n");
    const host = fields.find((field) => /^host:/i.test(field))?.slice(5).trim() ?? "";
    visit.text += `${isFirst ? "" : ", "}${line} | ${host}`;
    const path = (line.split(" ")[1] ?? "/").replace(/^https?:\/\/[^/]*/, "");
    const bytes = body(host.toLowerCase().replace(/:\d+$/, "").replace(/\.$/, ""), path);
    const content = bytes ?? new TextEncoder().encode("no such file\n");
    const status = bytes === null ? "404 Not Found" : "200 OK";
    const type = contentType(path, content);
    const headed = `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${content.length}\r\n\r\n`;
    const answer = new TextEncoder().encode(headed), isWhole = !line.startsWith("HEAD ");
    // In one piece, so that a client that reads once has all of it.
    await writeAll(conn, Uint8Array.from([...answer, ...(isWhole ? content : [])]));
    if (/^connection: *close/im.test(head)) return;
  }
}

/** The server speaks first, and takes whatever comes after STARTTLS as if it were understood. */
async function serveSmtp(conn: Deno.Conn, visit: { text: string }): Promise<void> {
  const buffer = new Uint8Array(HEAD_MAX), say = (text: string) => writeAll(conn, new TextEncoder().encode(text));
  await say("220 mail.example ESMTP\r\n");
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    const text = new TextDecoder("latin1").decode(buffer.subarray(0, count));
    visit.text += text;
    if (/^EHLO/i.test(text)) await say("250-mail.example\r\n250 STARTTLS\r\n");
    else if (/^STARTTLS/i.test(text)) await say("220 go ahead\r\n");
    else return;
  }
}

/** Sends back what comes, until the client finishes. */
async function serveEcho(conn: Deno.Conn, visit: { text: string }): Promise<void> {
  const buffer = new Uint8Array(HEAD_MAX);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    if (visit.text.length < 100) {
      visit.text += new TextDecoder("latin1").decode(buffer.subarray(0, Math.min(count, 100)));
    }
    await writeAll(conn, buffer.subarray(0, count));
  }
}

async function serve(conn: Deno.Conn, kind: Visit["kind"]): Promise<void> {
  const local = conn.localAddr as Deno.NetAddr, remote = conn.remoteAddr as Deno.NetAddr;
  const visit = { kind, address: local.hostname, port: local.port, from: remote.port, text: "" };
  note(visit);
  try {
    if (kind === "smtp") await serveSmtp(conn, visit);
    else if (kind === "echo") await serveEcho(conn, visit);
    else await serveHttp(conn, visit);
  } catch {
    // The client reset the connection, or did not speak TLS.
  }
  try {
    conn.close();
  } catch {
    // A failed handshake has closed it.
  }
}

async function accept(listener: Deno.Listener | Deno.TlsListener, kind: Visit["kind"]): Promise<void> {
  for (;;) {
    try {
      serve(await listener.accept(), kind);
    } catch {
      // A client that was gone before it was accepted.
    }
  }
}

for (const [port, kind] of Object.entries(SERVICES)) {
  for (const hostname of ["0.0.0.0", "::"]) {
    const at = { hostname, port: Number(port) };
    accept(
      kind === "tls"
        ? Deno.listenTls({ ...at, cert: readFile("cert.pem"), key: readFile("key.pem") })
        : Deno.listen(at),
      kind,
    );
  }
}
// A datagram is answered from the address that it asked only by a socket bound to that address.
for (const hostname of datagramAddresses) {
  await DnsServer.start(({ transport, bytes, port }) => {
    const text = `${questionText(bytes)} (${transport})`;
    note({ kind: "dns", address: hostname, port: 53, from: port, text });
    return answerFromZone(zone, bytes, transport);
  }, { hostname, port: 53 });
  for (const port of [123, 443]) {
    const socket = createSocket(hostname.includes(":") ? "udp6" : "udp4");
    socket.on("message", (message, from) => {
      note({ kind: "udp", address: hostname, port, from: from.port, text: message.toString("latin1").slice(0, 100) });
      socket.send(message, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(port, hostname, () => resolve()));
  }
}

await answerCalls({
  ready: () => true,
  zone: (names: Zone) => {
    zone = names;
    return true;
  },
  visits: () => visits as unknown as string,
  forget: () => {
    visits.length = 0;
    return true;
  },
});
