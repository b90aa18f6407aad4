/**
 * The Worker of `hawser run` and `hawser serve`: the gateway, in a thread that does nothing else.
 *
 * With FFI sockets the thread blocks in `EventLoop.runBlocking`, which returns when the main thread has posted a
 * message and woken the loop; then this gives way until the message is here, answers it, and blocks again. With Deno's
 * sockets it is an ordinary program of promises, and only TAPs and the like are in the event loop. So it is, with FFI
 * sockets beside the promises, where guests come by WebSocket.
 *
 * @module
 */
import { delay } from "@std/async";
import { DenoHost } from "../host/deno_host.ts";
import { LinuxHost } from "../host/linux_host.ts";
import { Gateway } from "../mod.ts";
import type { HostNetwork } from "../nat/host.ts";
import { SYSTEM_CLOCK } from "../net/link/clock.ts";
import type { Link } from "../net/link/link.ts";
import { EventLoop } from "../net/linux/event_loop.ts";
import { LinuxIpv6Routes } from "../net/linux/ipv6_routes.ts";
import { reportOf } from "./flow_report.ts";
import { gatewayOptions, reportForwards } from "./gateway_settings.ts";
import { type GuestSource, openSource, wantsLoop } from "./guest_source.ts";
import { dropAllBut } from "./hardening.ts";
import { LastBytes } from "./last_bytes.ts";
import { LinkWrapper } from "./link_settings.ts";
import { stderrLogger } from "./log.ts";
import type { FromWorker, StartMessage, StopMessage, ToWorker } from "./run_messages.ts";

/** How often it is looked whether what guests have sent has arrived. */
const LOOK_MS = 5;

/** The Worker's side of the channel, which the libraries of the main thread do not describe. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}
const scope = self as unknown as WorkerScope;

const messages: (ToWorker | { readonly kind: "tapsEnded" })[] = [];
let messageCame: () => void = () => {};
scope.onmessage = (event) => {
  messages.push(event.data);
  messageCame();
};

async function nextMessage(): Promise<typeof messages[number]> {
  while (messages.length === 0) await new Promise<void>((resolve) => messageCame = resolve);
  return messages.shift()!;
}

async function serve({ sources, needsTap, outbound = [], isConfined = false, settings }: StartMessage): Promise<void> {
  await using resources = new AsyncDisposableStack();
  const isFfi = settings.host === "ffi";
  const loop = isFfi || wantsAnyLoop(sources) ? resources.use(new EventLoop()) : undefined;
  if (!isFfi) loop?.start();
  const host: HostNetwork = isFfi
    ? new LinuxHost(loop!, { outbound })
    : denoHost(loop && resources.use(new LinuxIpv6Routes(loop)));
  const logger = stderrLogger(settings.logLevel);
  const wrapper = resources.use(new LinkWrapper(settings, { clock: loop ?? SYSTEM_CLOCK, logger }));
  const gateway = resources.use(await Gateway.start(gatewayOptions(settings, host)));
  const opened = [], links = new Set<Link>();
  const attach = (link: Link): void => {
    const guest = gateway.attach(link);
    links.add(link);
    void guest.ended.then(() => links.delete(link));
  };
  const taps = new Set(sources);
  const tapEnded = (source: GuestSource) => {
    taps.delete(source);
    if (!needsTap || taps.size > 0) return;
    messages.push({ kind: "tapsEnded" });
    messageCame();
    loop!.wake();
  };
  for (const source of sources) {
    opened.push(resources.use(
      await openSource(source, {
        loop,
        socketLoop: isFfi ? loop : undefined,
        attach: (link) => attach(wrapper.wrap(link)),
        tapEnded,
        refused: (message, isExhausted) => gateway.refused(message, isExhausted),
      }),
    ));
  }
  dropAllBut(logger, isConfined ? ["netBindService"] : ["netAdmin", "netRaw", "netBindService", "dacOverride"]);
  reportForwards(gateway);
  const addresses = opened.map(({ address }) => address), { ipv6Route } = gateway;
  scope.postMessage({ kind: "started", wakeFd: isFfi ? loop!.wakeFd : undefined, addresses, ipv6Route });
  let stop: StopMessage;
  for (;;) {
    if (isFfi) loop!.runBlocking();
    const message = await nextMessage();
    if (message.kind === "stop") {
      stop = message;
      break;
    }
    if (message.kind === "tapsEnded") {
      throw new Error("Cannot go on: the last TAP is gone, and no other link is listened on");
    }
    if (message.kind === "flows") scope.postMessage({ kind: "flows", report: reportOf(gateway) });
  }
  // A client that comes now would find nobody.
  await gateway.forwards.close();
  const last = new LastBytes({
    flows: () => gateway.flows(),
    frames: () => [...links].reduce((sum, { underWay = 0 }) => sum + underWay, 0),
    unwritten: () => host.unwritten ?? 0,
    now: () => host.now(),
    warn: (line) => logger.warn(line),
  }, stop);
  while (!last.isOver()) {
    if (isFfi) loop!.runBlocking(loop!.now() + LOOK_MS);
    else await delay(LOOK_MS);
  }
}

/** Deno's sockets, with the routes that Deno cannot read if there are some. */
function denoHost(routes: LinuxIpv6Routes | undefined): HostNetwork {
  const host = new DenoHost();
  if (routes === undefined) return host;
  const changed = (listener: () => void) =>
    routes.changed(() => {
      listener();
      host.wake();
    });
  return Object.assign(host, { ipv6Routes: { has: () => routes.has(), changed } });
}

/** A loop of Linux serves these even where the gateway's own sockets are Deno's, if it can be had. */
function wantsAnyLoop(sources: readonly GuestSource[]): boolean {
  const canHaveOne = Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted";
  return sources.some((source) => source.kind === "tap" || (canHaveOne && wantsLoop(source)));
}

try {
  const message = await nextMessage();
  if (message.kind === "start") await serve(message);
  scope.postMessage({ kind: "stopped" });
} catch (error) {
  scope.postMessage({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
}
