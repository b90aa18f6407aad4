/**
 * The options that every command with a gateway has: read from words, and given to `Gateway.start`.
 *
 * Settings are plain data, so that they can be posted to a Worker.
 *
 * @module
 */
import { checkOverlaps, formatPortSpec, parseForward } from "../forward/port_spec.ts";
import type { Gateway, GatewayOptions } from "../mod.ts";
import { DEFAULT_DENY } from "../nat/rules/egress.ts";
import type { HostNetwork } from "../nat/host.ts";
import { isLoopback } from "../nat/rules/policy.ts";
import { parseDhcpOptions } from "../nat/service/dhcp_options.ts";
import { guestAddressProblem } from "../nat/rules/segment.ts";
import { createTranslationRules } from "../nat/rules/translation_options.ts";
import { Cidr, formatIpv4, IpAddress } from "../net/wire/address.ts";
import { stderrLogger, writeStderr } from "./log.ts";
import type { OptionValues } from "./option_table.ts";
import { UsageError } from "./usage_error.ts";
import {
  type HostKind,
  type LogLevel,
  readDeny,
  readDhcpOption,
  readDns,
  readEgressRule,
  readHostKind,
  readLogLevel,
  readMap,
  readMaxFlows,
  readSubnet,
  readTcpPorts,
  readUdpPorts,
} from "./values.ts";

/**
 * What a gateway was told on the command line. What the user left out is `undefined` where something else knows the
 * default.
 */
export interface GatewaySettings {
  /** Ports of the host that lead to the guest, `tcp:SPEC` and `udp:SPEC`. */
  readonly forwards: readonly string[];
  /** The guests' network. */
  readonly subnet: string;
  /** Where DNS queries go: `ADDR[:PORT]`, `none`, or the host's resolver. */
  readonly dns: string | undefined;
  /** Guest-visible addresses for host addresses, `GUESTADDR=HOSTADDR`. */
  readonly maps: readonly string[];
  /** Whether the gateway's address leads to the host's loopback. */
  readonly hostLoopback: boolean;
  /** Whether guests reach addresses of the host at all. */
  readonly hostAddresses: boolean;
  /** Where guests may go: rules as `EgressRules` reads them. */
  readonly allow: readonly string[];
  /** Where they may not go, `none` included. */
  readonly deny: readonly string[];
  /** What DHCP tells beside addresses, `NAME=VALUE`. */
  readonly dhcpOptions: readonly string[];
  /** How many flows there may be at once. */
  readonly maxFlows: number | undefined;
  /** How many flows may begin in a second. */
  readonly maxNewFlows: number | undefined;
  /** Whether more than one guest may come. */
  readonly shared: boolean;
  /** Which host sockets. */
  readonly host: HostKind;
  /** How much is logged. */
  readonly logLevel: LogLevel;
}

/** The rows of these options. The default of `--log-level` is each command's own. */
export const GATEWAY_ROWS = {
  "tcp-ports": {
    letter: "t",
    metavar: "SPEC",
    help: "host TCP ports that lead to the guest's: 8080, 8080:80, 80,443:8443, [::1]/80,\n" +
      "8000-8009:9000-9009, 127.0.0.1/8080:10.0.2.20/80; 0:80 takes a free one; repeatable",
    repeatable: true,
    read: readTcpPorts,
  },
  "udp-ports": {
    letter: "u",
    metavar: "SPEC",
    help: "the same for UDP",
    repeatable: true,
    read: readUdpPorts,
  },
  "subnet": {
    metavar: "CIDR",
    help: "gateway .2, DNS .3, guest .15 (at least a /27)",
    shown: "10.0.2.0/24",
    read: readSubnet,
  },
  "dns": {
    letter: "D",
    metavar: "ADDR[:PORT]|none",
    help: "where .3 sends queries; none: no resolver at all",
    shown: "the host's",
    read: readDns,
  },
  "map": {
    metavar: "GUESTADDR=HOSTADDR",
    help: "an address of the guest's for one of the host; repeatable",
    repeatable: true,
    read: readMap,
  },
  "no-host-loopback": {
    help: "nothing leads to the host's loopback unless a --map names it; the host's other\n" +
      "addresses stay open, see --no-host",
  },
  "no-host": { help: "nothing leads to any address of the host, as they change (DNS stays)" },
  "allow": {
    metavar: "CIDR[:PORTS]",
    help: "guests reach this and nothing else; ports as 80,8000-8099; repeatable",
    repeatable: true,
    read: readEgressRule,
  },
  "deny": {
    metavar: "CIDR[:PORTS]|none",
    help: "guests do not reach this; none: drop the default; repeatable",
    repeatable: true,
    shown: DEFAULT_DENY.join(", "),
    read: readDeny,
  },
  "dhcp-option": {
    metavar: "NAME=VALUE",
    help: "what DHCP tells: bootfile-name, next-server, tftp-server-name, host-name,\n" +
      "domain-name, domain-search=example.com,example.net; repeatable",
    repeatable: true,
    read: readDhcpOption,
  },
  "max-flows": {
    metavar: "N",
    help: "flows at once; of serve, a guest has three quarters at most",
    shown: "4096",
    read: readMaxFlows,
  },
  "max-new-flows": { metavar: "N", help: "flows that begin in a second", shown: "no limit", read: readMaxFlows },
  "host": { metavar: "ffi|deno", help: "host sockets: epoll and FFI, or Deno's own", shown: "ffi", read: readHostKind },
  "log-level": { metavar: "LEVEL", help: "debug, info, warn or error", read: readLogLevel },
} as const;

/** The settings that these values make. Throws a `UsageError` where they contradict each other. */
export function gatewaySettings(
  program: string,
  values: OptionValues<typeof GATEWAY_ROWS>,
  defaults: { logLevel: LogLevel; shared: boolean },
): GatewaySettings {
  const settings: GatewaySettings = {
    forwards: [...values["tcp-ports"], ...values["udp-ports"]],
    subnet: values.subnet ?? "10.0.2.0/24",
    dns: values.dns,
    maps: values.map,
    hostLoopback: !values["no-host-loopback"],
    hostAddresses: !values["no-host"],
    allow: values.allow,
    deny: values.deny,
    dhcpOptions: values["dhcp-option"],
    maxFlows: values["max-flows"],
    maxNewFlows: values["max-new-flows"],
    shared: defaults.shared,
    host: values.host ?? (Deno.build.os === "linux" ? "ffi" : "deno"),
    logLevel: values["log-level"] ?? defaults.logLevel,
  };
  checkForwards(program, settings);
  checkMaps(program, settings);
  checkDhcpOptions(program, settings);
  return settings;
}

/** What `Gateway.start` is told, on this host. */
export function gatewayOptions(settings: GatewaySettings, host: HostNetwork): GatewayOptions {
  const {
    forwards,
    subnet,
    dns,
    maps,
    hostLoopback,
    hostAddresses,
    allow,
    deny,
    dhcpOptions,
    maxFlows,
    maxNewFlows,
    shared,
    logLevel,
  } = settings;
  return {
    forwards,
    subnet,
    maps,
    hostLoopback,
    hostAddresses,
    allow,
    deny,
    dhcpOptions,
    shared,
    host,
    logger: stderrLogger(logLevel),
    ...(dns === undefined ? {} : { dns }),
    ...(maxFlows === undefined ? {} : { maxFlows }),
    ...(maxNewFlows === undefined ? {} : { maxNewFlows }),
  };
}

/** The addresses of a guest's network, as text. */
export function addressesOf(subnet: string): { gateway: string; resolver: string; guest: string; prefix: number } {
  const { address, prefix } = Cidr.parse(subnet);
  return {
    gateway: formatIpv4(address.ipv4 + 2),
    resolver: formatIpv4(address.ipv4 + 3),
    guest: formatIpv4(address.ipv4 + 15),
    prefix,
  };
}

/** Tells where each forward listens and leads, a line each, whatever is logged. */
export function reportForwards(gateway: Gateway): void {
  for (const forward of gateway.forwards.list()) writeStderr(`forwarding ${forward}\n`);
}

/** Of several forwards no two may want the same port, and one may name an address of the guest's network only. */
function checkForwards(program: string, { forwards, subnet }: GatewaySettings): void {
  const specs = forwards.flatMap(parseForward), rules = createTranslationRules({ subnet });
  try {
    checkOverlaps(specs);
  } catch (error) {
    throw new UsageError(program, error instanceof Error ? error.message : String(error));
  }
  for (const spec of specs) {
    const problem = spec.guestAddress === null ? null : guestAddressProblem(rules, spec.guestAddress);
    if (problem !== null) throw new UsageError(program, `bad forward ${formatPortSpec(spec)}: ${problem}`);
  }
}

/** Each name is given once. */
function checkDhcpOptions(program: string, { dhcpOptions }: GatewaySettings): void {
  try {
    parseDhcpOptions(dhcpOptions);
  } catch (error) {
    throw new UsageError(program, error instanceof Error ? error.message : String(error));
  }
}

/** A map may rename the gateway, but neither the guest itself nor the resolver, and each address once. */
function checkMaps(program: string, settings: GatewaySettings): void {
  const { guest, resolver } = addressesOf(settings.subnet);
  const seen = new Set<string>();
  for (const map of settings.maps) {
    const address = IpAddress.parse(map.split("=")[0]!).toString();
    const whose = address === guest ? "the guest's own address" : address === resolver ? "the resolver's address" : "";
    if (!settings.hostAddresses && isLoopback(IpAddress.parse(map.split("=")[1]!))) {
      throw new UsageError(
        program,
        `bad --map ${map}: it leads to the host, which --no-host forbids, leave out one of them`,
      );
    }
    if (whose) throw new UsageError(program, `bad --map ${map}: ${address} is ${whose}, take another one`);
    if (seen.has(address)) throw new UsageError(program, `bad --map ${map}: ${address} is mapped already`);
    seen.add(address);
  }
}
