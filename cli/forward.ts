/**
 * `hawser forward`: a forwarder on the host alone, until it is told to end.
 *
 * The first SIGINT or SIGTERM ends accepting and gives live connections `GRACE_MS`; the second one cuts them. It needs
 * neither FFI nor a program.
 *
 * @module
 */
import { Forwarder } from "../forward/forwarder.ts";
import { formatStreamEndpoint } from "../forward/stream_endpoint.ts";
import { harden } from "./hardening.ts";
import { stderrLogger, writeStderr } from "./log.ts";
import type { ForwardLine } from "./options.ts";
import { keepOnly } from "./permissions.ts";

/** How long live connections may go on after the first signal, in milliseconds. */
export const GRACE_MS = 5000;
// Windows has no SIGTERM to listen for.
const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];

/** Forwards until a signal. Resolves to the exit code; rejects where it cannot listen. */
export async function forward({ listen, target, options }: ForwardLine): Promise<number> {
  const logger = stderrLogger(options.logLevel);
  const forwarder = await Forwarder.start(listen, target, {
    logger,
    ...(options.maxConnections !== undefined && { maxConnections: options.maxConnections }),
    ...(options.idleTimeoutS !== undefined && { idleTimeoutMs: options.idleTimeoutS * 1000 }),
  });
  // Bound by now; the path of a socket that it made it will remove.
  harden(logger, ["dacOverride"]);
  const usesPaths = listen.transport === "unix" || target.transport === "unix";
  keepOnly(["net", ...(usesPaths ? ["read", "write"] as const : [])], logger);
  const signals = takeSignals();
  writeStderr(`listening on ${formatStreamEndpoint(forwarder.endpoint)}\n`);
  await signals.first;
  const stopping = forwarder.stop(GRACE_MS);
  if (forwarder.connections > 0) {
    logger.info(`Stopping: ${forwarder.connections} connections may go on for ${GRACE_MS / 1000} s`);
  }
  void signals.second.then(() => forwarder.stop(0));
  await stopping;
  signals.release();
  return 0;
}

/** Promises of the first two signals that ask for the end. */
function takeSignals(): { first: Promise<void>; second: Promise<void>; release: () => void } {
  const first = Promise.withResolvers<void>(), second = Promise.withResolvers<void>();
  let came = 0;
  const listener = () => (came++ === 0 ? first : second).resolve();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, listener);
  return {
    first: first.promise,
    second: second.promise,
    release() {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, listener);
    },
  };
}
