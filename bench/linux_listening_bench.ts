/**
 * A look at what listens in this namespace, with no listener more than there are, 10 and 1,000: by netlink, and by the
 * tables of /proc, for which the kernel walks through all sockets of the machine.
 *
 * @module
 */
import { DiagListeningSockets, openDiagSocket, ProcListeningSockets } from "../net/linux/listening_sockets.ts";

const TRANSPORTS = ["tcp", "udp"] as const;
const WAYS = {
  "netlink": () => {
    using sockets = new DiagListeningSockets(openDiagSocket(), TRANSPORTS);
    sockets.read();
  },
  "/proc, on another thread": async () => {
    using sockets = new ProcListeningSockets("self", TRANSPORTS);
    await sockets.look();
  },
};

for (const count of [0, 10, 1000]) {
  for (const [way, look] of Object.entries(WAYS)) {
    Deno.bench({
      name: `listening_look_${count} (${way})`,
      group: `listening_look_${count}`,
      ignore: Deno.build.os !== "linux",
      n: 30,
      fn: async (bench) => {
        const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
        bench.start();
        await look();
        bench.end();
        for (const listener of listeners) listener.close();
      },
    });
  }
}
