/**
 * The Worker of `hawser run` and `hawser serve`: the gateway, in a thread that does nothing else.
 *
 * With FFI sockets the thread blocks in `EventLoop.runBlocking`, which returns when the main thread has posted a message and
 * woken the loop; then this gives way until the message is here, answers it, and blocks again. With Deno's sockets it is an
 * ordinary program of promises, and only TAPs and the like are in the event loop. So it is, with FFI sockets beside the promises,
 * where guests come by WebSocket.
 *
 * @module
 */
import { delay } from "@std/async";
import { DenoHost } from "../forward/deno_host.ts";
import { LinuxHost } from "../forward/linux_host.ts";
import { Gateway } from "../mod.ts";
import type { FlowInfo } from "../nat/flow/flow.ts";
import type { HostNetwork } from "../nat/host.ts";
import { SYSTEM_CLOCK } from "../net/link/clock.ts";
import { EventLoop } from "../net/linux/event_loop.ts";
import { reportOf } from "./flow_report.ts";
import { gatewayOptions, reportForwards } from "./gateway_settings.ts";
import { type GuestSource, openSource, wantsLoop } from "./guest_source.ts";
import { dropAllBut } from "./hardening.ts";
import { LinkWrapper } from "./link_settings.ts";
import { stderrLogger } from "./log.ts";
import type { FromWorker, StartMessage, StopMessage, ToWorker } from "./run_messages.ts";

/** How long the gateway, told to end, waits for hosts that take nothing of a guest's last bytes. */
const DRAIN_IDLE_MS = 10_000;
const DRAIN_STEP_MS = 5;

/** The Worker's side of the channel, which the libraries of the main thread do not describe. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}
const scope = self as unknown as WorkerScope;

const messages: ToWorker[] = [];
let messageCame: () => void = () => {};
scope.onmessage = (event) => {
  messages.push(event.data);
  messageCame();
};

async function nextMessage(): Promise<ToWorker> {
  while (messages.length === 0) await new Promise<void>((resolve) => messageCame = resolve);
  return messages.shift()!;
}

async function serve({ sources, settings }: StartMessage): Promise<void> {
  await using resources = new AsyncDisposableStack();
  const isFfi = settings.host === "ffi";
  const loop = isFfi || wantsAnyLoop(sources) ? resources.use(new EventLoop()) : undefined;
  if (!isFfi) loop?.start();
  const host: HostNetwork = isFfi ? new LinuxHost(loop!) : new DenoHost();
  const logger = stderrLogger(settings.logLevel);
  const wrapper = resources.use(new LinkWrapper(settings, { clock: loop ?? SYSTEM_CLOCK, logger }));
  const gateway = resources.use(await Gateway.start(gatewayOptions(settings, host)));
  const opened = [];
  for (const source of sources) {
    opened.push(resources.use(
      await openSource(source, {
        loop,
        socketLoop: isFfi ? loop : undefined,
        attach: (link) => gateway.attach(wrapper.wrap(link)),
        refused: (message, isExhausted) => gateway.refused(message, isExhausted),
      }),
    ));
  }
  dropAllBut(logger, ["netAdmin", "netRaw", "netBindService", "dacOverride"]);
  reportForwards(gateway);
  const addresses = opened.map(({ address }) => address);
  scope.postMessage({ kind: "started", wakeFd: isFfi ? loop!.wakeFd : undefined, addresses });
  let stop: StopMessage;
  for (;;) {
    if (isFfi) loop!.runBlocking();
    const message = await nextMessage();
    if (message.kind === "stop") {
      stop = message;
      break;
    }
    if (message.kind === "flows") scope.postMessage({ kind: "flows", report: reportOf(gateway) });
  }
  // A client that comes now would find nobody.
  await gateway.forwards.close();
  const isAwaited = stop.guestsHaveEnded ? isUnderWay : isDraining;
  let passed = -1, movedAt = performance.now();
  while (performance.now() - movedAt < DRAIN_IDLE_MS) {
    const awaited = gateway.flows().filter(isAwaited);
    if (awaited.length === 0) break;
    const bytes = awaited.reduce((sum, flow) => sum + flow.bytesFromGuest + flow.bytesToHost, 0);
    if (bytes !== passed) movedAt = performance.now();
    passed = bytes;
    if (isFfi) loop!.runBlocking(loop!.now() + DRAIN_STEP_MS);
    else await delay(DRAIN_STEP_MS);
  }
}

/** Whether the guest's side of a flow is over, and the host has not taken everything. */
function isDraining(flow: FlowInfo): boolean {
  return flow.state === "draining";
}

/** A loop of Linux serves these even where the gateway's own sockets are Deno's, if it can be had. */
function wantsAnyLoop(sources: readonly GuestSource[]): boolean {
  const canHaveOne = Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted";
  return sources.some((source) => source.kind === "tap" || (canHaveOne && wantsLoop(source)));
}

/**
 * Whether bytes of a guest that has ended may still be on their way to the host: its kernel has not sent FIN yet, or the
 * host has not taken everything.
 */
function isUnderWay(flow: FlowInfo): boolean {
  switch (flow.state) {
    case "ESTABLISHED":
    case "FIN-WAIT-1":
    case "FIN-WAIT-2":
    case "draining":
      return true;
    default:
      return flow.bytesToHost < flow.bytesFromGuest;
  }
}

try {
  const message = await nextMessage();
  if (message.kind === "start") await serve(message);
  scope.postMessage({ kind: "stopped" });
} catch (error) {
  scope.postMessage({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
}
