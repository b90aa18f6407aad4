/**
 * The demo's conversation, from both ends: what the guest asks and what the host's server answers.
 *
 * The first byte says what is wanted. `H`: a request that ends with FIN; the answer begins one second later. `U`:
 * everything up to the guest's FIN is checked and its count answered. `D`: the guest says how much, the server sends it
 * and closes. Every answer ends with the server's FIN.
 *
 * @module
 */
import { isPattern, PATTERN_MAX, patternAt } from "./demo_pattern.ts";

/** Bytes of the answer to a half-closed request. */
export const ANSWER_BYTES = 1 << 20;
/** Time between the guest's FIN and the first byte of the answer, in milliseconds. */
export const ANSWER_DELAY_MS = 1000;

/** The methods of `Deno.Conn` that the conversation needs. */
export interface Conn {
  /** Reads; null at the peer's FIN. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of the bytes. */
  write(bytes: Uint8Array): Promise<number>;
  /** Sends FIN. */
  closeWrite(): void | Promise<void>;
  /** Closes. */
  close(): void;
}

/** What the guest's end needs to converse. */
export interface ConversationOptions {
  /** Connects to the demo's server. */
  readonly connect: () => Promise<Conn>;
  /** Bytes of each bulk transfer. */
  readonly bulkBytes: number;
  /** Takes a line of the report. */
  readonly print: (line: string) => void;
}

/** Converses as the guest. Throws an `Error` that says what did not arrive. */
export async function converse(options: ConversationOptions): Promise<void> {
  await halfClose(options);
  await upload(options);
  await download(options);
}

/**
 * Answers one connection as the host's server. `corrupt` breaks one byte of each answer, to show that the guest
 * notices.
 */
export async function answer(conn: Conn, corrupt: boolean = false): Promise<void> {
  const first = new Uint8Array(1);
  if (await conn.read(first) === null) return conn.close();
  const kind = String.fromCharCode(first[0]!), received = await readToEnd(conn);
  if (kind === "H") {
    await new Promise((resolve) => setTimeout(resolve, ANSWER_DELAY_MS));
    await writePattern(conn, ANSWER_BYTES, corrupt);
  } else if (kind === "U") {
    await writeAll(conn, new TextEncoder().encode(`${received.whole && !corrupt ? received.count : -1}`));
  } else {
    await writePattern(conn, Number(received.text), corrupt);
  }
  await conn.closeWrite();
  conn.close();
}

async function halfClose({ connect, print }: ConversationOptions): Promise<void> {
  const conn = await connect();
  await writeAll(conn, new TextEncoder().encode("H"));
  await conn.closeWrite();
  const finAt = performance.now();
  const got = await readToEnd(conn);
  conn.close();
  check(got, ANSWER_BYTES, "the answer to a half-closed request");
  const waited = (got.firstAt - finAt) / 1000;
  if (waited * 1000 < ANSWER_DELAY_MS * 0.9) {
    throw new Error("the answer came before the host had read our end of file");
  }
  print(`half-close       the guest said it was done (FIN), the answer began ${waited.toFixed(2)} s later`);
  print(`                 and arrived whole: ${got.count} bytes, every one as sent`);
}

async function upload({ connect, bulkBytes, print }: ConversationOptions): Promise<void> {
  const conn = await connect(), began = performance.now();
  await writeAll(conn, new TextEncoder().encode("U"));
  await writePattern(conn, bulkBytes, false);
  await conn.closeWrite();
  const said = await readToEnd(conn);
  conn.close();
  if (said.text !== `${bulkBytes}`) throw new Error(`the host received ${said.text} of ${bulkBytes} bytes`);
  print(`guest to host    ${speed(bulkBytes, began)}`);
}

async function download({ connect, bulkBytes, print }: ConversationOptions): Promise<void> {
  const conn = await connect(), began = performance.now();
  await writeAll(conn, new TextEncoder().encode(`D${bulkBytes}`));
  await conn.closeWrite();
  const got = await readToEnd(conn);
  conn.close();
  check(got, bulkBytes, "the download");
  print(`host to guest    ${speed(bulkBytes, began)}`);
}

function check(got: Received, expected: number, what: string): void {
  if (got.count !== expected) throw new Error(`${what} is ${got.count} bytes long instead of ${expected}`);
  if (!got.whole) throw new Error(`${what} has bytes that were not sent like that`);
}

function speed(bytes: number, began: number): string {
  const seconds = (performance.now() - began) / 1000;
  return `${bytes >> 20} MiB in ${seconds.toFixed(2)} s, ${
    (bytes * 8 / seconds / 1e9).toFixed(1)
  } Gbit/s, every byte as sent`;
}

/** What was read up to the peer's FIN. */
interface Received {
  count: number;
  /** Whether it was the pattern from its beginning on. */
  whole: boolean;
  firstAt: number;
  /** The first few bytes as text. */
  text: string;
}

async function readToEnd(conn: Conn): Promise<Received> {
  const buffer = new Uint8Array(PATTERN_MAX), received = { count: 0, whole: true, firstAt: 0, text: "" };
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    if (received.count === 0) received.firstAt = performance.now();
    if (received.count < 16) received.text += new TextDecoder("latin1").decode(buffer.subarray(0, Math.min(count, 16)));
    if (!isPattern(buffer.subarray(0, count), received.count)) received.whole = false;
    received.count += count;
  }
  return received;
}

async function writePattern(conn: Conn, bytes: number, corrupt: boolean): Promise<void> {
  for (let at = 0; at < bytes;) {
    const piece = patternAt(at, Math.min(PATTERN_MAX, bytes - at));
    if (corrupt && at === 0) {
      const broken = piece.slice();
      broken[0]! ^= 1;
      await writeAll(conn, broken);
      at += piece.length;
    } else {
      at += await conn.write(piece);
    }
  }
}

async function writeAll(conn: Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}
