import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { IpAddress } from "../../../net/wire/address.ts";
import { encodeIpv6 } from "../../../net/wire/ipv6.ts";
import {
  checkMld,
  decodeMld,
  formatMld,
  isMldType,
  MLD_DONE,
  MLD_QUERY,
  MLD_REPORT,
  MLD_REPORT_V2,
  mldFitsHeader,
} from "../../../net/wire/mld.ts";
import { assertRefused, assertRefusesEveryShorter, hex, noise, painted } from "../../support/packet_bytes.ts";

const DOORS = { layer: "mld", check: checkMld, decode: decodeMld };
/** A report that Linux sent. */
const REPORT_V2 = "8f0038f30000000204000000ff0200000000000000000001ff00001504000000ff0200000000000000000001ff123456";
/** What scapy made: a record with two sources, queries, and what hosts of version 1 say. */
const SOURCES =
  "8f00f42c0000000101000002ff0200000000000000000000000000fbfd000000000000000000000000000001fd000000000000000000000000000002";
const QUERY_V2 = "820056952710000000000000000000000000000000000000027d0000";
const QUERY = "820059162710000000000000000000000000000000000000";
const REPORT = "8300fa7300000000ff0200000000000000000000000000fb";
const DONE = "8400fa6c00000000ff0200000000000000000000000000fb";

Deno.test("decodeMld reads Linux's report and the messages of both versions", () => {
  const read = (text: string) => {
    const { groups, ...rest } = decodeMld(hex(`ff ${text}`), 1);
    return { ...rest, groups: groups.map(String) };
  };
  assertEquals(read(REPORT_V2), {
    type: MLD_REPORT_V2,
    version: 2,
    responseDelay: 0,
    length: 48,
    groups: ["ff02::1:ff00:15", "ff02::1:ff12:3456"],
  });
  assertEquals(read(SOURCES).groups, ["ff02::fb"]);
  assertEquals(read(QUERY), { type: MLD_QUERY, version: 1, responseDelay: 10000, length: 24, groups: ["::"] });
  assertEquals(read(QUERY_V2), { type: MLD_QUERY, version: 2, responseDelay: 10000, length: 28, groups: ["::"] });
  const one = { version: 1 as const, responseDelay: 0, length: 24, groups: ["ff02::fb"] };
  assertEquals([read(REPORT), read(DONE)], [{ type: MLD_REPORT, ...one }, { type: MLD_DONE, ...one }]);
});

Deno.test("mld refuses a message truncated at every length, but that a query of version 2 may end as one of version 1", () => {
  for (const message of [REPORT_V2, SOURCES, QUERY, REPORT, DONE]) assertRefusesEveryShorter(DOORS, hex(message));
  for (const end of [25, 26, 27]) assertRefused(DOORS, hex(QUERY_V2), { start: 0, end });
});

Deno.test("mld refuses sources, records and auxiliary data that go past the end", () => {
  const changed = (text: string, index: number, value: number) => {
    const bytes = hex(text);
    bytes[index] = value;
    return bytes;
  };
  assertRefused(DOORS, changed(QUERY_V2, 27, 1));
  assertRefused(DOORS, changed(REPORT_V2, 7, 3));
  assertRefused(DOORS, changed(REPORT_V2, 6, 255));
  assertRefused(DOORS, changed(REPORT_V2, 31, 1));
  assertRefused(DOORS, changed(REPORT_V2, 29, 1));
  assertRefused(DOORS, changed(REPORT_V2, 10, 255));
});

Deno.test("mld refuses groups that are none and types that are others, and ignores what follows the fields", () => {
  for (const text of [REPORT, DONE, REPORT_V2]) assertRefused(DOORS, hex(text.replace("ff02", "fe80")));
  assertRefused(DOORS, hex(QUERY.replace("0000000000000000", "fd00000000000001")));
  for (const type of ["81", "85", "8e", "90"]) assertRefused(DOORS, hex(type + REPORT.slice(2)));
  assertEquals([129, 130, 131, 132, 133, 142, 143, 144].filter(isMldType), [130, 131, 132, 143]);
  for (const text of [REPORT, DONE, REPORT_V2, QUERY_V2]) assert(checkMld(hex(`${text} 0102`), 0, text.length / 2 + 2));
});

Deno.test("mld: both doors agree on any bytes", () => {
  let taken = 0;
  for (let seed = 1; seed <= 3000; seed++) {
    const bytes = noise(100, seed), end = seed % 100;
    bytes.set([[130, 131, 132, 143][seed % 4]!, 0, 0, 0, 0, 0, 0, seed % 3, seed % 5 ? 0xff : 1, 0, 0, seed % 2]);
    bytes.set([0xff], 12);
    try {
      decodeMld(bytes, 0, end);
      assert(checkMld(bytes, 0, end));
      taken++;
    } catch {
      assert(!checkMld(bytes, 0, end));
    }
  }
  assert(taken > 100 && taken < 2900, `${taken} taken`);
});

Deno.test("mldFitsHeader wants a hop limit of 1, and a source that is link-local or none", () => {
  const fits = (source: string, hopLimit: number) => {
    const bytes = painted(40), destination = IpAddress.parse("ff02::16");
    encodeIpv6(bytes, 0, { payloadLength: 0, nextHeader: 0, hopLimit, source: IpAddress.parse(source), destination });
    return mldFitsHeader(bytes, 0);
  };
  assertEquals([fits("fe80::1", 1), fits("febf::1", 1), fits("::", 1)], [true, true, true]);
  assertEquals([fits("fe80::1", 2), fits("fe80::1", 255), fits("fd00::15", 1), fits("::1", 1)], Array(4).fill(false));
});

Deno.test("formatMld is what tcpdump prints", () => {
  const text = (message: string) => formatMld(decodeMld(hex(message)));
  assertStrictEquals(text(REPORT_V2), "ICMP6, multicast listener report v2, 2 group record(s), length 48");
  assertStrictEquals(text(QUERY_V2), "ICMP6, multicast listener query v2 [gaddr ::], length 28");
  assertStrictEquals(text(QUERY), "ICMP6, multicast listener query max resp delay: 10000 addr: ::, length 24");
  assertStrictEquals(text(REPORT), "ICMP6, multicast listener report max resp delay: 0 addr: ff02::fb, length 24");
  assertStrictEquals(text(DONE), "ICMP6, multicast listener done max resp delay: 0 addr: ff02::fb, length 24");
});
