/**
 * The Worker of `hawser run`: the gateway, in a thread that does nothing else.
 *
 * With FFI sockets the thread blocks in `EventLoop.runBlocking`, which returns when the main thread has posted a message and
 * woken the loop; then this gives way until the message is here, answers it, and blocks again. With Deno's sockets it is an
 * ordinary program of promises, and only the TAP is in the event loop.
 *
 * @module
 */
import { delay } from "@std/async";
import { DenoHost } from "../forward/deno_host.ts";
import { LinuxHost } from "../forward/linux_host.ts";
import { Gateway } from "../mod.ts";
import type { FlowInfo } from "../nat/flow.ts";
import type { HostNetwork } from "../nat/host.ts";
import { tapLink } from "../net/link/tap.ts";
import { EventLoop } from "../net/linux/event_loop.ts";
import { pidfdGetFd } from "../net/linux/pidfd.ts";
import { formatReport } from "./flow_report.ts";
import { gatewayOptions, reportForwards } from "./gateway_settings.ts";
import { LinkWrapper } from "./link_settings.ts";
import { stderrLogger } from "./log.ts";
import type { FromWorker, StartMessage, ToWorker } from "./run_messages.ts";

/** How long a guest's last bytes may take to reach the host after COMMAND has ended. */
const DRAIN_MS = 1000;
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

async function serve({ pid, fd, options }: StartMessage): Promise<void> {
  await using loop = new EventLoop();
  const blocking = options.host === "ffi";
  if (!blocking) loop.start();
  const host: HostNetwork = blocking ? new LinuxHost(loop) : new DenoHost();
  const { mtu, offload, logLevel } = options;
  using wrapper = new LinkWrapper(options, { clock: loop, logger: stderrLogger(logLevel) });
  // The capture is open, and nothing else is ever written.
  Deno.permissions.revokeSync({ name: "write" });
  await using link = wrapper.wrap(tapLink({ loop, fd: pidfdGetFd(pid, fd), name: "eth0", mtu, offload }));
  await using gateway = await Gateway.start(gatewayOptions(options, host));
  await using _guest = gateway.attach(link);
  reportForwards(gateway);
  scope.postMessage({ kind: "started", wakeFd: blocking ? loop.wakeFd : undefined });
  for (;;) {
    if (blocking) loop.runBlocking();
    const message = await nextMessage();
    if (message.kind === "stop") break;
    if (message.kind === "flows") scope.postMessage({ kind: "flows", text: formatReport(gateway) });
  }
  // A client that comes now would find nobody.
  await gateway.forwards.close();
  const end = performance.now() + DRAIN_MS;
  while (gateway.flows().some(isUnderWay) && performance.now() < end) {
    if (blocking) loop.runBlocking(loop.now() + DRAIN_STEP_MS);
    else await delay(DRAIN_STEP_MS);
  }
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
      return false;
  }
}

try {
  const message = await nextMessage();
  if (message.kind === "start") await serve(message);
  scope.postMessage({ kind: "stopped" });
} catch (error) {
  scope.postMessage({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
}
