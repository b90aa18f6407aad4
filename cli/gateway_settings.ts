/**
 * The options that every command with a gateway has: read from words, and given to `Gateway.start`.
 *
 * Settings are plain data, so that they can be posted to a Worker.
 *
 * @module
 */
import type { GatewayOptions } from "../mod.ts";
import type { HostNetwork } from "../nat/host.ts";
import { Cidr, formatIpv4, IpAddress } from "../net/wire/address.ts";
import { stderrLogger } from "./log.ts";
import type { OptionValues } from "./option_table.ts";
import { UsageError } from "./usage_error.ts";
import {
  type HostKind,
  type LogLevel,
  readDns,
  readHostKind,
  readLogLevel,
  readMap,
  readMaxFlows,
  readSubnet,
} from "./values.ts";

/** What a gateway was told on the command line. What the user left out is `undefined` where something else knows the default. */
export interface GatewaySettings {
  /** The guests' network. */
  readonly subnet: string;
  /** Where DNS queries go: `ADDR[:PORT]`, `none`, or the host's resolver. */
  readonly dns: string | undefined;
  /** Guest-visible addresses for host addresses, `GUESTADDR=HOSTADDR`. */
  readonly maps: readonly string[];
  /** Whether the gateway's address leads to the host's loopback. */
  readonly hostLoopback: boolean;
  /** How many flows there may be at once. */
  readonly maxFlows: number | undefined;
  /** Which host sockets. */
  readonly host: HostKind;
  /** How much is logged. */
  readonly logLevel: LogLevel;
}

/** The rows of these options. The default of `--log-level` is each command's own. */
export const GATEWAY_ROWS = {
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
  "no-host-loopback": { help: "nothing leads to the host's loopback unless a --map names it" },
  "max-flows": { metavar: "N", help: "flows at once", shown: "4096", read: readMaxFlows },
  "host": { metavar: "ffi|deno", help: "host sockets: epoll and FFI, or Deno's own", shown: "ffi", read: readHostKind },
  "log-level": { metavar: "LEVEL", help: "debug, info, warn or error", read: readLogLevel },
} as const;

/** The settings that these values make. Throws a `UsageError` where they contradict each other. */
export function gatewaySettings(
  program: string,
  values: OptionValues<typeof GATEWAY_ROWS>,
  defaults: { logLevel: LogLevel },
): GatewaySettings {
  const settings: GatewaySettings = {
    subnet: values.subnet ?? "10.0.2.0/24",
    dns: values.dns,
    maps: values.map,
    hostLoopback: !values["no-host-loopback"],
    maxFlows: values["max-flows"],
    host: values.host ?? (Deno.build.os === "linux" ? "ffi" : "deno"),
    logLevel: values["log-level"] ?? defaults.logLevel,
  };
  checkMaps(program, settings);
  return settings;
}

/** What `Gateway.start` is told, on this host. */
export function gatewayOptions(settings: GatewaySettings, host: HostNetwork): GatewayOptions {
  const { subnet, dns, maps, hostLoopback, maxFlows, logLevel } = settings;
  return {
    subnet,
    maps,
    hostLoopback,
    host,
    logger: stderrLogger(logLevel),
    ...(dns === undefined ? {} : { dns }),
    ...(maxFlows === undefined ? {} : { maxFlows }),
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

/** A map may rename the gateway, but neither the guest itself nor the resolver, and each address once. */
function checkMaps(program: string, settings: GatewaySettings): void {
  const { guest, resolver } = addressesOf(settings.subnet);
  const seen = new Set<string>();
  for (const map of settings.maps) {
    const address = IpAddress.parse(map.split("=")[0]!).toString();
    const whose = address === guest ? "the guest's own address" : address === resolver ? "the resolver's address" : "";
    if (whose) throw new UsageError(program, `bad --map ${map}: ${address} is ${whose}, take another one`);
    if (seen.has(address)) throw new UsageError(program, `bad --map ${map}: ${address} is mapped already`);
    seen.add(address);
  }
}
