import { assert, assertEquals } from "@std/assert";
import * as wire from "../../../net/wire/mod.ts";
import { noise, painted } from "../../support/packet_bytes.ts";

interface Range {
  payloadStart?: number;
  payloadEnd?: number;
}

interface Codec {
  check(bytes: Uint8Array, start: number, end: number): boolean;
  decode(bytes: Uint8Array, start: number, end: number): Range;
  format(decoded: never): string;
  /** First bytes that make random ones plausible. */
  head: number[];
}

const CODECS: Record<string, Codec> = {
  ethernet: { check: wire.checkEthernet, decode: wire.decodeEthernet, format: wire.formatEthernet, head: [] },
  arp: {
    check: wire.checkArp,
    decode: wire.decodeArp as Codec["decode"],
    format: wire.formatArp,
    head: [0, 1, 8, 0, 6, 4, 0],
  },
  ipv4: { check: wire.checkIpv4, decode: wire.decodeIpv4, format: wire.formatIpv4Packet, head: [0x46, 0, 0] },
  ipv6: { check: wire.checkIpv6, decode: wire.decodeIpv6, format: wire.formatIpv6Packet, head: [0x60, 0, 0, 0, 0] },
  icmpv4: { check: wire.checkIcmpv4, decode: wire.decodeIcmpv4, format: wire.formatIcmpv4, head: [] },
  icmpv6: {
    check: wire.checkIcmpv6,
    decode: (bytes, start, end) => wire.decodeIcmpv6(bytes, start, end),
    format: wire.formatIcmpv6,
    head: [1, 4],
  },
  udp: { check: wire.checkUdp, decode: wire.decodeUdp, format: wire.formatUdp, head: [0, 1, 0, 2, 0] },
};

Deno.test("mod exports everything that the codecs export, and not what only they use", async () => {
  const exported = new Set(Object.keys(wire));
  let files = 0;
  for await (const { name } of Deno.readDir(new URL("../../../net/wire/", import.meta.url))) {
    if (!name.endsWith(".ts") || name === "mod.ts") continue;
    files++;
    const names = Object.keys(await import(`../../../net/wire/${name}`));
    if (name === "bytes.ts") {
      assertEquals(names.filter((symbol) => exported.has(symbol)), []);
      continue;
    }
    assertEquals(names.filter((symbol) => !exported.has(symbol)), [], name);
  }
  assert(files >= 14, `${files} files`);
});

for (const [layer, codec] of Object.entries(CODECS)) {
  Deno.test(`${layer}: both doors agree on any bytes, and a payload never leaves its range`, () => {
    let taken = 0, refused = 0;
    for (let seed = 1; seed <= 3000; seed++) {
      const start = seed % 5, end = start + (seed * 7) % 90;
      const bytes = painted(end + 8);
      bytes.set(noise(end + 8, seed));
      if (seed % 3 !== 0) bytes.set(codec.head, start);
      const accepted = codec.check(bytes, start, end);
      try {
        const decoded = codec.decode(bytes, start, end);
        assert(accepted, `only decode takes seed ${seed}`);
        const from = decoded.payloadStart ?? start, to = decoded.payloadEnd ?? end;
        assert(start <= from && from <= to && to <= end, `seed ${seed}: payload ${from} to ${to}`);
        assert(!codec.format(decoded as never).includes("\n"));
        taken++;
      } catch (error) {
        assert(error instanceof wire.DecodeError, `${error}`);
        assert(!accepted, `only check takes seed ${seed}`);
        refused++;
      }
    }
    assert(taken > 100 && refused > 100, `${taken} taken, ${refused} refused: the test sees one side only`);
  });
}

Deno.test("dhcpv4: both doors agree on any option bytes", () => {
  let taken = 0;
  for (let seed = 1; seed <= 2000; seed++) {
    const bytes = noise(300, seed);
    bytes.set([1, 1, 6]);
    bytes.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1], 236);
    for (let i = 247; i < 300; i++) if (bytes[i]! % 3 !== 0) bytes[i] = bytes[i]! < 60 ? 255 : bytes[i]! % 8;
    const accepted = wire.checkDhcpv4(bytes, 0, 300);
    try {
      wire.decodeDhcpv4(bytes);
      assert(accepted);
      taken++;
    } catch (error) {
      assert(error instanceof wire.DecodeError && !accepted, `${error}`);
    }
  }
  assert(taken > 50 && taken < 1950, `${taken} taken`);
});

Deno.test("tcp: check takes a superset of what decode takes, and only options make the difference", () => {
  let differ = 0, taken = 0;
  for (let seed = 1; seed <= 3000; seed++) {
    const bytes = noise(70, seed), end = seed % 70;
    const accepted = wire.checkTcp(bytes, 0, end);
    try {
      wire.decodeTcp(bytes, 0, end);
      assert(accepted);
      taken++;
    } catch (error) {
      assert(error instanceof wire.DecodeError, `${error}`);
      assertEquals(accepted, error.message.includes("the options are malformed"));
      if (accepted) differ++;
    }
  }
  assert(differ > 50 && taken > 50, `${differ} differ, ${taken} taken`);
});
