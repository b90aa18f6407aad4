import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Gateway } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";
import { WrappedLink } from "../net/link/wrapped.ts";
import { EventLoop } from "../net/linux/event_loop.ts";
import { requires } from "./support/requirements.ts";
import { ScriptHost } from "./support/script_host.ts";

const ffi = requires("linux", "ffi");

/** The signal of `controller`, which counts who listens to it. */
function watched(controller: AbortController): { signal: AbortSignal; listeners: () => number } {
  const { signal } = controller, listening = new Set<unknown>();
  const add = signal.addEventListener, remove = signal.removeEventListener;
  signal.addEventListener = (type: string, listener: EventListenerOrEventListenerObject, options?: unknown) => {
    listening.add(listener);
    add.call(signal, type, listener, options as AddEventListenerOptions);
  };
  signal.removeEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    listening.delete(listener);
    remove.call(signal, type, listener);
  };
  return { signal, listeners: () => listening.size };
}

Deno.test({
  name: `Gateway.start gives the shared event loop back when it throws${ffi.reason}`,
  ignore: ffi.ignore,
  fn: async () => {
    const own = EventLoop.shared();
    await assertRejects(() => Gateway.start({ host: "ffi", maxNewFlows: 0 }), RangeError);
    await assertRejects(() => Gateway.start({ host: "ffi", forwards: ["tcp:nonsense"] }), TypeError);
    await own[Symbol.asyncDispose]();
    // If a user of the shared loop were left, it would still run, and another one could not be started.
    await using another = new EventLoop();
    another.start();
  },
});

Deno.test("Gateway that is closed has taken its listener off the signal, and a later abort changes nothing", async () => {
  const controller = new AbortController(), { signal, listeners } = watched(controller);
  const gateway = await Gateway.start({ host: "deno", dns: "none", signal });
  assertEquals(listeners(), 1);
  await gateway[Symbol.asyncDispose]();
  assertEquals(listeners(), 0);
  controller.abort();
  await gateway[Symbol.asyncDispose]();
});

Deno.test("Gateway.start that throws leaves no listener on the signal", async () => {
  const { signal, listeners } = watched(new AbortController());
  await assertRejects(() => Gateway.start({ host: "deno", signal, maxNewFlows: 0 }), RangeError);
  await assertRejects(() => Gateway.start({ host: "deno", signal, forwards: ["tcp:nonsense"] }), TypeError);
  assertEquals(listeners(), 0);
});

Deno.test("Gateway ends when its signal is aborted, and its ports and its host with it", async () => {
  const controller = new AbortController(), host = new ScriptHost();
  const options = { host, dns: "none", signal: controller.signal, forwards: ["tcp:8080:80"] };
  const gateway = await Gateway.start(options);
  assertEquals(host.listeners.map(({ closed }) => closed), [false]);
  controller.abort();
  await gateway[Symbol.asyncDispose]();
  assertEquals([host.disposed, host.listeners.map(({ closed }) => closed)], [true, [true]]);
});

Deno.test("Gateway.start that is aborted while it binds its ports throws the reason and takes them back", async () => {
  const controller = new AbortController(), { signal, listeners } = watched(controller), host = new ScriptHost();
  const starting = Gateway.start({ host, dns: "none", signal, forwards: ["tcp:8080:80"] });
  controller.abort(new RangeError("Changed my mind"));
  await assertRejects(() => starting, RangeError, "Changed my mind");
  assertEquals([listeners(), host.listeners.map(({ closed }) => closed)], [0, [true]]);
  await host[Symbol.asyncDispose]();
});

Deno.test("Gateway.start that throws leaves the caller's host open and takes its ports back", async () => {
  const host = new ScriptHost();
  // It cannot be started again.
  host.start(() => Infinity);
  await assertRejects(() => Gateway.start({ host, dns: "none", forwards: ["tcp:8080:80"] }), Error, "started before");
  await assertRejects(() => Gateway.start({ host, maxNewFlows: 0 }), RangeError);
  assertEquals([host.disposed, host.listeners.map(({ closed }) => closed)], [false, [true]]);
  await host[Symbol.asyncDispose]();
});

Deno.test("Gateway.attach that throws leaves no guest, and the link is still its owner's", async () => {
  const lines: string[] = [], log = (line: string) => void lines.push(line);
  const logger = { debug: log, info: log, warn: log, error: log };
  const gateway = await Gateway.start({ host: "deno", dns: "none", forwards: ["tcp:0:80"], logger });
  const [link] = memoryLinkPair();
  link.start({ receive() {}, flush() {}, closed() {} });
  let closes = 0;
  const counting = new class extends WrappedLink {
    override close(): Promise<void> {
      closes++;
      return super.close();
    }
  }(link);
  assertThrows(() => gateway.attach(counting), Error, "it is started already");
  assertEquals(lines, []);
  // A client of the forward finds nobody.
  const client = await Deno.connect({ hostname: "127.0.0.1", port: gateway.forwards.list()[0]!.hostPort });
  await client.read(new Uint8Array(1)).catch(() => {});
  client.close();
  assertEquals(gateway.counters().forwardNoGuest, 1);
  assert(lines[0]!.includes("there is no guest for it"), lines[0]);
  await gateway[Symbol.asyncDispose]();
  assertEquals(closes, 0);
  await link.close();
});
