/**
 * `hawser run`: a command in a network namespace behind a gateway, from start to end.
 *
 * The gateway's modules load while the namespace is created. When both are there the gateway takes the TAP and serves
 * it; only then is the namespace configured and COMMAND started. From then on Hawser lets COMMAND be: it has the
 * terminal to itself, signals that concern it are passed on, and when it has ended, what it left is ended too. Whatever
 * happens to Hawser, the watcher of `namespace_script.ts` sees to that.
 *
 * @module
 */
import { deadline } from "@std/async";
import { claimAudit } from "./audit_settings.ts";
import { gatewayRules, wantsDoor } from "./gateway_settings.ts";
import type { GatewayRunner } from "./gateway_runner.ts";
import { harden, NEEDED_BY_GATEWAY } from "./hardening.ts";
import type { Segment } from "../nat/rules/segment.ts";
import { stderrLogger, writeStderr } from "./log.ts";
import { prepareSockets } from "../net/linux/libc.ts";
import { readCommand, refusalOf } from "./command.ts";
import { Isolation } from "./isolate.ts";
import { IsolationError } from "./isolate_view.ts";
import type { AgentDoor } from "./loopback_door.ts";
import { Namespace, NamespaceError } from "./namespace.ts";
import type { ListeningSockets } from "../net/linux/listening_sockets.ts";
import type { RunOptions } from "./options.ts";
import { keepOnly, neededByGateway } from "./permissions.ts";
import { hideOwnFiles } from "./own_files.ts";
import { routerOf } from "./tap_script.ts";
import { exitCodeOf, IGNORED, PASSED_ON, REPORT, signalsHeard } from "./signals.ts";

/** Exit code when Hawser itself failed. */
export const HAWSER_FAILED = 125;
/** How long the agent may take to pass on what the command said last. */
const LAST_WORDS_MS = 1000;

/**
 * Runs `command` behind a gateway. Once that serves, `serving` is told how to look at its flows. Resolves to the exit
 * code.
 */
export async function run(
  { options, command: words }: { options: RunOptions; command: readonly string[] },
  serving: (flows: () => string) => void = () => {},
): Promise<number> {
  const command = readCommand(words), refusal = refusalOf(command);
  if (refusal !== undefined) return fail(refusal.message, refusal.code);
  const rules = gatewayRules(options.gateway), { ipv4, ipv6 } = rules;
  const hasDns = options.gateway.dns !== "none", logger = stderrLogger(options.logLevel);
  let namespace: Namespace, runner: GatewayRunner;
  try {
    claimAudit(options);
    const opening = Namespace.open({
      ipv4: ipv4 === null ? undefined : { address: addressOf(ipv4), gateway: routerOf(ipv4) },
      ipv6: ipv6 === null ? undefined : addressOf(ipv6),
      mtu: options.mtu,
      resolver: hasDns ? `${(ipv4 ?? ipv6)!.dns}` : undefined,
      command,
      isolation: options.isolate ? new Isolation(command, hideOwnFiles(options)) : undefined,
    });
    // The gateway's modules load while other processes make the namespace.
    const [{ GatewayRunner }, opened] = await Promise.all([import("./gateway_runner.ts"), opening]);
    runner = new GatewayRunner();
    namespace = opened;
  } catch (error) {
    return fail(lowerCased(error instanceof Error ? error.message : String(error)));
  }
  const release = takeSignals(namespace, runner);
  const failed = runner.failed.then((message) => ({ message }));
  await using following = new AsyncDisposableStack();
  let door: AgentDoor | undefined;
  try {
    const { mtu, offload, outward } = options, { tun } = namespace;
    const sources = [{ kind: "tap", name: "eth0", tun, mtu, offload } as const];
    const started = runner.start({ sources, needsTap: false, settings: options }).catch(({ message }) => ({ message }));
    const looking = lookInto(namespace, options);
    looking.catch(() => {});
    if (wantsDoor(options)) {
      door = (await import("./loopback_line.ts")).openDoor(namespace.wayIn, rules, logger);
      if (outward !== undefined) door.start();
    }
    // A signal may come before COMMAND is there: that is no failure.
    const early = await Promise.race([started, namespace.ended.then(exitCodeOf)]);
    if (typeof early === "number") return early;
    if ("message" in early) return fail(`cannot start the gateway: ${lowerCased(early.message)}`);
    serving(() => runner.flows());
    const gateway = runner.gateway!;
    if (door !== undefined && options.leadsLoopback) gateway.forwards.leadLoopback(door);
    // COMMAND might stop who looks, so that is over before it begins.
    const sockets = await looking;
    const proceeding = namespace.proceed(early, async () => {
      if (door === undefined || outward === undefined) return;
      const { leadOutward } = await import("./lead_outward.ts");
      following.use(await leadOutward({ door, segments: rules, gateway, logger }, outward));
    });
    // Other processes are at work, and the command's first flow does not wait for this.
    if (options.host === "ffi") prepareSockets();
    await proceeding;
    if (sockets !== undefined) {
      const { followListening } = await import("./follow_listening.ts");
      const { forwards } = gateway, { autoPorts: ports } = options;
      following.use(followListening({ forwards, sockets, ports, door, logger, tellsForwards: true }));
    }
    // COMMAND has just been started: nothing of this reaches it.
    harden(logger, ["kill", ...NEEDED_BY_GATEWAY]);
    keepOnly(neededByGateway(options, sources), logger);
    if (namespace.unresolved && hasDns) {
      logger.warn("names will not resolve: there is no /etc/resolv.conf to replace");
    }
    if (namespace.lacksIpv6) logger.info("the kernel has no IPv6 here: the command has IPv4 alone");
    if (namespace.strayed) {
      logger.warn("the command may not enter the working directory and starts in /");
    }
    const ending = await Promise.race([namespace.ended, failed]);
    if ("message" in ending) return fail(`the gateway failed and the command was ended: ${ending.message}`);
    return exitCodeOf(ending);
  } catch (error) {
    if (error instanceof NamespaceError || error instanceof IsolationError) return fail(error.message);
    throw error;
  } finally {
    // What ended COMMAND may have been sent to Hawser too, and would end it without a listener.
    await signalsHeard();
    // Who will not wait any more ends Hawser by INT or TERM; the holder needs nobody.
    release();
    if (door !== undefined) await finished(door);
    if (!await namespace.close()) {
      logger.warn("what the command left in its namespace has not ended yet");
    }
    // Its network and its kernel's half of each connection live as long as the TAP is open.
    await following.disposeAsync();
    await Promise.race([runner.stop({ guestsHaveEnded: true }), failed]);
  }
}

/** Who tells what listens in the namespace, if ports are to follow that. Rejects with a `NamespaceError`. */
async function lookInto({ wayIn }: Namespace, { autoPorts }: RunOptions): Promise<ListeningSockets | undefined> {
  if (autoPorts.length === 0) return undefined;
  const { openListeningPlace } = await import("./listening_place.ts");
  return await openListeningPlace(wayIn, autoPorts).catch(({ message }) => {
    throw new NamespaceError(message);
  });
}

/** Ends a door when what the command said on loopback is passed on, which others that go on there may hinder. */
async function finished(door: AgentDoor): Promise<void> {
  await deadline(door.finish(), LAST_WORDS_MS).catch(() => {});
  door[Symbol.dispose]();
}

/** The address of the guest with the prefix of its network. */
function addressOf({ guest, subnet }: Segment): string {
  return `${guest}/${subnet.prefix}`;
}

function lowerCased(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Passes on, ignores or answers signals. The function that is returned lets those that mean it end Hawser again. */
function takeSignals(namespace: Namespace, runner: GatewayRunner): () => void {
  for (const signal of REPORT) Deno.addSignalListener(signal, () => writeStderr(runner.flows()));
  const listeners = [
    ...PASSED_ON.map((signal): [Deno.Signal, () => void] => [signal, () => namespace.kill(signal)]),
    ...IGNORED.map((signal): [Deno.Signal, () => void] => [signal, () => namespace.interrupt(signal)]),
  ];
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) {
      // Without a listener Deno would end itself at USR2 too.
      if (signal !== "SIGUSR2") Deno.removeSignalListener(signal, listener);
    }
  };
}

function fail(message: string, code: number = HAWSER_FAILED): number {
  writeStderr(`hawser run: ${message}\n`);
  return code;
}
