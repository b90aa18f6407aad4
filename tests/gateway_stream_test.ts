import { assert, assertEquals } from "@std/assert";
import { Gateway } from "../mod.ts";
import { listenForStreams } from "../net/link/stream_listener.ts";
import { EventLoop } from "../net/linux/event_loop.ts";
import { pattern } from "./support/bytes.ts";
import { FAMILIES } from "./support/families.ts";
import { requires } from "./support/requirements.ts";
import { attack, connectGuest, echoServer, exchange } from "./support/stream_guests.ts";

const needs = requires("linux", "ffi");
const FLOWS = 40;

for (const host of ["ffi", "deno"] as const) {
  const skip = host === "ffi" && needs.ignore;
  Deno.test({
    name: `Gateway on ${host} sockets gives a guest on a stream every byte while another sends garbage${
      skip ? needs.reason : ""
    }`,
    ignore: skip,
    fn: async () => {
      await using stack = new AsyncDisposableStack();
      const server = echoServer();
      stack.defer(() => server.close());
      // The loop that the gateway's own sockets are in.
      const loop = host === "ffi" ? stack.use(EventLoop.shared()) : undefined;
      const gateway = stack.use(await Gateway.start({ host, dns: "none" }));
      const ended: Promise<Error | undefined>[] = [];
      const listener = stack.use(
        await listenForStreams({ hostname: "127.0.0.1", port: 0 }, {
          attach: (link) => ended.push(gateway.attach(link).ended),
          ...(loop && { loop }),
        }),
      );
      const port = Number(listener.address.split(":").at(-1));
      const good = stack.use(await connectGuest(port));
      let goesOn = true;
      const attacking = attack(port, server.port, () => goesOn);
      const conns = await Promise.all(
        // Over IPv6 to a server of IPv4, too: where nobody listens on ::1 the gateway's address leads to 127.0.0.1.
        Array.from({ length: FLOWS }, (_, i) => {
          return good.connect({ hostname: FAMILIES[i % FAMILIES.length]!.gateway, port: server.port });
        }),
      );
      await Promise.all(conns.map((conn, i) => exchange(conn, pattern(100_000 + i * 1000))));
      goesOn = false;
      const sent = await attacking;
      assert(sent > 0);
      assert(ended.length > 1, "the hostile guest came");
      const { tcpChecksum, tcpStray, ipv4Checksum } = gateway.counters();
      assert(ipv4Checksum + tcpChecksum + tcpStray > 0);
      // What the hostile guest had open went with its link.
      await Promise.all(ended.slice(1));
      assertEquals(gateway.flows().filter(({ state }) => state === "ESTABLISHED"), []);
    },
  });
}
