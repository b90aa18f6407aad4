/**
 * `hawser serve`: a gateway for guests from outside, from start to end.
 *
 * INT, TERM, HUP and the end of `--exit-fd` end it in an orderly way: no guest is taken
 * any more, what one side has sent and finished reaches the other (`last_bytes.ts`), sockets and paths are freed. A
 * second signal ends it at once. PWR prints the flow table.
 *
 * The order of beginning: a TAP's file is opened in its namespace, the gateway serves the TAP, the TAP is configured,
 * what a `Personality` adds is there, the process gives up what it needs no more, and then it says that it is ready.
 * A program that stands in for another one is `serve` with a `Personality`.
 *
 * @module
 */
import { claimAudit } from "./audit_settings.ts";
import { GatewayRunner } from "./gateway_runner.ts";
import type { GuestSource } from "./guest_source.ts";
import { gatewayRules, wantsDoor } from "./gateway_settings.ts";
import { harden, NEEDED_BY_GATEWAY } from "./hardening.ts";
import { checkExit, checkReady, tellReady, whenClosed } from "./inherited_fds.ts";
import { type LinkSpec, OFFLOAD_SUFFIX } from "./link_spec.ts";
import { prepareSockets } from "../net/linux/libc.ts";
import type { Logger } from "../nat/base/logger.ts";
import { stderrLogger, writeStderr } from "./log.ts";
import { type NamespaceTun, openTunIn, openWayInto } from "./netns_tun.ts";
import { keepOnly, neededByGateway } from "./permissions.ts";
import type { ServeOptions } from "./serve_options.ts";
import { REPORT } from "./signals.ts";
import { routerOf, type TapConfiguration } from "./tap_script.ts";

const TAP_MTU = 65520;
const ETHERNET_MTU = 1500;
/** What a command does otherwise than `hawser serve`. */
export interface Personality {
  /** How a TAP is configured. */
  readonly tap?: Omit<TapConfiguration, "name"> | undefined;
  /** Whether Hawser keeps no capability but that for low ports. */
  readonly isConfined?: boolean;
  /** What nothing is said of: links, or forwards too. */
  readonly quiet?: "links" | "links and forwards";
  /** Called when the gateway serves and nothing has been given up yet. */
  begin?(gateway: GatewayRunner): Promise<Begun>;
  /** Called when everything is ready. */
  ready?(): void;
}

/** What a command has begun beside the gateway. */
export interface Begun {
  /** Closed at the end. */
  readonly end: AsyncDisposable;
  /** Resolves to a sentence if it is over; never if it is `undefined`. */
  readonly gone?: Promise<string> | undefined;
}

const isWindows = Deno.build.os === "windows";
const ENDING: readonly Deno.Signal[] = isWindows ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Serves guests until it is told to end. Resolves to the exit code; throws an `Error` where it cannot begin or go on.
 */
export async function serve(options: ServeOptions, personality: Personality = {}): Promise<number> {
  const logger = stderrLogger(options.logLevel);
  claimAudit(options);
  const runner = new GatewayRunner();
  const failed = runner.failed.then((message) => {
    throw new Error(message);
  });
  if (options.readyFd !== undefined) checkReady(options.readyFd);
  if (options.exitFd !== undefined) checkExit(options.exitFd);
  const exit = options.exitFd === undefined ? new Promise<never>(() => {}) : whenClosed(options.exitFd);
  // It is raced with below; until then nobody hears of a failure.
  exit.catch(() => {});
  const [told, release] = takeSignals(() => writeStderr(runner.flows()));
  await using more = new AsyncDisposableStack(), following = new AsyncDisposableStack();
  try {
    const sources: GuestSource[] = [], taps: NamespaceTun[] = [];
    more.defer(async () => void await Promise.all(taps.map((tap) => tap.release())));
    for (const link of options.links) sources.push(await sourceOf(link, options, { taps, personality }));
    const { outbound } = options, tellsForwards = personality.quiet !== "links and forwards";
    const { addresses } = await runner.start({ sources, needsTap: true, outbound, settings: options, tellsForwards });
    for (const tap of taps) await tap.configure();
    following.use(await follow(runner, options, { logger, tellsForwards, more }));
    const { end, gone = new Promise<never>(() => {}) } = await personality.begin?.(runner) ?? {};
    more.use(end);
    if (options.pidFile !== undefined) writePid(options.pidFile);
    harden(logger, personality.isConfined ? ["netBindService"] : NEEDED_BY_GATEWAY);
    keepOnly(neededByGateway(options, sources), logger);
    const shown = personality.quiet !== undefined ? [] : addresses;
    for (const address of shown.map((address, i) => asWritten(address, options.links[i]!))) {
      writeStderr(`listening on ${address}\n`);
    }
    if (options.readyFd !== undefined) await tellReady(options.readyFd);
    personality.ready?.();
    if (options.host === "ffi") prepareSockets();
    const why = await Promise.race([told, exit.then(() => "--exit-fd was closed"), gone, failed]);
    logger.info(`ending, ${why}`);
    await following.disposeAsync();
    await Promise.race([runner.stop({ guestsHaveEnded: false }), failed]);
    return 0;
  } finally {
    release();
  }
}

/**
 * Opens the loopback of the namespace of the only TAP, or has ports follow what listens there, if that was asked for.
 */
async function follow(
  { gateway }: GatewayRunner,
  options: ServeOptions,
  { more, logger, tellsForwards }: {
    readonly logger: Logger;
    readonly tellsForwards: boolean;
    /** What is disposed of when no flow is left. */
    readonly more: AsyncDisposableStack;
  },
): Promise<AsyncDisposable | undefined> {
  const { autoPorts: ports, outward, links: [link] } = options;
  if (!wantsDoor(options) || link?.kind !== "tap" || link.netns === undefined) return undefined;
  const { openDoor } = await import("./loopback_line.ts");
  using way = openWayInto(link.netns);
  const { forwards } = gateway!, segments = gatewayRules(options.gateway);
  const door = more.use(openDoor(way, segments, logger));
  if (options.leadsLoopback) forwards.leadLoopback(door);
  await using following = new AsyncDisposableStack();
  if (outward !== undefined) {
    const { leadOutward } = await import("./lead_outward.ts");
    following.use(await leadOutward({ door, segments, gateway: gateway!, logger }, outward));
  }
  if (ports.length > 0) {
    const [{ openListeningPlace }, { followListening }] = await Promise.all([
      import("./listening_place.ts"),
      import("./follow_listening.ts"),
    ]);
    const sockets = await openListeningPlace(way, ports);
    following.use(followListening({ forwards, sockets, ports, door, logger, tellsForwards }));
  }
  return following.move();
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

function writePid(file: string): void {
  try {
    Deno.writeTextFileSync(file, `${Deno.pid}\n`);
  } catch (error) {
    throw new Error(`cannot write ${file} (--pid): ${error instanceof Error ? error.message : error}`);
  }
}

/** How `hawser serve --configure` has a TAP: the guest's addresses as DHCP gives them. */
function configurationOf(options: ServeOptions, mtu: number): Omit<TapConfiguration, "name"> {
  const { ipv4, ipv6 } = gatewayRules(options.gateway);
  return {
    mtu,
    address6: ipv6 === null ? "off" : `${ipv6.guest}/${ipv6.subnet.prefix}`,
    ...(ipv4 === null ? {} : { address: `${ipv4.guest}/${ipv4.subnet.prefix}`, gateway: routerOf(ipv4) }),
  };
}

async function sourceOf(
  link: LinkSpec,
  options: ServeOptions,
  { taps, personality }: { readonly taps: NamespaceTun[]; readonly personality: Personality },
): Promise<GuestSource> {
  const { offload, wsToken, wsOrigins } = options, mtu = options.mtu ?? ETHERNET_MTU;
  switch (link.kind) {
    case "tap": {
      const { name, netns } = link, mtu = options.mtu ?? TAP_MTU;
      const wanted = personality.tap ?? (options.configure ? configurationOf(options, mtu) : undefined);
      const tap = await openTunIn(netns, wanted && { name, ...wanted });
      if (wanted !== undefined) taps.push(tap);
      return { kind: "tap", name, tun: { fd: tap.fd }, mtu, offload };
    }
    case "ws":
      return { ...link, kind: "ws", mtu, origins: wsOrigins, ...(wsToken === undefined ? {} : { token: wsToken }) };
    case "tcp":
      return { ...link, kind: "tcp", mtu };
    case "unixpacket":
      return { ...link, kind: "unixpacket", mtu };
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
