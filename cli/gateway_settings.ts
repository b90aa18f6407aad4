/**
 * The options that every command with a gateway has: read from words, and given to `Gateway.start`.
 *
 * What concerns the gateway is named as `GatewayOptions` names it, and read and checked by the library: here its errors
 * become usage errors. All of it is plain data.
 *
 * @module
 */
import { type AutoPorts, checkForwards, parseForward, splitForward } from "../forward/port_spec.ts";
import type { Gateway, GatewayOptions } from "../mod.ts";
import { DEFAULT_NAMES_TTL_S } from "../nat/rules/bindings.ts";
import type { HostAddresses, HostNetwork } from "../nat/host.ts";
import { parseDhcpOption, parseDhcpOptions } from "../nat/service/dhcp_options.ts";
import { type NetworkPlans, parseServiceAddress } from "../nat/rules/network_plan.ts";
import { DEFAULT_SUBNET, DEFAULT_SUBNET6 } from "../nat/rules/segment.ts";
import type { TranslationRules } from "../nat/rules/translate.ts";
import {
  createTranslationRules,
  type Families,
  parseDns,
  parseMap,
  parseSubnet,
  parseSubnet6,
  TranslationOptionError,
  type TranslationOptionName,
} from "../nat/rules/translation_options.ts";
import { AUDIT_ROWS, type AuditSettings, auditSettings, type AuditTarget, openSinks } from "./audit_settings.ts";
import { stderrLogger, writeStderr } from "./log.ts";
import type { OptionValues } from "./option_table.ts";
import { hostPortOf, mergeOutward, type OutwardPorts, parseOutward } from "./outward_ports.ts";
import { readRules, RULE_ROWS, rulesFiles } from "./rules_settings.ts";
import { UsageError } from "./usage_error.ts";
import {
  checkedBy,
  type HostKind,
  type LogLevel,
  readFlowLimit,
  readHostKind,
  readLogLevel,
  readNames,
  readNamesTtl,
  readTcpPorts,
  readUdpPorts,
} from "./values.ts";

/** What `Gateway.start` is told that is plain data. */
export type PlainOptions = Omit<GatewayOptions, "host" | "logger" | "signal" | "audit" | "decide">;

/** What a gateway was told on the command line. */
export interface GatewaySettings extends AuditSettings {
  /** What the library is told. What the user left out is not there: the library knows the default. */
  readonly gateway: PlainOptions;
  /** Ports that follow what listens in the guest's namespace. */
  readonly autoPorts: readonly AutoPorts[];
  /** Whether clients on the host's loopback are led to that of the namespace. Default not. */
  readonly leadsLoopback?: boolean;
  /** Ports of the namespace's loopback that lead to the host's. Default none. */
  readonly outward?: OutwardPorts;
  /** Files of rules, which `withRules` reads. */
  readonly rulesFiles: readonly string[];
  /** Which host sockets. */
  readonly host: HostKind;
  /** How much is logged. */
  readonly logLevel: LogLevel;
}

/** How the command line calls what the library's errors name. */
const OPTIONS: Partial<Record<TranslationOptionName, string>> = {
  subnet: "--subnet",
  subnet6: "--subnet6",
  nat64: "--nat64",
  dnsServers: "--dns",
  dnsAddresses: "--dns-address",
  hostAliases: "--host-address",
  maps: "--map",
};
/** Least MTU of a link with IPv6 (RFC 8200 section 5): Linux has no IPv6 on one with less. */
const LEAST_MTU6 = 1280;
/** Stands for the host's addresses while options are checked. */
const NOT_READ: HostAddresses = { version: () => 0, has: () => false };

/** The rows of these options. The default of `--log-level` is each command's own. */
export const GATEWAY_ROWS = {
  "tcp-ports": {
    letter: "t",
    metavar: "SPEC",
    help: "host TCP ports that lead to the guest's: 8080, 8080:80, 80,443:8443, [::1]/80,\n" +
      "8000-8009:9000-9009, 127.0.0.1/8080:10.0.2.20/80; 0:80 takes a free one; all, ~5000 (not\n" +
      "that one); 0.0.0.0%eth0/80: clients by eth0 alone; auto: what listens there; repeatable",
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
  "host-lo-to-ns-lo": {
    help: "clients on the host's loopback come to the namespace's, where servers listen for\n" +
      "programs beside them; but for ports that lead to an address of the guest",
  },
  "tcp-ns": {
    letter: "T",
    metavar: "SPEC",
    help: "TCP ports of the namespace's loopback that lead to the host's: 5432, 5432:15432,\n" +
      "8000-8009; auto: what listens there; auto,~5432: not that one; open to the guest with\n" +
      "--no-host-loopback too; repeatable",
    repeatable: true,
    read: (text: string) => parseOutward("tcp", text),
  },
  "udp-ns": {
    letter: "U",
    metavar: "SPEC",
    help: "the same for UDP",
    repeatable: true,
    read: (text: string) => parseOutward("udp", text),
  },
  "subnet": {
    metavar: "CIDR",
    help: "gateway .2, DNS .3, guest .15 (at least a /27)",
    shown: DEFAULT_SUBNET,
    read: checkedBy(parseSubnet),
  },
  "subnet6": {
    metavar: "CIDR",
    help: "the same of IPv6: ::2, ::3, ::15 (a /64)",
    shown: DEFAULT_SUBNET6,
    read: checkedBy(parseSubnet6),
  },
  "ipv4-only": { letter: "4", help: "guests have no IPv6" },
  "ipv6-only": { letter: "6", help: "guests have no IPv4" },
  "nat64": { help: "64:ff9b::/96 leads to IPv4, and names that have IPv4 alone lead there" },
  "dns": {
    letter: "D",
    metavar: "ADDR[:PORT]|none",
    help: "where .3 sends queries; none: no resolver at all",
    shown: "the host's",
    read: checkedBy(parseDns),
  },
  "dns-address": {
    metavar: "ADDR",
    help: "where guests find DNS in place of .3 or ::3: any address, one of each family;\nrepeatable",
    repeatable: true,
    read: checkedBy(parseServiceAddress),
  },
  "map": {
    metavar: "GUESTADDR=HOSTADDR",
    help: "an address of the guest's for one of the host; repeatable",
    repeatable: true,
    read: checkedBy(parseMap),
  },
  "host-address": {
    metavar: "ADDR",
    help:
      "another address that leads where the gateway's does: any, one of each family,\nopen with --no-host-loopback too; repeatable",
    repeatable: true,
    read: checkedBy(parseServiceAddress),
  },
  "no-host-loopback": {
    help: "nothing leads to the host's loopback unless a --map or --host-address does; the\n" +
      "host's other addresses stay open, see --no-host",
  },
  "no-host": { help: "nothing leads to any address of the host, as they change (DNS stays)" },
  ...RULE_ROWS,
  "names": {
    metavar: "verify|strict",
    help: "what TCP flows that only a name allows must say. verify: TLS and HTTP that name;\n" +
      "strict: nothing but TLS and HTTP, which say it",
    shown: "verify",
    read: readNames,
  },
  "names-ttl": {
    metavar: "SECONDS",
    help: "how long an address keeps the name that led to it, at least",
    shown: `${DEFAULT_NAMES_TTL_S}`,
    read: readNamesTtl,
  },
  ...AUDIT_ROWS,
  "dhcp-option": {
    metavar: "NAME=VALUE",
    help: "what DHCP tells: bootfile-name, next-server, tftp-server-name, host-name,\n" +
      "domain-name, domain-search=example.com,example.net; repeatable",
    repeatable: true,
    read: checkedBy(parseDhcpOption),
  },
  "max-flows": {
    metavar: "N",
    help: "flows at once; of serve, a guest has three quarters at most",
    shown: "4096",
    read: readFlowLimit,
  },
  "max-new-flows": { metavar: "N", help: "flows that begin in a second", shown: "no limit", read: readFlowLimit },
  "host": { metavar: "ffi|deno", help: "host sockets: epoll and FFI, or Deno's own", shown: "ffi", read: readHostKind },
  "log-level": { metavar: "LEVEL", help: "debug, info, warn or error", read: readLogLevel },
} as const;

/** The settings that these values make. Throws a `UsageError` if they contradict each other. */
export function gatewaySettings(
  program: string,
  values: OptionValues<typeof GATEWAY_ROWS>,
  defaults: {
    logLevel: LogLevel;
    shared: boolean;
    mtu: number | undefined;
    readAudit?: (text: string) => AuditTarget;
    network?: NetworkPlans;
  },
): GatewaySettings {
  const ports = [...values["tcp-ports"], ...values["udp-ports"]].map(splitForward);
  const outward = mergeOutward([...values["tcp-ns"], ...values["udp-ns"]]);
  if (outward?.auto.length && values["no-host"]) {
    throw new UsageError(
      program,
      '"auto" of -T and -U leads to the host, which --no-host forbids, leave out one of them',
    );
  }
  const gateway: PlainOptions = {
    ...(outward && { hostPorts: outward.named.map(hostPortOf) }),
    forwards: ports.flatMap(({ fixed }) => fixed),
    maps: values.map,
    dnsAddresses: values["dns-address"],
    hostAliases: values["host-address"],
    hostLoopback: !values["no-host-loopback"],
    hostAddresses: !values["no-host"],
    allow: values.allow,
    deny: values.deny,
    dhcpOptions: values["dhcp-option"],
    shared: defaults.shared,
    reportOnly: values.learn !== undefined || values["report-only"],
    nat64: values.nat64,
    ...given({
      subnet: values.subnet,
      subnet6: values.subnet6,
      network: defaults.network,
      families: familiesOf(program, { ...values, mtu: defaults.mtu }),
      dns: values.dns,
      names: values.names,
      namesTtlS: values["names-ttl"],
      maxFlows: values["max-flows"],
      maxNewFlows: values["max-new-flows"],
    }),
  };
  try {
    checkForwards(gateway.forwards!.flatMap(parseForward), gatewayRules(gateway));
    parseDhcpOptions(gateway.dhcpOptions!);
  } catch (error) {
    throw asUsageError(program, error);
  }
  return {
    gateway,
    autoPorts: ports.flatMap(({ auto }) => auto),
    ...(values["host-lo-to-ns-lo"] && { leadsLoopback: true }),
    ...(outward && { outward }),
    rulesFiles: rulesFiles(values),
    ...auditSettings(program, values, defaults.readAudit ?? AUDIT_ROWS.audit.read),
    host: values.host ?? (Deno.build.os === "linux" ? "ffi" : "deno"),
    logLevel: values["log-level"] ?? defaults.logLevel,
  };
}

/** The same with what is in the files of rules. Throws as `readRules` does, of rules of options too. */
export async function withRules<T extends GatewaySettings>(program: string, settings: T): Promise<T> {
  const { gateway, rulesFiles: files } = settings, { rules: _, ...options } = gateway;
  const read = await readRules(program, { options, files });
  return { ...settings, gateway: { ...gateway, rules: read.files } };
}

/** Whether loopback of the guest's namespace is to be reached, or listened on. */
export function wantsDoor({ autoPorts, leadsLoopback = false, outward }: GatewaySettings): boolean {
  return autoPorts.length > 0 || leadsLoopback || outward !== undefined;
}

/** What `Gateway.start` is told, on this host. Throws an `Error` if records cannot go where they are to go. */
export function gatewayOptions(settings: GatewaySettings, host: HostNetwork): GatewayOptions {
  const audit = openSinks(settings, (line) => writeStderr(`${line}\n`));
  const { gateway, logLevel } = settings;
  return { ...gateway, ...(audit.length > 0 && { audit }), host, logger: stderrLogger(logLevel) };
}

/** The rules that a gateway makes of these options, but for the host's own addresses. Throws as it does. */
export function gatewayRules({ hostAddresses = true, ...options }: PlainOptions): TranslationRules {
  return createTranslationRules({ ...options, hostAddresses: hostAddresses ? null : NOT_READ });
}

/** Tells where each forward listens and leads, a line each, whatever is logged. */
export function reportForwards(gateway: Gateway): void {
  const forwards = gateway.forwards.list(), some = forwards.filter(({ isOptional }) => isOptional);
  for (const forward of forwards) if (!forward.isOptional) writeStderr(`forwarding ${forward}\n`);
  for (const protocol of ["tcp", "udp"]) {
    const count = some.filter((forward) => forward.protocol === protocol).length;
    if (count > 0) writeStderr(`forwarding ${protocol} ${count} ports that nobody else has, each to the same one\n`);
  }
}

/** Which families the guests have, if that was said. Throws a `UsageError` if options want one that is left out. */
function familiesOf(
  program: string,
  { mtu, ...values }: OptionValues<typeof GATEWAY_ROWS> & { mtu: number | undefined },
): Families | undefined {
  const isNarrow = mtu !== undefined && mtu < LEAST_MTU6, only6 = values["ipv6-only"];
  const needs6 = only6 ? "--ipv6-only" : values.nat64 ? "--nat64" : undefined;
  if (isNarrow && needs6) throw new UsageError(program, `bad --mtu ${mtu}: ${needs6} needs ${LEAST_MTU6} at least`);
  if (only6) {
    if (values["ipv4-only"]) {
      throw new UsageError(program, "--ipv4-only and --ipv6-only leave nothing, give one of them");
    }
    if (values.subnet === undefined) return "ipv6";
    throw new UsageError(program, `bad --subnet ${values.subnet}: --ipv6-only leaves IPv4 out, leave out one of them`);
  }
  const why = values["ipv4-only"] ? "--ipv4-only" : isNarrow ? `--mtu ${mtu}` : undefined;
  if (why === undefined) return undefined;
  if (values.subnet6 === undefined) return "ipv4";
  throw new UsageError(program, `bad --subnet6 ${values.subnet6}: ${why} leaves IPv6 out, leave out one of them`);
}

/** An error of the library as this program says it: as it says it of one option, or as `cannot forward …`. */
function asUsageError(program: string, error: unknown): UsageError {
  if (error instanceof TranslationOptionError && error.option in OPTIONS) {
    return new UsageError(program, `bad ${OPTIONS[error.option]} ${error.text}: ${error.problem}`);
  }
  const message = error instanceof Error ? error.message : String(error);
  return new UsageError(program, message.charAt(0).toLowerCase() + message.slice(1));
}

/** The same without what is undefined. */
function given<T extends object>(values: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof given<T>
  >;
}
