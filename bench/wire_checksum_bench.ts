/**
 * The Internet checksum, fast and naive, over the sizes that occur: a bare header, the IPv4 minimum, an Ethernet MTU, a
 * jumbo frame, a segment of an offloading link; and over a buffer that is new at every call, which the cache of word
 * views does not know.
 *
 * Run: `deno bench --no-check bench/wire_checksum_bench.ts`
 *
 * @module
 */
import { checksum, checksumUpdate16 } from "../net/wire/checksum.ts";
import { naiveChecksum } from "../tests/support/naive_checksum.ts";

/** 16-bit words added one by one in the order of the network. */
function wordByWord(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0, i = start;
  for (; i + 1 < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) sum += bytes[i]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum ^ 0xffff;
}

const data = new Uint8Array(65536 + 16);
for (let i = 0; i < data.length; i++) data[i] = i * 31 + (i >>> 7);
const others = Array.from({ length: 64 }, () => data.slice());

for (const size of [64, 576, 1500, 9000, 65535]) {
  const group = `${size} bytes`;
  Deno.bench("naive (the oracle)", { group, baseline: true }, () => {
    naiveChecksum(data, 2, 2 + size);
  });
  Deno.bench("word by word", { group }, () => {
    wordByWord(data, 2, 2 + size);
  });
  Deno.bench("checksum", { group }, () => {
    checksum(data, 2, 2 + size);
  });
  Deno.bench("checksum, odd address", { group }, () => {
    checksum(data, 3, 3 + size);
  });
  let turn = 0;
  Deno.bench("checksum, 64 buffers by turns", { group }, () => {
    checksum(others[turn++ & 63]!, 2, 2 + size);
  });
}

Deno.bench("fresh checksum of a header", { group: "one word of 20 bytes changed", baseline: true }, () => {
  checksum(data, 14, 34);
});
Deno.bench("checksumUpdate16", { group: "one word of 20 bytes changed" }, () => {
  checksumUpdate16(0x1234, data[4]!, data[5]!);
});
