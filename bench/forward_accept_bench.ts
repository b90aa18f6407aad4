/**
 * A client of a forward, from its `connect` to the SYN on the guest's link, on both hosts; the median is what counts.
 *
 * @module
 */
import { AcceptLatency } from "../tests/support/accept_latency.ts";

for (const host of ["ffi", "deno"] as const) {
  if (host === "ffi" && Deno.build.os !== "linux") continue;
  Deno.bench({
    name: `port_forward_accept_latency (${host})`,
    group: "port_forward_accept_latency",
    fn: async (bench) => {
      await using latency = await AcceptLatency.start(host);
      bench.start();
      const { syn, end } = latency.connect();
      await syn;
      bench.end();
      await end();
    },
  });
}

if (import.meta.main) {
  for (const host of ["ffi", "deno"] as const) {
    if (host === "ffi" && Deno.build.os !== "linux") continue;
    await using latency = await AcceptLatency.start(host);
    const times: number[] = [];
    for (let i = 0; i < 2000; i++) times.push(await latency.measure());
    times.sort((a, b) => a - b);
    const at = (part: number) => `${(times[Math.floor(times.length * part)]! * 1000).toFixed(0)} µs`;
    console.log(`port_forward_accept_latency (${host}): p50 ${at(0.5)}, p99 ${at(0.99)}`);
  }
}
