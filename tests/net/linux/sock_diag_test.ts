import { assertEquals } from "@std/assert";
import { AF_INET, AF_INET6 } from "../../../net/linux/libc.ts";
import {
  type ListeningSocket,
  type Progress,
  QUESTION_BYTES,
  readAnswer,
  readProcTable,
  writeQuestion,
} from "../../../net/linux/sock_diag.ts";

const SEQUENCE = 0x01020304;
const DONE = 3, ERROR = 2, SOCKET = 20;

/** A message of the kernel, as bytes. */
function message(kind: number, body: string, { sequence = SEQUENCE, size }: { sequence?: number; size?: number } = {}) {
  const payload = Uint8Array.fromHex(body.replaceAll(/\s/g, "")), bytes = new Uint8Array(16 + payload.length + 3 & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size ?? 16 + payload.length, true);
  view.setUint16(4, kind, true);
  view.setUint32(8, sequence, true);
  bytes.set(payload, 16);
  return bytes;
}

/** An `inet_diag_msg` and the attribute that says whether IPv6 is alone there. */
function socket(family: string, port: string, address: string): string {
  return `${family} 0a 00 00 ${port} 0000 ${address.padEnd(32, "0")} ${"00".repeat(16)} 00000000 ffffffffffffffff` +
    "00".repeat(20) + "0500 0b00 01000000";
}

const EVERY_IPV4 = socket("02", "1f90", "00000000");
const LOOPBACK = socket("02", "0bb8", "7f000001");
const EVERY_IPV6 = socket("0a", "0050", "");
const MAPPED = socket("0a", "0051", "00000000000000000000ffff7f000001");

/** Sub-view with something around it, as a buffer would have. */
function joined(...messages: readonly Uint8Array[]): Uint8Array {
  const length = messages.reduce((sum, { length }) => sum + length, 0), all = new Uint8Array(length + 14).fill(0xa5);
  let at = 7;
  for (const bytes of messages) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all.subarray(7, 7 + length);
}

function read(bytes: Uint8Array): { progress: Progress; sockets: string[] } {
  const sockets: ListeningSocket[] = [];
  const progress = readAnswer(bytes, { protocol: "tcp", sequence: SEQUENCE }, (found) => sockets.push(found));
  return { progress, sockets: sockets.map(shown) };
}

function shown({ protocol, address, port }: ListeningSocket): string {
  return `${protocol} ${address} ${port}`;
}

Deno.test("writeQuestion asks for listeners of TCP, and for UDP that is not connected, as Linux has it", () => {
  const all = new Uint8Array(QUESTION_BYTES + 9).fill(0xa5), bytes = all.subarray(5, 5 + QUESTION_BYTES);
  const head = "48000000 1400 0103 04030201 00000000";
  writeQuestion(bytes, { family: AF_INET, protocol: "tcp", sequence: SEQUENCE });
  assertEquals(bytes.toHex(), `${head} 02 06 00 00 00040000`.replaceAll(" ", "") + "00".repeat(48));
  writeQuestion(bytes, { family: AF_INET6, protocol: "udp", sequence: SEQUENCE });
  assertEquals(bytes.toHex(), `${head} 0a 11 00 00 80000000`.replaceAll(" ", "") + "00".repeat(48));
  assertEquals([all[4], all[5 + QUESTION_BYTES]], [0xa5, 0xa5]);
});

Deno.test("readAnswer tells sockets of both families, mapped addresses as IPv4, and when it was all", () => {
  const messages = [EVERY_IPV4, LOOPBACK, EVERY_IPV6, MAPPED].map((body) => message(SOCKET, body));
  const sockets = ["tcp 0.0.0.0 8080", "tcp 127.0.0.1 3000", "tcp :: 80", "tcp 127.0.0.1 81"];
  assertEquals(read(joined(...messages)), { progress: "more", sockets });
  assertEquals(read(joined(...messages, message(DONE, "00000000"))), { progress: "done", sockets });
});

Deno.test("readAnswer passes over news, answers to other questions, UDP without a port and families it does not know", () => {
  const news = message(SOCKET, LOOPBACK, { sequence: 0 }), other = message(DONE, "00000000", { sequence: 5 });
  const unbound = message(SOCKET, socket("02", "0000", "")), unix = message(SOCKET, socket("01", "0050", ""));
  const unknown = message(99, LOOPBACK);
  assertEquals(read(joined(news, other, unbound, unix, unknown, message(SOCKET, EVERY_IPV4))), {
    progress: "more",
    sockets: ["tcp 0.0.0.0 8080"],
  });
});

Deno.test("readAnswer says that the kernel does not tell", () => {
  assertEquals(read(message(ERROR, "feffffff")).progress, "refused");
  assertEquals(read(message(ERROR, "feffffff", { sequence: 7 })).progress, "more");
});

Deno.test("readAnswer reads nothing beyond what came, at every length, and no impossible lengths", () => {
  const whole = joined(message(SOCKET, EVERY_IPV4), message(SOCKET, LOOPBACK), message(DONE, "00000000"));
  for (let length = 0; length < whole.length; length++) {
    const { progress, sockets } = read(whole.subarray(0, length));
    assertEquals(progress === "done", false, `${length}`);
    assertEquals(sockets.length <= 2, true, `${length}`);
  }
  for (const size of [0, 1, 15, 0x7fffffff, 0xffffffff]) {
    assertEquals(read(message(SOCKET, LOOPBACK, { size })), { progress: "refused", sockets: [] }, `${size}`);
  }
  assertEquals(read(message(SOCKET, "0200")), { progress: "more", sockets: [] });
});

Deno.test("readProcTable tells listeners of /proc/net/tcp and bound sockets of udp6", () => {
  const tcp = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123 1 0 100 0 0 10 0",
    "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 124 1 0 100 0 0 10 0",
    "   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 125 1 0 20 4 30 10 -1",
    "1003: 0F02000A:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 126 1 0 100 0 0 10 0",
    "",
  ].join("\n");
  assertEquals(readProcTable(tcp, "tcp").map(shown), ["tcp 127.0.0.1 3000", "tcp 0.0.0.0 8080", "tcp 10.0.2.15 22"]);
  const zero = "0".repeat(32);
  const udp6 = [
    `  1: 00000000000000000000000001000000:0035 ${zero}:0000 07 00000000:00000000 00:00000000 00000000     0        0 1`,
    `  2: B80D0120000000000000000001000000:0043 ${zero}:0000 07 00000000:00000000 00:00000000 00000000     0        0 1`,
    `  3: ${zero}:0000 ${zero}:0000 07 00000000:00000000 00:00000000 00000000     0        0 1`,
    `  4: ${zero}:0045 00000000000000000000000001000000:0035 01 00000000:00000000 00:00000000 00000000     0   0 1`,
  ].join("\n");
  assertEquals(readProcTable(udp6, "udp").map(shown), ["udp ::1 53", "udp 2001:db8::1 67"]);
  assertEquals(readProcTable("no table at all\n:::\n", "tcp"), []);
});
