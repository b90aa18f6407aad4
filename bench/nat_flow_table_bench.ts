/**
 * The flow table: adding and removing flows, and looking them up, beside a `Map` with string keys.
 *
 * @module
 */
import { FlowKey } from "../nat/flow/flow_key.ts";
import { FlowTable } from "../nat/flow/flow_table.ts";

const SEED = 0x1badcafe;
const LOOKUPS = 1000;

const flow = { open: true };
const key = new FlowKey();

function fill(number: number): FlowKey {
  return key.setIpv4(1, 6, 0x0a00020f, number & 0xffff, 0x5db8d822 + (number >>> 16), 443);
}

for (const count of [10, 100, 1000]) {
  Deno.bench(
    `flow_table_insert_remove ${count}`,
    { group: `flow_table_insert_remove ${count}`, baseline: true },
    () => {
      const table = new FlowTable<typeof flow>(SEED);
      for (let i = 0; i < count; i++) table.set(fill(i), flow);
      for (let i = 0; i < count; i++) table.delete(fill(i));
    },
  );
  Deno.bench(
    `flow_table_insert_remove ${count}, Map of strings`,
    { group: `flow_table_insert_remove ${count}` },
    () => {
      const map = new Map<string, typeof flow>();
      for (let i = 0; i < count; i++) map.set(stringOf(fill(i)), flow);
      for (let i = 0; i < count; i++) map.delete(stringOf(fill(i)));
    },
  );
}

for (const count of [10, 1000, 100_000]) {
  const table = new FlowTable<typeof flow>(SEED);
  const map = new Map<string, typeof flow>();
  for (let i = 0; i < count; i++) {
    table.set(fill(i), flow);
    map.set(stringOf(fill(i)), flow);
  }
  // A stride that is prime to the count, so that neighbouring look-ups are of distant flows.
  const stride = 7919;
  Deno.bench(`flow_table_lookup ${count}, ${LOOKUPS} times`, { group: `lookup ${count}`, baseline: true }, () => {
    for (let i = 0, at = 0; i < LOOKUPS; i++, at = (at + stride) % count) {
      if (table.get(fill(at)) !== flow) throw new Error("Cannot find flow");
    }
  });
  Deno.bench(`flow_table_lookup ${count}, ${LOOKUPS} times, Map of strings`, { group: `lookup ${count}` }, () => {
    for (let i = 0, at = 0; i < LOOKUPS; i++, at = (at + stride) % count) {
      if (map.get(stringOf(fill(at))) !== flow) throw new Error("Cannot find flow");
    }
  });
}

function stringOf({ words }: FlowKey): string {
  return `${words[0]}:${words[1]}:${words[5]}:${words[9]}`;
}
