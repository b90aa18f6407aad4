import { assert } from "@std/assert";
import { requires } from "../support/requirements.ts";
import type { Exchange } from "./exchange.ts";
import { LOSSY_NEEDS, play } from "./lossy_guest.ts";

const { ignore, reason } = requires(...LOSSY_NEEDS);
const ORDERS = ["guest", "host", "both"] as const;

for (const flags of [[], ["--no-offload"]]) {
  const title = ["hawser run", ...flags].join(" ");

  Deno.test({
    name: `${title} carries 1 B to 4 MiB each way byte by byte over a link that loses 3 % each way${reason}`,
    ignore,
    fn: async () => {
      const exchanges: Exchange[] = [];
      for (const first of ORDERS) {
        for (const size of [1, 1460, 65_537, 1 << 20]) exchanges.push({ up: size, down: size, first });
        exchanges.push({ up: 0, down: 4 << 20, first }, { up: 4 << 20, down: 0, first }, { up: 0, down: 0, first });
      }
      await play({ flags, lossPercent: 3, atOnce: 6 }, exchanges);
    },
  });

  Deno.test({
    name: `${title} carries 64 MiB each way byte by byte in every order of closing${reason}`,
    ignore,
    fn: async () => {
      const exchanges = ORDERS.map((first) => ({ up: 64 << 20, down: 64 << 20, first }));
      await play({ flags, lossPercent: 0, atOnce: 1 }, exchanges);
    },
  });

  Deno.test({
    name: `${title} carries 12 MiB each way whole at 3 % loss and MTU 1500, in seconds${reason}`,
    ignore,
    fn: async () => {
      const exchanges: Exchange[] = [
        { up: 12 << 20, down: 0, first: "guest" },
        { up: 0, down: 12 << 20, first: "host" },
      ];
      const times: string[] = [];
      for (const lossPercent of [0, 3]) {
        const outcomes = await play({ flags, lossPercent, atOnce: 1 }, exchanges);
        for (const { up, ms } of outcomes) {
          times.push(`${up > 0 ? "from" : "to"} guest at ${lossPercent} % loss: ${(ms / 1000).toFixed(2)} s`);
          assert(ms < 30_000, times.at(-1));
        }
      }
      console.log(`12 MiB, ${title}: ${times.join("; ")}`);
    },
  });
}
