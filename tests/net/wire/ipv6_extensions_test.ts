import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { checkIpv6 } from "../../../net/wire/ipv6.ts";
import {
  encodeIpv6Fragment,
  IPV6_CHAIN_DROP,
  IPV6_CHAIN_OK,
  IPV6_CHAIN_PROBLEM,
  IPV6_LONGEST_CHAIN,
  Ipv6Chain,
  ipv6FragmentIdentification,
  ipv6FragmentNextHeader,
  ipv6FragmentOffset,
  ipv6MoreFragments,
  walkIpv6,
} from "../../../net/wire/ipv6_extensions.ts";
import { assertEncodes, hex, noise, painted } from "../../support/packet_bytes.ts";

const ADDRESSES = "fd000000000000000000000000000015 fd000000000000000000000000000002";
const UDP = "0005 0009 0008 0000";

/** A packet between two addresses whose payload is `payload`, as a sub-view with `before` bytes in front. */
function packet(nextHeader: number, payload: string, before = 3): Uint8Array {
  const body = hex(payload), byte = (value: number, bytes: number) => value.toString(16).padStart(bytes * 2, "0");
  return hex(
    `${"ff".repeat(before)} 60000000 ${byte(body.length, 2)} ${byte(nextHeader, 1)} 40 ${ADDRESSES} ${payload}`,
  );
}

/** Walks such a packet. Offsets are given as distances from its beginning. */
function walk(nextHeader: number, payload: string) {
  const bytes = packet(nextHeader, payload), chain = new Ipv6Chain();
  assert(checkIpv6(bytes, 3, bytes.length));
  const verdict = walkIpv6(bytes, 3, bytes.length, chain);
  const { protocol, code, pointer, answersGroup } = chain;
  if (verdict === IPV6_CHAIN_DROP) return "drop";
  if (verdict === IPV6_CHAIN_PROBLEM) return { code, pointer, answersGroup };
  const fragment = chain.fragment < 0 ? -1 : chain.fragment - 3;
  return { protocol, transport: chain.transport - 3, fragment, pointer };
}

function problem(code: number, pointer: number, answersGroup = false) {
  return { code, pointer, answersGroup };
}

Deno.test("walkIpv6 ends at once where no extension header follows, whatever the protocol", () => {
  for (const protocol of [6, 17, 58, 50, 51, 59, 253, 132]) {
    assertEquals(walk(protocol, UDP), { protocol, transport: 40, fragment: -1, pointer: 6 });
  }
  assertEquals(walk(59, ""), { protocol: 59, transport: 40, fragment: -1, pointer: 6 });
});

Deno.test("walkIpv6 goes through the options of an MLD report that Linux sent", () => {
  const report = "3a000502000001008f0038f30000000204000000ff0200000000000000000001ff000015" +
    "04000000ff0200000000000000000001ff123456";
  assertEquals(walk(0, report), { protocol: 58, transport: 48, fragment: -1, pointer: 40 });
});

Deno.test("walkIpv6 skips each kind of header that may be skipped, in a chain", () => {
  const chain = `3c 00 0104 00000000  2b 01 1e04 00000000 0106 000000000000  3c 00 00 00 00000000  11 00 0104 00000000`;
  assertEquals(walk(0, `${chain} ${UDP}`), { protocol: 17, transport: 80, fragment: -1, pointer: 72 });
  assertEquals(walk(43, `11 02 04 00 ${"00".repeat(20)} ${UDP}`), {
    protocol: 17,
    transport: 64,
    fragment: -1,
    pointer: 40,
  });
});

Deno.test("walkIpv6 says of an unknown option, a routing header and an unknown protocol what Linux answered to them", () => {
  assertEquals(walk(60, `1100 9e04 01020304 ${UDP}`), problem(2, 42, true));
  assertEquals(walk(43, `11020001 00000000 ${"00".repeat(16)} ${UDP}`), problem(0, 42));
  assertEquals(walk(253, "61626364"), { protocol: 253, transport: 40, fragment: -1, pointer: 6 });
});

Deno.test("walkIpv6 does with an unknown option what its first two bits say", () => {
  for (const header of [0, 60]) {
    assertEquals(walk(header, `1100 1e04 00000000 ${UDP}`), { protocol: 17, transport: 48, fragment: -1, pointer: 40 });
    assertEquals(walk(header, `1100 5e04 00000000 ${UDP}`), "drop");
    assertEquals(walk(header, `1100 9e04 00000000 ${UDP}`), problem(2, 42, true));
    assertEquals(walk(header, `1100 de04 00000000 ${UDP}`), problem(2, 42));
    assertEquals(walk(header, `1100 0000 c2000000 ${UDP}`), problem(2, 44), "behind padding of one byte each");
  }
});

Deno.test("walkIpv6 drops options that go past their header", () => {
  for (const options of ["0105 00000000", "0000 00000001", "00000000001e", "0103 00000001"]) {
    assertEquals(walk(60, `1100 ${options} ${UDP}`), "drop", options);
  }
});

Deno.test("walkIpv6 refuses hop-by-hop options that do not stand first", () => {
  assertEquals(walk(60, `0000 0104 00000000 1100 0104 00000000 ${UDP}`), problem(1, 40));
  assertEquals(walk(0, `0000 0104 00000000 1100 0104 00000000 ${UDP}`), problem(1, 40));
});

Deno.test("walkIpv6 refuses segments left of every routing type, and skips a header without", () => {
  for (const type of ["00", "02", "03", "04", "fd"]) {
    assertEquals(walk(43, `1100 ${type} 01 00000000 ${UDP}`), problem(0, 42), type);
    assertEquals(walk(43, `1100 ${type} 00 00000000 ${UDP}`), {
      protocol: 17,
      transport: 48,
      fragment: -1,
      pointer: 40,
    });
  }
});

Deno.test("walkIpv6 follows as many headers as its bound, and refuses one more", () => {
  const chain = (headers: number) => `${"3c00 0104 00000000".repeat(headers - 1)} 1100 0104 00000000 ${UDP}`;
  const transport = 40 + IPV6_LONGEST_CHAIN * 8;
  assertEquals(walk(60, chain(IPV6_LONGEST_CHAIN)), { protocol: 17, transport, fragment: -1, pointer: transport - 8 });
  assertEquals(walk(60, chain(IPV6_LONGEST_CHAIN + 1)), problem(6, transport));
});

Deno.test("walkIpv6 ends at the data of a later fragment, and goes through the headers of a first one", () => {
  // The identification, offsets and flags of a datagram of 3000 bytes that Linux sent.
  assertEquals(walk(44, `110005a9c85f00f2 ${"00".repeat(1448)}`), {
    protocol: 17,
    transport: 48,
    fragment: 40,
    pointer: 40,
  });
  assertEquals(walk(44, `11000001c85f00f2 ${UDP} ${"00".repeat(1440)}`), {
    protocol: 17,
    transport: 48,
    fragment: 40,
    pointer: 40,
  });
  const options = `2c00 0104 00000000`;
  assertEquals(walk(60, `${options} 3c000001c85f00f2 1100 0104 00000000 ${UDP}`), {
    protocol: 17,
    transport: 64,
    fragment: 48,
    pointer: 56,
  });
  assertEquals(walk(44, `3c0005a9c85f00f2 9e9e`.replace("a9", "a8")), {
    protocol: 60,
    transport: 48,
    fragment: 40,
    pointer: 40,
  }, "what looks like options in a later fragment is data");
});

Deno.test("walkIpv6 takes a fragment that is the whole packet as none, and refuses a second fragment header", () => {
  assertEquals(walk(44, `11000000c85f00f2 ${UDP} 61`), { protocol: 17, transport: 48, fragment: -1, pointer: 40 });
  assertEquals(walk(44, `11ff0006c85f00f2 ${UDP} 61`), { protocol: 17, transport: 48, fragment: -1, pointer: 40 });
  assertEquals(walk(44, `2c00000000000001 1100000000000001 ${UDP}`), problem(0, 48));
  assertEquals(walk(44, `2c00000100000001 1100000000000001 ${UDP}`), problem(0, 48));
});

Deno.test("walkIpv6 refuses a first fragment without the whole header of the upper layer (RFC 7112)", () => {
  const tcp = "9c400050 00000001 00000000 6002fff0 00000000 020405b4";
  assertEquals(walk(44, `0600000100000001 ${tcp}`), { protocol: 6, transport: 48, fragment: 40, pointer: 40 });
  assertEquals(walk(44, `0600000100000001 ${tcp.slice(0, 36)}`), problem(3, 0), "20 bytes that say 24");
  assertEquals(walk(44, `0600000100000001 ${tcp.slice(0, 17)}`), problem(3, 0), "8 bytes");
  for (const protocol of ["11", "3a", "06", "3c", "2b"]) {
    assertEquals(walk(44, `${protocol}00000100000001`), problem(3, 0), protocol);
  }
  assertEquals(
    walk(44, `3c00000100000001 1101 0104 00000000`),
    problem(3, 0),
    "options that go on in another fragment",
  );
  assertEquals(walk(44, `3b00000100000001`), { protocol: 59, transport: 48, fragment: 40, pointer: 40 });
});

Deno.test("walkIpv6 refuses the lengths of fragments that RFC 8200 section 4.5 refuses", () => {
  assertEquals(walk(44, `1100000100000001 ${UDP} 61`), problem(0, 4));
  assertEquals(walk(44, `1100fff800000001 ${"00".repeat(7)}`), {
    protocol: 17,
    transport: 48,
    fragment: 40,
    pointer: 40,
  }, "65,528 and 7 bytes are the most that there can be");
  assertEquals(walk(44, `1100fff800000001 ${"00".repeat(8)}`), problem(0, 42));
  assertEquals(walk(60, `2c00010400000000 1100fff800000001 00`), problem(0, 50), "headers in front count");
});

Deno.test("walkIpv6 drops a chain truncated at every length, and never reads past the end", () => {
  const payload = `3c00 0104 00000000 2b01 1e04 00000000 0106 000000000000 2c00 0000 00000000 1100000000000001`;
  const whole = packet(0, `${payload} ${UDP}`, 0), headers = hex(payload).length, chain = new Ipv6Chain();
  for (let length = 0; length < headers; length++) {
    const bytes = painted(whole.length);
    bytes.set(whole);
    assertStrictEquals(walkIpv6(bytes, 0, 40 + length, chain), IPV6_CHAIN_DROP, `${length} bytes`);
    assertStrictEquals(
      walkIpv6(bytes.slice(0, 40 + length), 0, 40 + length, chain),
      IPV6_CHAIN_DROP,
      `${length} bytes`,
    );
  }
  assertStrictEquals(walkIpv6(whole, 0, 40 + headers, chain), IPV6_CHAIN_OK);
});

Deno.test("walkIpv6 ends within any bytes, and its offsets lie within the packet", () => {
  const kinds = [0, 43, 44, 60, 17, 6, 58, 59], chain = new Ipv6Chain(), seen = [0, 0, 0];
  for (let seed = 1; seed <= 5000; seed++) {
    const start = seed % 4, end = start + 40 + (seed * 7) % 120, bytes = noise(end + 8, seed);
    bytes[start + 6] = kinds[seed % 4]!;
    for (let at = start + 40; at < end; at += 8) {
      bytes[at] = kinds[bytes[at]! % kinds.length]!;
      bytes[at + 1]! &= 1;
      if (seed % 3 > 0) bytes.fill(0, at + 2, at + 8);
    }
    const verdict = walkIpv6(bytes, start, end, chain);
    seen[verdict]!++;
    if (verdict === IPV6_CHAIN_PROBLEM) assert(chain.code >= 0 && chain.pointer <= end - start, `seed ${seed}`);
    if (verdict !== IPV6_CHAIN_OK) continue;
    assert(chain.transport >= start + 40 && chain.transport <= end, `seed ${seed}`);
    assert(chain.fragment < chain.transport && chain.pointer < chain.transport - start, `seed ${seed}`);
  }
  assert(seen.every((count) => count > 100), `${seen}`);
});

Deno.test("encodeIpv6Fragment writes the header that Linux sent, and the getters read it", () => {
  assertEncodes("110005a9c85f00f2", (bytes, at) => encodeIpv6Fragment(bytes, at, 17, 1448, true, 0xc85f00f2));
  assertEncodes("11000b50c85f00f2", (bytes, at) => encodeIpv6Fragment(bytes, at, 17, 2896, false, 0xc85f00f2));
  const bytes = hex("ff 110005a9c85f00f2");
  assertEquals([ipv6FragmentNextHeader(bytes, 1), ipv6FragmentOffset(bytes, 1), ipv6MoreFragments(bytes, 1)], [
    17,
    1448,
    true,
  ]);
  assertStrictEquals(ipv6FragmentIdentification(bytes, 1), 0xc85f00f2);
  assertStrictEquals(ipv6MoreFragments(hex("11000b50c85f00f2"), 0), false);
});
