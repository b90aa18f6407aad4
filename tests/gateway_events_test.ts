import { assertEquals } from "@std/assert";
import { GuestStack } from "../guest/stack.ts";
import { Gateway } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";

Deno.test("Gateway tells a program of its flows in the turn, typed, until the signal of the listener is aborted", async () => {
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [link, end] = memoryLinkPair();
  await using gateway = await Gateway.start({ host: "deno", dns: "none" });
  const seen: string[] = [], controller = new AbortController();
  gateway.events.addEventListener("guestAttached", ({ detail }) => seen.push(`${detail.type} ${detail.guestNumber}`));
  gateway.events.addEventListener(
    "flowOpened",
    ({ detail: { flow } }) => seen.push(`opened ${flow.number} ${flow.target}`),
    {
      signal: controller.signal,
    },
  );
  const ended = Promise.withResolvers<void>();
  gateway.events.addEventListener("flowEnded", ({ detail: { flow, ending } }) => {
    seen.push(`ended ${flow.number} ${ending} ${flow.bytesFromGuest}`);
    ended.resolve();
  }, { once: true });
  const attached = gateway.attach(link);
  const guest = new GuestStack(end), target = `10.0.2.2:${server.addr.port}`;
  const accepted = server.accept(), conn = await guest.connect({ hostname: "10.0.2.2", port: server.addr.port });
  const peer = await accepted;
  await conn.write(new TextEncoder().encode("hello"));
  assertEquals(await peer.read(new Uint8Array(9)), 5);
  conn.closeWrite();
  assertEquals(await peer.read(new Uint8Array(9)), null);
  peer.close();
  assertEquals(await conn.read(new Uint8Array(9)), null);
  await ended.promise;
  assertEquals(seen.splice(0), ["guestAttached 1", `opened 1 ${target}`, `ended 1 guestFirst 5`]);
  controller.abort();
  const again = server.accept(), second = await guest.connect({ hostname: "10.0.2.2", port: server.addr.port });
  (await again).close();
  second.close();
  await guest.close();
  await attached.ended;
  assertEquals(seen, []);
  assertEquals([attached.totals().flows, attached.totals().bytesFromGuest, gateway.totals().flows], [2, 5, 2]);
});
