import { assertRejects } from "@std/assert";
import { listenStream } from "../../forward/stream_ports.ts";

Deno.test("listenStream on a TCP port gives the real one, and says where it could not listen", async () => {
  const listener = await listenStream({ transport: "tcp", hostname: "127.0.0.1", port: 0 });
  const { endpoint } = listener;
  await assertRejects(() => listenStream(endpoint), Deno.errors.AddrInUse, "Cannot listen on 127.0.0.1:");
  listener.close();
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
  await assertRejects(
    () => listenStream({ transport: "tcp", hostname: "127.0.0.1", port: 70000 }),
    Error,
    "Cannot listen on 127.0.0.1:70000: ",
  );
});
