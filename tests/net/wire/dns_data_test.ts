import { assert, assertEquals } from "@std/assert";
import {
  dnsLowerName,
  dnsTargetOf,
  expandDnsData,
  readDnsWireName,
  SVC_ECH,
  SVC_IPV4_HINT,
  SVC_IPV6_HINT,
  withoutSvcParams,
  writeDnsWireName,
} from "../../../net/wire/dns_data.ts";
import { hex, noise, painted, toHex } from "../../support/packet_bytes.ts";

const STRIPPED = [SVC_ECH, SVC_IPV4_HINT, SVC_IPV6_HINT];
/** `example.org` at offset 0 and `Www.example.org` at 13, with other bytes behind them. */
const NAMES = "07 6578616d706c65 03 6f7267 00  03 577777 c000";

/** Data of a record behind these names, in a buffer with other bytes around: its place. */
function placed(data: string): { bytes: Uint8Array; start: number; at: number; end: number } {
  const names = hex(NAMES), body = hex(data), bytes = painted(5 + names.length + body.length + 5);
  bytes.set(names, 5);
  bytes.set(body, 5 + names.length);
  return { bytes, start: 5, at: 5 + names.length, end: 5 + names.length + body.length };
}

function expanded(type: number, data: string): string | null {
  const { bytes, ...place } = placed(data), written = expandDnsData(type, bytes, place);
  return written === null ? null : toHex(written);
}

function target(type: number, data: string): string | null {
  const { bytes, ...place } = placed(data);
  const name = dnsTargetOf(type, bytes, place);
  return name && [...name].map((char) => char < " " ? "." : char).join("");
}

Deno.test("readDnsWireName follows pointers and keeps letters; dnsLowerName changes letters alone", () => {
  const { bytes, start } = placed(""), name = readDnsWireName(bytes, { start, at: 5 + 13, end: bytes.length })!;
  assertEquals(name, "\x03Www\x07example\x03org\0");
  assertEquals(dnsLowerName(name), "\x03www\x07example\x03org\0");
  assertEquals(dnsLowerName("\x02a[\0"), "\x02a[\0");
  const into = painted(30);
  assertEquals(writeDnsWireName(into, 2, name), name.length);
  assertEquals(toHex(into.subarray(0, 8)), toHex(hex("a5a5 03 577777 07 65")));
});

Deno.test("readDnsWireName refuses a pointer forward or to itself, a long label, a long name, and an end that is cut off", () => {
  const read = (name: string) => {
    const { bytes, ...place } = placed(name);
    return readDnsWireName(bytes, place);
  };
  assertEquals(read("c013"), null);
  assertEquals(read("c014"), null);
  assertEquals(read("40 61"), null);
  assertEquals(read("c0"), null);
  assertEquals(read("03 6161"), null);
  assertEquals(read("01 61"), null);
  const label = `3f ${"61".repeat(63)}`;
  assertEquals(read(`${label} ${label} ${label} 3d ${"61".repeat(61)} 00`)?.length, 255);
  assertEquals(read(`${label} ${label} ${label} 3e ${"61".repeat(62)} 00`), null);
});

Deno.test("expandDnsData writes names out in the types that may have them cut short, and leaves all others alone", () => {
  const org = "07 6578616d706c65 03 6f7267 00", www = `03 577777 ${org}`, same = (text: string) => toHex(hex(text));
  for (const type of [2, 3, 4, 5, 7, 8, 9, 12, 39]) assertEquals(expanded(type, "c00d"), same(www), `type ${type}`);
  for (const type of [15, 18, 21]) assertEquals(expanded(type, "000a c000"), same(`000a ${org}`), `type ${type}`);
  for (const type of [14, 17]) assertEquals(expanded(type, "c00d c000"), same(`${www} ${org}`), `type ${type}`);
  const times = "00000001 00000e10 000004b0 00093a80 00000078";
  assertEquals(expanded(6, `c000 01 61 c000 ${times}`), same(`${org} 01 61 ${org} ${times}`));
  assertEquals(expanded(33, "0001 0002 01bb c00d"), same(`0001 0002 01bb ${www}`));
  for (const type of [1, 16, 28, 46, 64, 65, 65280]) assertEquals(expanded(type, "c00d c000"), same("c00d c000"));
});

Deno.test("expandDnsData refuses data with more or less than its type has", () => {
  for (const [type, data] of [[5, ""], [5, "c0"], [5, "c000 00"], [15, "00"], [15, "000a"], [33, "0001 0002 01bb"]]) {
    assertEquals(expanded(Number(type), `${data}`), null, `type ${type}: ${data}`);
  }
  assertEquals(expanded(6, `c000 c000 ${"00".repeat(19)}`), null);
  assertEquals(expanded(6, `c000 c000 ${"00".repeat(21)}`), null);
});

Deno.test("dnsTargetOf reads the name that CNAME, SRV, MX, SVCB and HTTPS name, and of other types none", () => {
  assertEquals(target(5, "c00d"), ".www.example.org.");
  assertEquals(target(15, "000a c000"), ".example.org.");
  assertEquals(target(33, "0001 0002 01bb c00d"), ".www.example.org.");
  for (const type of [64, 65]) {
    assertEquals(target(type, "0001 01 61 00"), ".a.");
    assertEquals(target(type, "0000 01 61 00"), ".a.", "an alias");
    assertEquals(target(type, "0001 01 61 00 0001 0003 026832"), ".a.", "with parameters");
    assertEquals(target(type, "0001 00"), "", "the name itself");
    assertEquals(target(type, "00"), null);
  }
  // No service (RFC 2782), no mail (RFC 7505).
  assertEquals([target(33, "0000 0000 0000 00"), target(15, "0000 00")], ["", ""]);
  for (const type of [1, 2, 6, 16, 28]) assertEquals(target(type, "c00d"), "", `type ${type}`);
  assertEquals([target(5, "c000 00"), target(15, "000a"), target(33, "0001 0002 01bb c0")], [null, null, null]);
});

function stripped(data: string, keys = STRIPPED): [number[], string] | null {
  const { bytes, ...place } = placed(data), left = withoutSvcParams(bytes, place, keys);
  return left === null ? null : [[...left.removed], toHex(left.data)];
}

Deno.test("withoutSvcParams leaves out the parameters that are asked for, and of mandatory what it leaves out", () => {
  const alpn = "0001 0003 026832",
    hint4 = "0004 0004 c0000207",
    ech = "0005 0002 abcd",
    hint6 = `0006 0010 ${"11".repeat(16)}`;
  const same = (text: string) => toHex(hex(text));
  assertEquals(stripped(`0001 00 ${alpn} ${hint4} ${ech} ${hint6}`), [[4, 5, 6], same(`0001 00 ${alpn}`)]);
  assertEquals(stripped(`0001 00 ${alpn}`), [[], same(`0001 00 ${alpn}`)]);
  assertEquals(stripped("0000 01 61 00"), [[], same("0000 01 61 00")]);
  assertEquals(
    stripped(`0001 00 0000 0004 0001 0005 ${alpn} ${ech}`),
    [[5], same(`0001 00 0000 0002 0001 ${alpn}`)],
    "a mandatory one",
  );
  assertEquals(stripped(`0001 00 0000 0002 0005 ${ech}`), [[5], same("0001 00")], "the only mandatory one");
});

Deno.test("withoutSvcParams refuses a name that is cut short, and parameters that are cut off", () => {
  for (
    const data of [
      "00",
      "0001",
      "0001 c000",
      "0001 01 61 c000",
      "0001 00 0005",
      "0001 00 0005 00",
      "0001 00 0005 0002 ab",
    ]
  ) {
    assertEquals(stripped(data), null, data);
  }
});

Deno.test("no bytes make the readers of data throw, or read beyond their end", () => {
  let read = 0;
  for (let seed = 1; seed <= 20_000; seed++) {
    const bytes = painted(60);
    bytes.set(noise(60, seed));
    for (let i = 0; i < 60; i++) bytes[i] = [0, 1, 2, 3, 4, 0xc0, 97, 0][bytes[i]! & 7]!;
    const place = { start: seed % 5, at: 12 + seed % 9, end: 12 + seed % 47 };
    for (const type of [2, 5, 6, 14, 15, 33, 65]) {
      const data = expandDnsData(type, bytes, place);
      if (data !== null) read++;
      dnsTargetOf(type, bytes, place);
    }
    const left = withoutSvcParams(bytes, place, STRIPPED);
    if (left !== null) assert(left.data.length <= Math.max(0, place.end - place.at));
  }
  assert(read > 1000, `${read} read`);
});
