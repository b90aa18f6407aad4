import { assertEquals } from "@std/assert";
import { RecencyList, type Recent } from "../../../nat/base/recency_list.ts";

class Item implements Recent<Item> {
  newer: Item | null = null;
  older: Item | null = null;
  constructor(readonly name: number) {}
}

Deno.test("RecencyList names the item used longest ago, as an array would", () => {
  const list = new RecencyList<Item>(), items = Array.from({ length: 12 }, (_, i) => new Item(i)), order: Item[] = [];
  let seed = 1;
  const random = (n: number) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
  for (let i = 0; i < 5000; i++) {
    const item = items[random(items.length)]!, at = order.indexOf(item);
    if (at < 0) {
      list.add(item);
      order.push(item);
    } else if (random(3) === 0) {
      list.remove(item);
      order.splice(at, 1);
    } else {
      list.use(item);
      order.push(...order.splice(at, 1));
    }
    assertEquals([list.size, list.oldest?.name], [order.length, order[0]?.name]);
  }
});

Deno.test("RecencyList keeps no item that was removed", () => {
  const list = new RecencyList<Item>(), one = new Item(1), two = new Item(2);
  list.add(one);
  list.add(two);
  list.remove(one);
  assertEquals([list.oldest, two.older, one.newer, list.size], [two, null, null, 1]);
  list.remove(two);
  assertEquals([list.oldest, list.size], [null, 0]);
});
