/**
 * User-mode networking for Deno: gives a virtual machine, a sandbox or an in-process guest a network, without root.
 *
 * A guest hands Ethernet frames to a `Link`; the `Gateway` answers ARP, DHCP and ICMP echo itself, terminates the
 * guest's TCP, and carries the bytes over ordinary host sockets, with both half-closes intact.
 *
 * ```ts ignore
 * import { Gateway } from "jsr:@hawser/hawser";
 * import { memoryLinkPair } from "jsr:@hawser/hawser/link";
 *
 * const [link, mine] = memoryLinkPair();
 * await using gateway = await Gateway.start();
 * await using guest = gateway.attach(link);
 * ```
 *
 * This file is where the floors are put together and nothing else is.
 *
 * @module
 */
import { openHostAddresses } from "./host/own_addresses.ts";
import { LinuxHost } from "./host/linux_host.ts";
import { Recorder } from "./audit/recorder.ts";
import type { AuditRecord, StartFacts } from "./audit/records.ts";
import { CallbackSink, type RecordSink } from "./audit/sink.ts";
import config from "./deno.json" with { type: "json" };
import { PortForwards } from "./forward/port_forwards.ts";
import { HostResolvers } from "./host/resolver.ts";
import type { Counters } from "./nat/base/counters.ts";
import type { Totals } from "./nat/flow/events.ts";
import { GatewayEvents } from "./nat/flow/event_target.ts";
import { checkFlowLimit } from "./nat/flow/quota.ts";
import type { Endings } from "./nat/flow/endings.ts";
import type { FlowInfo } from "./nat/flow/flow.ts";
import type { HostNetwork } from "./nat/host.ts";
import { type Logger, SILENT } from "./nat/base/logger.ts";
import { Nat, type NatOptions } from "./nat/nat.ts";
import type { TcpConfig } from "./nat/tcp/context.ts";
import { RateLimitedLog } from "./nat/base/rate_limited_log.ts";
import { parseDhcpOptions } from "./nat/service/dhcp_options.ts";
import type { GuestService } from "./nat/service/guest_services.ts";
import type { HostPorts } from "./nat/rules/host_ports.ts";
import type { NetworkPlans } from "./nat/rules/network_plan.ts";
import type { Segments } from "./nat/rules/segment.ts";
import type { TranslationRules } from "./nat/rules/translate.ts";
import { createTranslationRules, type Families, NO_DNS } from "./nat/rules/translation_options.ts";
import type { Decide } from "./nat/rules/decide.ts";
import { checkNamesTtl } from "./nat/rules/bindings.ts";
import { GatewayRules } from "./rules/gateway_rules.ts";
import { openFamilyWarning } from "./rules/open_family.ts";
import { readRuleList, type ReadRules } from "./rules/read.ts";
import type { RulesFile } from "./rules/rules_file.ts";
import type { Link, LinkReceiver } from "./net/link/link.ts";
import { formatEndpoint } from "./net/wire/address.ts";
import { DNS_PORT } from "./net/wire/dns.ts";
import { EventLoop } from "./net/linux/event_loop.ts";

export type { AuditRecord } from "./audit/records.ts";
export type { RecordSink } from "./audit/sink.ts";
export type { Forward, PortForwards } from "./forward/port_forwards.ts";
export type { ForwardProtocol } from "./forward/port_spec.ts";
export type { Counters, DropReason } from "./nat/base/counters.ts";
export type { Endings, FlowEnding } from "./nat/flow/endings.ts";
export type {
  DnsAnswered,
  DnsAsked,
  EventOf,
  EventType,
  FlowEnded,
  FlowOpened,
  FlowRefused,
  FlowVerified,
  ForwardAdded,
  ForwardRemoved,
  GatewayEvent,
  GuestAttached,
  GuestDetached,
  LeaseGiven,
  PeerEnded,
  PeerOpened,
  RulesChanged,
  Totals,
} from "./nat/flow/events.ts";
export { type GatewayCustomEvent, GatewayEvents, type GatewayListener } from "./nat/flow/event_target.ts";
export type { AskedFlow, Decide, Decision } from "./nat/rules/decide.ts";
export type { Rule } from "./nat/rules/rule.ts";
export type { FlowRefusal, RefusalCause } from "./nat/rules/verdict.ts";
export type { RuleList } from "./nat/rules/rule_list.ts";
export type { GatewayRules, OtherRules, RulesHolder } from "./rules/gateway_rules.ts";
export type { ReadRules } from "./rules/read.ts";
export type { HostPort, HostPorts } from "./nat/rules/host_ports.ts";
export type { NetworkPlan, NetworkPlans } from "./nat/rules/network_plan.ts";
export type { GuestService } from "./nat/service/guest_services.ts";
export type { Families } from "./nat/rules/translation_options.ts";
export type { FlowInfo } from "./nat/flow/flow.ts";
export type { HostNetwork } from "./nat/host.ts";
export type { Logger } from "./nat/base/logger.ts";
export type { TcpConfig } from "./nat/tcp/context.ts";
export type { TcpState } from "./nat/tcp/transitions.ts";
export type { Link } from "./net/link/link.ts";
export type { RulesFile } from "./rules/rules_file.ts";

/** Flows at once unless told otherwise. */
export const MAX_FLOWS_DEFAULT = 4096;

/** What a gateway is started with. */
export interface GatewayOptions {
  /** The guests' subnet, at least a /27: the gateway is .2, DNS .3, the guest .15. Default `10.0.2.0/24`. */
  readonly subnet?: string;
  /** The guests' IPv6 subnet, a /64: the gateway is ::2, DNS ::3, the guest ::15. Default `fd00::/64`. */
  readonly subnet6?: string;
  /**
   * The guests' networks address by address, in place of `subnet` and `subnet6`: of each family the guest's address
   * with the prefix length, the gateway's, and whether the rest of the subnet is relayed because it is a network near
   * the host. Default none.
   */
  readonly network?: NetworkPlans;
  /** Which families guests have. Default both. */
  readonly families?: Families;
  /** Whether 64:ff9b::/96 leads to IPv4 (NAT64), so that guests with IPv6 alone reach it. Default false. */
  readonly nat64?: boolean;
  /**
   * Where guests find DNS, at most one address of each family: `169.254.1.1`. It may lie anywhere, also in what `deny`
   * holds by default. Default .3 and ::3, of a `network` its gateway's address.
   */
  readonly dnsAddresses?: readonly string[];
  /**
   * Where DNS asks: `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`, or `none` for no DNS at all. Default the host's
   * resolvers, as `resolvConf` names them at any time.
   */
  readonly dns?: string;
  /**
   * The file that names the host's resolvers (resolv.conf(5)); read again when it has changed. Default
   * `/etc/resolv.conf`.
   */
  readonly resolvConf?: string;
  /** Guest-visible addresses for host addresses: `GUESTADDR=HOSTADDR`. */
  readonly maps?: readonly string[];
  /**
   * Further addresses that lead where the gateway's address leads, at most one of each family: `169.254.1.2`. They may
   * lie anywhere, also in what `deny` holds by default, and stay open without `hostLoopback`. Names of the host lead
   * there. Default none.
   */
  readonly hostAliases?: readonly string[];
  /**
   * Whether the gateway's address leads to the host's loopback. Default true. Other addresses of the host are another
   * matter.
   */
  readonly hostLoopback?: boolean;
  /**
   * Ports at which it does even so, and whatever a map of that address says: `tcp:5432`. Default none; see
   * `Gateway.hostPorts` for later ones.
   */
  readonly hostPorts?: readonly string[];
  /**
   * Whether guests reach addresses of the host at all: loopback, and those of its interfaces, of both families, as they
   * change. Default true. False needs `--allow-ffi` on Linux, elsewhere `--allow-sys=networkInterfaces`. DNS stays.
   */
  readonly hostAddresses?: boolean;
  /**
   * Where guests may go: `registry.example:443`, `*.example.com`, `udp:time.example:123`, `dns:NAME`, `192.0.2.0/24`,
   * `[2001:db8::/32]:80,8000-8099`; docs/cli.md has the grammar. With any rule here, what none of them allows is
   * refused, the gateway and maps included. As soon as one has a name, only such names can be asked for. Default
   * anywhere.
   */
  readonly allow?: readonly string[];
  /**
   * Where guests may not go, written as those of `allow`. Of two rules about one place the more specific counts, deny
   * where they are equal. `none` among them leaves out the default: the addresses of clouds' metadata services,
   * `169.254.0.0/16`, `fd00:ec2::254` and `fd20:ce::254`.
   */
  readonly deny?: readonly string[];
  /**
   * Rules as a file has them, `allow RULE` or `deny RULE` a line and `#` before a comment: what is in the file, not its
   * path, with the file's name for errors and records if there is one. They add up with `allow` and `deny`.
   */
  readonly rules?: string | RulesFile | readonly (string | RulesFile)[];
  /**
   * What TCP flows that only a name allows must say. `verify`: if they begin with TLS or HTTP, that name; other
   * protocols pass. `strict`: TLS or HTTP with that name, and nothing else. Default `verify`.
   */
  readonly names?: "verify" | "strict";
  /**
   * For how many seconds an address at least keeps the name by which a guest has asked for it, whatever the answer's
   * TTL; new flows renew that for up to a day. Default 3600.
   */
  readonly namesTtlS?: number;
  /** Whether rules only say what they would refuse. The default of `deny` stays in force. Default false. */
  readonly reportOnly?: boolean;
  /**
   * Decides of every flow, and of every new destination of datagrams, that the rules allow: `allow`, `refuse`, or
   * `{ redirect: "ADDR:PORT" }`, which leads it elsewhere. It is called in the gateway's turn and must answer at once;
   * if it throws, the flow is refused. Default none.
   */
  readonly decide?: Decide;
  /**
   * Ports of the host that lead to ports of a guest: `tcp:8080:80`, `udp:[::1]/5353`,
   * `tcp:0.0.0.0/8000-8009:9000-9009`, `tcp:8080:10.0.2.20/80`; on 127.0.0.1 unless an address is named. All are bound
   * before anything else begins, or none. Default none; see `Gateway.forwards` for later ones.
   */
  readonly forwards?: readonly string[];
  /**
   * Whether guests are told that the gateway leads to IPv6 beyond their link. Default: if the host has a default route
   * for IPv6, followed as that changes. Only a `LinuxHost` can tell; with another host the default is false.
   */
  readonly ipv6Route?: boolean;
  /**
   * What guests are told by DHCP beside addresses, as `NAME=VALUE`: `bootfile-name`, `next-server`, `tftp-server-name`,
   * `host-name`, `domain-name`, `domain-search`; see `DhcpExtras`. Default nothing.
   */
  readonly dhcpOptions?: readonly string[];
  /**
   * Services that guests do without, because somebody else configures them: answers by `dhcp` and `dhcpv6`, and
   * `router` advertisements. Default none.
   */
  readonly without?: readonly GuestService[];
  /** Flows at once; beyond, a SYN is answered with RST. Default 4096. */
  readonly maxFlows?: number;
  /**
   * Whether guests share flows and connects from the start: none has more than three times what is free, even while it
   * is alone. Default false: as soon as there are two.
   */
  readonly shared?: boolean;
  /** Bytes of buffers that all flows together use before each keeps only what it must. Default 256 MiB. */
  readonly maxBufferBytes?: number;
  /** Flows that may begin in a second, of whatever protocol; as many may begin at once. Default no limit. */
  readonly maxNewFlows?: number;
  /**
   * Whose sockets carry the bytes: `ffi` (Linux, `--allow-ffi`, fast), `deno` (everywhere), or a `HostNetwork`, which
   * is disposed of with the gateway. Default `ffi` on Linux where `--allow-ffi` is granted, else `deno`.
   */
  readonly host?: "ffi" | "deno" | HostNetwork;
  /**
   * Who gets the records of what guests did and were kept from: a function, or sinks of `@hawser/hawser/audit`, which
   * are closed with the gateway. Nothing begins of which no record can be written: not while a sink is full, nor after
   * the function has thrown, until it takes that record. docs/audit.md has the records. Default nobody.
   */
  readonly audit?: ((record: AuditRecord) => void) | readonly RecordSink[];
  /** Where log lines go; `console` will do. Default nowhere. */
  readonly logger?: Logger;
  /** Other limits and times of TCP. */
  readonly tcp?: Partial<TcpConfig>;
  /** Ends the gateway. */
  readonly signal?: AbortSignal;
}

/** A guest that is attached to a gateway. */
export interface AttachedGuest extends AsyncDisposable {
  /** What it has had since it was attached, flows that live included. */
  totals(): Totals;
  /** Its number, never used again by this gateway. */
  readonly number: number;
  /** Resolves when its link has ended, with the error that ended it if one did. */
  readonly ended: Promise<Error | undefined>;
}

/** A gateway for any number of guests, each on a link of its own; they never see each other. */
export class Gateway implements AsyncDisposable {
  /** Ports of the host that lead to guests: add, list and remove them while the gateway runs. */
  readonly forwards: PortForwards;
  /** What happens: flows, refusals, questions for names, guests, leases, forwards. */
  readonly events: GatewayEvents;
  /** Where guests may go: the rules in force, and others in their place. */
  readonly rules: GatewayRules;
  /** Ports of the host's loopback that are open to guests in any case: open and close them while the gateway runs. */
  readonly hostPorts: HostPorts;

  #nat: Nat;
  #host: HostNetwork;
  #arrivals: RateLimitedLog;
  #refusals: RateLimitedLog;
  #links = new Set<Link>();
  /** Takes the listener off the signal that was given. */
  #forgetSignal: () => void = () => {};
  #disposed: Promise<void> | null = null;
  #addresses: Disposable | null = null;
  #recorder: Recorder | null = null;

  private constructor(nat: Nat, host: HostNetwork, logger: Logger, rules: GatewayRules) {
    this.#nat = nat;
    this.#host = host;
    this.#arrivals = new RateLimitedLog(logger, () => host.now());
    this.#refusals = new RateLimitedLog(logger, () => host.now());
    this.forwards = new PortForwards(host, nat);
    this.events = new GatewayEvents(nat.events);
    this.rules = rules;
    this.hostPorts = nat.rules.hostPorts;
  }

  /**
   * Starts a gateway without guests. Throws a `RangeError` or `TypeError` for options that make no sense,
   * `Deno.errors.NotSupported` for a host that this system does not have, what `PortForwards.add` says of a port that
   * cannot be had, and the signal's reason if it is aborted. If this throws, nothing of the gateway is left, and the
   * caller's `HostNetwork` is still open.
   */
  static async start(options: GatewayOptions = {}): Promise<Gateway> {
    options.signal?.throwIfAborted();
    const read = await readRuleList(options);
    await using owned = new AsyncDisposableStack();
    const addresses = options.hostAddresses === false ? owned.use(openHostAddresses()) : null;
    const dnsServers = options.dns === undefined ? [] : options.dns === NO_DNS ? null : [options.dns];
    const rules = createTranslationRules({ ...options, dnsServers, hostAddresses: addresses, egress: read.list });
    const host = await createHost(options.host);
    if (host !== options.host) owned.use(host);
    const recorder = createRecorder(host, rules, options);
    if (recorder !== null) owned.use(recorder);
    const gateway = await Gateway.#startOn(host, rules, { ...options, recorder, read });
    owned.move();
    gateway.#addresses = addresses;
    return gateway;
  }

  static async #startOn(
    host: HostNetwork,
    rules: TranslationRules,
    { recorder, read, ...options }: GatewayOptions & { recorder: Recorder | null; read: ReadRules },
  ): Promise<Gateway> {
    const logger = options.logger ?? SILENT;
    warnOfRules(logger, read, rules);
    const maxFlows = options.maxFlows ?? MAX_FLOWS_DEFAULT;
    const { tcp, maxBufferBytes, maxNewFlows, shared, namesTtlS, reportOnly = false, decide, dns } = options;
    checkLimits(options);
    const limits = {
      maxFlows,
      ...(maxNewFlows !== undefined && { maxNewFlows }),
      ...(shared !== undefined && { shared }),
      ...(options.ipv6Route !== undefined && { ipv6Route: options.ipv6Route }),
      ...(tcp && { tcp }),
      ...(maxBufferBytes !== undefined && { maxBufferBytes }),
      ...(namesTtlS !== undefined && { namesTtlS }),
      ...(decide !== undefined && { decide }),
      reportOnly,
      strictNames: options.names === "strict",
    };
    const dhcp = parseDhcpOptions(options.dhcpOptions ?? []);
    const records = recorder === null ? {} : { records: recorder };
    const { without = [] } = options, given = { host, rules, logger, random, dhcp, without };
    const nat = new Nat({ ...given, ...resolvers(options), ...limits, ...records });
    if (recorder !== null) nat.events.listen(recorder.listener);
    recorder?.start(startFacts(read, options));
    const live = new GatewayRules({
      read,
      dns,
      use: (list, options) => nat.replaceRules(list, options),
      changed: (change, read) => {
        warnOfRules(logger, read, rules);
        nat.events.emit("rulesChanged", () => ({ type: "rulesChanged", ...change }));
        host.wake();
      },
    });
    const gateway = new Gateway(nat, host, logger, live);
    gateway.#recorder = recorder;
    try {
      await gateway.forwards.add(options.forwards ?? []);
      // While the ports were bound it may have been aborted, which no listener would tell.
      options.signal?.throwIfAborted();
      host.start(() => recorder === null ? nat.turn() : Math.min(nat.turn(), recorder.turn(host.now())));
    } catch (error) {
      await gateway.forwards.close();
      throw error;
    }
    gateway.#endWith(options.signal);
    return gateway;
  }

  #endWith(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const end = () => void this[Symbol.asyncDispose]();
    signal.addEventListener("abort", end, { once: true });
    this.#forgetSignal = () => signal.removeEventListener("abort", end);
  }

  /**
   * Serves the guest on `link`, which begins at once and is closed with the guest or the gateway. Throws
   * `Deno.errors.BadResource` if the gateway is closed, and what the link says if it cannot start; then there is no
   * guest.
   */
  attach(link: Link): AttachedGuest {
    if (this.#disposed !== null) throw new Deno.errors.BadResource("Cannot attach a guest: the gateway is closed");
    const guest = this.#nat.attach(link), ended = Promise.withResolvers<Error | undefined>();
    const who = `Guest ${guest.number} on ${link.name}`;
    const receiver: LinkReceiver = {
      receive: (frame) => guest.receive(frame),
      flush: () => this.#host.wake(),
      closed: (error) => {
        this.#links.delete(link);
        this.#nat.detach(guest);
        this.#host.wake();
        if (error !== undefined) this.#arrivals.warn(() => `${who} ended: ${error.message}`);
        else this.#arrivals.info(() => `${who} ended`);
        ended.resolve(error);
      },
    };
    this.#links.add(link);
    try {
      link.start(receiver);
    } catch (error) {
      this.#links.delete(link);
      this.#nat.detach(guest);
      throw error;
    }
    this.#arrivals.info(() => `${who} began`);
    return {
      number: guest.number,
      ended: ended.promise,
      totals: () => this.#nat.registry.totalsOf(guest),
      [Symbol.asyncDispose]: () => link.close(),
    };
  }

  /**
   * For the `refused` of listeners: logs in `message` why a guest was turned away, rationed, and counts it as
   * `hostExhausted` if descriptors or memory have run out, else as `guestRefused`.
   */
  refused(message: string, isExhausted: boolean = false): void {
    this.#nat.counters[isExhausted ? "hostExhausted" : "guestRefused"]++;
    this.#refusals.warn(() => message);
  }

  /** Every flow, those that only drain included. */
  flows(): FlowInfo[] {
    return this.#nat.flows();
  }

  /** Flows, refusals and bytes since the gateway was started, those of flows that live included. */
  totals(): Totals {
    return this.#nat.registry.totals;
  }

  /** Whether guests are told, now, that the gateway leads to IPv6 beyond their link. */
  get ipv6Route(): boolean {
    const { rules, ipv6Routes } = this.#nat;
    return rules.ipv6 !== null && (rules.nat64 || ipv6Routes.has());
  }

  /** How often a frame was dropped or refused, by reason, since the gateway was started. */
  counters(): Counters {
    return { ...this.#nat.counters };
  }

  /** How many flows ended in each way since the gateway was started. With `flows()` these are all there ever were. */
  endings(): Endings {
    return { ...this.#nat.endings };
  }

  /** Ends every flow, closes every link and frees the host's sockets. May be called again. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposed ??= this.#dispose();
  }

  async #dispose(): Promise<void> {
    this.#forgetSignal();
    const portsFree = this.forwards.close();
    this.#nat.close();
    await portsFree;
    await Promise.all([...this.#links].map((link) => link.close()));
    await this.#recorder?.[Symbol.asyncDispose]();
    await this.#host[Symbol.asyncDispose]();
    this.#addresses?.[Symbol.dispose]();
  }
}

/** What makes records, if anybody gets them. */
function createRecorder(host: HostNetwork, rules: TranslationRules, { audit, logger }: GatewayOptions) {
  if (audit === undefined) return null;
  const sinks = typeof audit === "function" ? [new CallbackSink(audit)] : audit;
  const own = [rules.ipv4, rules.ipv6].flatMap((segment) =>
    segment === null ? [] : [formatEndpoint(segment.dns, DNS_PORT)]
  );
  return new Recorder({ sinks, own, now: () => host.now(), ...(logger && { logger }) });
}

/** How the gateway begins, for its first record. */
function startFacts({ list, digest }: ReadRules, { names, reportOnly }: GatewayOptions): StartFacts {
  const { rules, namesDecide, deniesNames, dnsOpen } = list,
    allow = rules.filter(({ verdict }) => verdict === "allow").length;
  return {
    event: "start",
    hawser: config.version,
    rules: digest,
    mode: reportOnly ? "report" : "enforce",
    names: namesDecide || deniesNames ? names ?? "verify" : "off",
    allow,
    deny: rules.length - allow,
    dnsOpen,
  };
}

/** Tells of rules what a user should know. */
function warnOfRules(logger: Logger, { list, warnings }: ReadRules, segments: Segments): void {
  const open = openFamilyWarning(list, segments);
  if (open !== null) logger.warn(open);
  for (const { message } of warnings) logger.warn(`Rules: ${message}`);
}

/** Throws a `RangeError` for a limit that is none. */
function checkLimits(options: GatewayOptions): void {
  for (const name of ["maxFlows", "maxNewFlows"] as const) {
    const limit = options[name];
    try {
      if (limit !== undefined) checkFlowLimit(limit);
    } catch (error) {
      throw new RangeError(`Cannot set ${name} to ${limit}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const { names = "verify", namesTtlS } = options;
  if (names !== "verify" && names !== "strict") {
    throw new TypeError(`Cannot set names to ${names}: it is verify or strict`);
  }
  try {
    if (namesTtlS !== undefined) checkNamesTtl(namesTtlS);
  } catch (error) {
    throw new RangeError(`Cannot set namesTtlS to ${namesTtlS}: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * The host's resolvers where no other is named. They are read at once, so that a question for permission comes at the
 * start.
 */
function resolvers({ dns, resolvConf }: GatewayOptions): Pick<NatOptions, "resolvers"> {
  if (dns !== undefined) return {};
  const host = new HostResolvers(resolvConf === undefined ? {} : { path: resolvConf });
  host.current();
  return { resolvers: () => host.current() };
}

async function createHost(host: GatewayOptions["host"]): Promise<HostNetwork> {
  if (typeof host === "object") return host;
  if (host === "deno" || (host === undefined && !ffiAvailable())) {
    // Its UDP is Node's, which takes long to load.
    const { DenoHost } = await import("./host/deno_host.ts");
    return new DenoHost();
  }
  return sharedLinuxHost();
}

function ffiAvailable(): boolean {
  return Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted";
}

/** A Linux host on the loop that this thread shares; the gateway's end gives the loop back. */
function sharedLinuxHost(): HostNetwork {
  const loop = EventLoop.shared(), host = new LinuxHost(loop), dispose = host[Symbol.asyncDispose].bind(host);
  host[Symbol.asyncDispose] = async () => {
    await dispose();
    await loop[Symbol.asyncDispose]();
  };
  return host;
}

function random(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}
