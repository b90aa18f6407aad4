/**
 * The gateway of `hawser run` and `hawser serve`, on the thread that has the terminal, the child processes and signals
 * too.
 *
 * With FFI sockets the event loop holds this thread while there is traffic, for some milliseconds at a time, and leaves
 * the wait to another thread as soon as there is none (`EventLoop.hold`): so a round trip is as short as on a thread of
 * its own, and a signal waits for no longer than that. With Deno's sockets it is an ordinary program of promises, and
 * only TAPs and the like are in an event loop. ARCHITECTURE.md says what else was tried.
 *
 * @module
 */
import { LinuxHost } from "../host/linux_host.ts";
import { Gateway } from "../mod.ts";
import { type Logger, SILENT } from "../nat/base/logger.ts";
import type { HostNetwork } from "../nat/host.ts";
import { type Clock, SYSTEM_CLOCK } from "../net/link/clock.ts";
import type { Link } from "../net/link/link.ts";
import { EventLoop } from "../net/linux/event_loop.ts";
import { LinuxIpv6Routes } from "../net/linux/ipv6_routes.ts";
import { formatReport, reportOf } from "./flow_report.ts";
import { gatewayOptions, type GatewaySettings, reportForwards } from "./gateway_settings.ts";
import { type GuestSource, openSource, wantsLoop } from "./guest_source.ts";
import { LastBytes } from "./last_bytes.ts";
import type { LinkSettings } from "./link_settings.ts";
import { stderrLogger } from "./log.ts";

/** How often it is looked whether what guests have sent has arrived. */
const LOOK_MS = 5;

/** What a gateway is started with. */
export interface GatewayStart {
  /** Where guests come from. */
  readonly sources: readonly GuestSource[];
  /** Whether it is a failure if every source was a TAP and none of them is left. */
  readonly needsTap: boolean;
  /** From where the sockets of flows go out, see `LinuxHostOptions`. */
  readonly outbound?: readonly string[];
  /** What the gateway was told on the command line. */
  readonly settings: GatewaySettings & LinkSettings;
  /** Whether forwards are told on stderr. Default true. */
  readonly tellsForwards?: boolean;
}

/** A gateway that serves. */
export interface GatewayStarted {
  /** Where guests come from, with the real ports, in the order of the sources. */
  readonly addresses: readonly string[];
  /** Whether guests are told of a default route for IPv6. */
  readonly ipv6Route: boolean;
}

/** A gateway between its start and its end. */
export class GatewayRunner {
  readonly #resources = new AsyncDisposableStack();
  readonly #links = new Set<Link>();
  readonly #failed = Promise.withResolvers<string>();
  #gateway: Gateway | undefined;
  #host: HostNetwork | undefined;
  #logger: Logger = SILENT;
  #isEnding = false;
  /** Resolves to what is wrong if the gateway fails while it serves. Never rejects. */
  readonly failed: Promise<string> = this.#failed.promise;

  /** Starts the gateway. Resolves when it serves; rejects, and nothing is left, if it cannot. */
  async start(begin: GatewayStart): Promise<GatewayStarted> {
    try {
      return await this.#start(begin);
    } catch (error) {
      await this.#resources.disposeAsync();
      throw error;
    }
  }

  async #start(
    { sources, needsTap, outbound = [], settings, tellsForwards = true }: GatewayStart,
  ): Promise<GatewayStarted> {
    const resources = this.#resources, isFfi = settings.host === "ffi";
    const loop = isFfi || wantsAnyLoop(sources) ? resources.use(new EventLoop()) : undefined;
    const host: HostNetwork = isFfi
      ? new LinuxHost(loop!, { outbound })
      : await denoHost(loop && resources.use(new LinuxIpv6Routes(loop)));
    this.#logger = stderrLogger(settings.logLevel);
    const wrap = await this.#wrapper(settings, loop ?? SYSTEM_CLOCK);
    const gateway = resources.use(await Gateway.start(gatewayOptions(settings, host)));
    const opened = [];
    const attach = (link: Link): void => {
      const guest = gateway.attach(link);
      this.#links.add(link);
      void guest.ended.then(() => this.#links.delete(link));
    };
    const taps = new Set(sources);
    const tapEnded = (source: GuestSource) => {
      taps.delete(source);
      if (!needsTap || taps.size > 0 || this.#isEnding) return;
      this.#failed.resolve("Cannot go on: the last TAP is gone, and no other link is listened on");
    };
    for (const source of sources) {
      opened.push(resources.use(
        await openSource(source, {
          loop,
          socketLoop: isFfi ? loop : undefined,
          attach: (link) => attach(wrap(link)),
          tapEnded,
          refused: (message, isExhausted) => gateway.refused(message, isExhausted),
        }),
      ));
    }
    if (tellsForwards) reportForwards(gateway);
    loop?.[isFfi ? "hold" : "run"]().catch((error) => this.#failed.resolve(messageOf(error)));
    this.#gateway = gateway;
    this.#host = host;
    return { addresses: opened.map(({ address }) => address), ipv6Route: gateway.ipv6Route };
  }

  /** The ports of the gateway, while it serves. */
  get gateway(): Pick<Gateway, "forwards" | "hostPorts"> | undefined {
    return this.#gateway;
  }

  /** What puts around a link what was asked for. */
  async #wrapper(settings: LinkSettings, clock: Clock): Promise<(link: Link) => Link> {
    if (settings.impair === undefined && settings.pcap === undefined && !settings.trace) return (link) => link;
    const { LinkWrapper } = await import("./link_wrapper.ts");
    const wrapper = this.#resources.use(new LinkWrapper(settings, { clock, logger: this.#logger }));
    return (link) => wrapper.wrap(link);
  }

  /** The flow table, as people read it; empty before the gateway serves and after it has ended. */
  flows(): string {
    return this.#gateway === undefined ? "" : formatReport(reportOf(this.#gateway));
  }

  /**
   * Ends the gateway after it has passed on what guests had sent: of guests that have ended, which of `run` is the one
   * there was, or of those that live.
   */
  async stop(options: { readonly guestsHaveEnded: boolean }): Promise<void> {
    const gateway = this.#gateway, host = this.#host;
    this.#gateway = undefined;
    this.#isEnding = true;
    if (gateway === undefined || host === undefined) return;
    // A client that comes now would find nobody.
    await gateway.forwards.close();
    const last = new LastBytes({
      flows: () => gateway.flows(),
      frames: () => [...this.#links].reduce((sum, { underWay = 0 }) => sum + underWay, 0),
      unwritten: () => host.unwritten ?? 0,
      now: () => host.now(),
      warn: (line) => this.#logger.warn(line),
    }, options);
    while (!last.isOver()) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    await this.#resources.disposeAsync();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Deno's sockets, with the routes that Deno cannot read if there are some. */
async function denoHost(routes: LinuxIpv6Routes | undefined): Promise<HostNetwork> {
  const { DenoHost } = await import("../host/deno_host.ts");
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
