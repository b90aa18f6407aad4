/**
 * `hawser serve`: a gateway for guests from outside, from start to end.
 *
 * The gateway runs in the Worker that `run` has too: there it may block in its event loop, and this thread stays free
 * for signals and the terminal. INT, TERM, HUP and the end of `--exit-fd` end it in an orderly way: no guest is taken
 * any more, what one side has sent and finished reaches the other (`last_bytes.ts`), sockets and paths are freed. A
 * second signal ends it at once. PWR prints the flow table.
 *
 * @module
 */
import type { GatewayWorker } from "./gateway_worker.ts";
import type { GuestSource } from "./guest_source.ts";
import { harden } from "./hardening.ts";
import { tellReady, whenClosed } from "./inherited_fds.ts";
import { type LinkSpec, OFFLOAD_SUFFIX } from "./link_spec.ts";
import { stderrLogger, writeStderr } from "./log.ts";
import { openTunIn } from "./netns_tun.ts";
import { keepOnly, neededByGateway } from "./permissions.ts";
import type { ServeOptions } from "./serve_options.ts";
import { REPORT } from "./signals.ts";

const TAP_MTU = 65520;
const ETHERNET_MTU = 1500;
const isWindows = Deno.build.os === "windows";
const ENDING: readonly Deno.Signal[] = isWindows ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Serves guests until it is told to end. Resolves to the exit code; throws an `Error` where it cannot begin or go on.
 */
export async function serve(worker: GatewayWorker, options: ServeOptions): Promise<number> {
  const logger = stderrLogger(options.logLevel);
  const failed = worker.failed.then((message) => {
    throw new Error(message);
  });
  const exit = options.exitFd === undefined ? new Promise<never>(() => {}) : whenClosed(options.exitFd);
  const [told, release] = takeSignals(() => void worker.flows().then(writeStderr));
  try {
    const sources: GuestSource[] = [];
    for (const link of options.links) sources.push(await sourceOf(link, options));
    const start = { kind: "start", sources, needsTap: true, settings: options } as const;
    const { addresses } = await Promise.race([worker.start(start), failed]);
    harden(logger, []);
    keepOnly(neededByGateway(options, sources), logger);
    for (const address of addresses.map((address, i) => asWritten(address, options.links[i]!))) {
      writeStderr(`listening on ${address}\n`);
    }
    if (options.readyFd !== undefined) await tellReady(options.readyFd);
    const why = await Promise.race([told, exit.then(() => "--exit-fd was closed"), failed]);
    logger.info(`ending, ${why}`);
    await Promise.race([worker.stop({ guestsHaveEnded: false }), failed]);
    return 0;
  } finally {
    release();
  }
}

/** Resolves when a signal asks for the end. `report` is called for each signal that asks for the flow table. */
function takeSignals(report: () => void): [Promise<string>, () => void] {
  for (const signal of REPORT) Deno.addSignalListener(signal, report);
  const told = Promise.withResolvers<string>();
  const listeners = new Map<Deno.Signal, () => void>();
  const release = () => {
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
    listeners.clear();
  };
  for (const signal of ENDING) {
    listeners.set(signal, () => {
      // The next one finds no listener, and does what it does to any program.
      release();
      told.resolve(`${signal} came`);
    });
  }
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  return [told.promise, release];
}

async function sourceOf(link: LinkSpec, options: ServeOptions): Promise<GuestSource> {
  const { offload, wsToken, wsOrigins } = options, mtu = options.mtu ?? ETHERNET_MTU;
  switch (link.kind) {
    case "tap": {
      const fd = await openTunIn(link.netns);
      return { kind: "tap", name: link.name, tun: { fd }, mtu: options.mtu ?? TAP_MTU, offload };
    }
    case "ws":
      return { ...link, kind: "ws", mtu, origins: wsOrigins, ...(wsToken === undefined ? {} : { token: wsToken }) };
    case "tcp":
      return { ...link, kind: "tcp", mtu };
    default:
      // Without --no-offload a guest on datagrams may show what it is.
      return {
        kind: link.kind,
        path: link.path,
        mtu,
        ...(link.offload || !offload ? { offload: link.offload === true } : {}),
      };
  }
}

/** The address of a link with what the user wrote behind it: the namespace of a TAP, that a path's guests offload. */
function asWritten(address: string, link: LinkSpec): string {
  if ("offload" in link) return address + OFFLOAD_SUFFIX;
  if (link.kind !== "tap" || link.netns === undefined) return address;
  return `${address}@${"pid" in link.netns ? `pid:${link.netns.pid}` : link.netns.path}`;
}
