/**
 * The command line of `hawser pasta`: that of pasta, and Hawser's own options beside it.
 *
 * It is read into what `hawser serve` or, for a COMMAND, `hawser run` is told, so that pasta's options mean nothing
 * that these could not do. `pasta_rows.ts` has the options. Hawser's own have no letters, because pasta has other ones.
 *
 * Options end at the first operand. A single operand that is a number is a process, whose network namespace it is; any
 * other one is a COMMAND.
 *
 * @module
 */
import type { HostConnection } from "../net/linux/host_network.ts";
import type { NetworkPlans } from "../nat/rules/network_plan.ts";
import { IpAddress } from "../net/wire/address.ts";
import type { GuestService } from "../nat/service/guest_services.ts";
import { familyOf, type IpFamily } from "../nat/rules/policy.ts";
import { GATEWAY_ROWS, gatewayRules, type GatewaySettings, gatewaySettings } from "./gateway_settings.ts";
import { getopt, without, withoutLetters } from "./getopt.ts";
import type { NetnsSpec } from "./link_spec.ts";
import { LINK_ROWS, type LinkSettings, linkSettings } from "./link_settings.ts";
import { optionHelp, type OptionValues } from "./option_table.ts";
import type { RunOptions } from "./options.ts";
import { addressOfHost, networkOf } from "./pasta_network.ts";
import { NONE, PASTA_ROWS } from "./pasta_rows.ts";
import type { ServeOptions } from "./serve_options.ts";
import { routerOf, type TapConfiguration } from "./tap_script.ts";
import { UsageError } from "./usage_error.ts";
import { MOST_MTU } from "./values.ts";
import { VERSION } from "./version.ts";

/** Who complains. */
export const PASTA = "pasta";

/** The version of pasta whose options these are. */
const STANDS_FOR = "0.0~git20250503.587980c";
/** A SPEC: what listens in the namespace. */
const AUTO = "auto";
const DEFAULT_IFNAME = "tap0";
/** An interface that somebody else configures. */
const DOWN = { mtu: undefined, address6: "untouched" } as const;
const MOST_PID = 0x7fffffff;

/** A namespace that is there. */
export interface PastaOptions {
  /** The same as `hawser serve` is told it. */
  readonly serve: ServeOptions;
  /** The namespace. */
  readonly netns: NetnsSpec;
  /** How the interface is configured. */
  readonly tap: Omit<TapConfiguration, "name">;
  /** Whether it stays in the foreground. */
  readonly foreground: boolean;
  /** Whether nothing is said but what is wrong. */
  readonly quiet: boolean;
  /** Whether it ends when the namespace is gone. */
  readonly quits: boolean;
  /** The file of the log, from the moment it is ready. */
  readonly logFile: string | undefined;
  /** The path that was given as that of a user namespace. */
  readonly usernsPath: string | undefined;
}

/** What the words after `pasta` ask for. */
export type PastaLine =
  | { readonly text: string }
  | { readonly options: PastaOptions }
  | { readonly run: RunOptions; readonly command: readonly string[] };

/** Those of every gateway that pasta has by another name, or not at all. */
const LEFT_OUT = ["subnet", "subnet6", "no-host-loopback", "host"] as const;
/** Hawser's own, without letters. */
const OWN_ROWS = withoutLetters({ ...without(GATEWAY_ROWS, LEFT_OUT), ...LINK_ROWS });
const ROWS = { ...OWN_ROWS, ...PASTA_ROWS };

type Values = OptionValues<typeof ROWS>;

/** What the command line does not say. */
export interface Surroundings {
  /** The COMMAND if nothing else is said. */
  readonly shell: string;
  /** Whether the host has sockets of IPv6. */
  readonly hasIpv6: boolean;
  /** How the host is connected, through the interface of this name or by default. Throws an `Error`. */
  connection(name: string | undefined): HostConnection;
}

/** Reads the words after `hawser pasta`. Throws a `UsageError`. */
export function parsePasta(args: readonly string[], { shell, hasIpv6, connection }: Surroundings): PastaLine {
  const { values, operands } = getopt(PASTA, ROWS, args, { endAtOperand: true });
  if (values.help) return { text: pastaHelp() };
  if (values.version) return { text: pastaVersion() };
  if (values.quiet && (values.debug || values.trace)) fail("--quiet and --debug say the opposite, give one of them");
  const netns = namespaceOf(values, operands), mtu = values.mtu ?? MOST_MTU;
  const { address, netmask, gateway: routers } = values, only = onlyOf(values);
  const everywhere = only === 4 || !hasIpv6 ? "0.0.0.0/" : "[::]/";
  const host = connectionOf(values, connection);
  const network = networkOf(PASTA, { address, netmask, gateway: routers, only }, host);
  const read = gatewaySettings(PASTA, {
    ...values,
    "tcp-ports": values["no-tcp"] ? [] : portsOf("tcp", values["tcp-ports"], everywhere),
    "udp-ports": values["no-udp"] ? [] : portsOf("udp", values["udp-ports"], everywhere),
    "subnet": undefined,
    "subnet6": undefined,
    "ipv4-only": network.ipv6 === undefined,
    "ipv6-only": network.ipv4 === undefined,
    "map": [...values.map, ...mapsOf(values, host)],
    ...hostLoopbackOf(values),
    "dns-address": dnsAddressesOf(values, network),
    "dns": dnsOf(values),
    "host": "ffi",
    "deny": [...values.deny, ...deniedProtocols(values)],
    "dhcp-option": [...values["dhcp-option"], ...dhcpOptionsOf(values)],
    "log-level": values.debug || values.trace ? "debug" : values["log-level"],
  }, { logLevel: "warn", shared: false, mtu, network });
  const gateway = { ...read.gateway, without: withoutOf(values) };
  const settings: GatewaySettings & LinkSettings = { ...read, gateway, ...linkSettings(values) };
  if (netns === undefined) {
    const command = operands.length === 0 ? [shell] : operands;
    return { run: { ...settings, mtu, offload: true, isolate: false }, command };
  }
  return {
    options: {
      serve: {
        ...settings,
        links: [{ kind: "tap", name: values["ns-ifname"] ?? (host.ipv4 ?? host.ipv6)?.name ?? DEFAULT_IFNAME, netns }],
        mtu,
        offload: true,
        configure: values["config-net"],
        outbound: outboundOf(values, connection),
        pidFile: values.pid,
        readyFd: undefined,
        exitFd: undefined,
        wsToken: undefined,
        wsOrigins: [],
      },
      netns,
      tap: { mac: values["ns-mac-addr"], ...(values["config-net"] ? { mtu, ...tapOf(settings) } : DOWN) },
      foreground: values.foreground,
      quiet: values.quiet,
      quits: !values["no-netns-quit"],
      logFile: values["log-file"],
      usernsPath: values.userns,
    },
  };
}

/** The help. */
export function pastaHelp(): string {
  return `Usage: pasta [OPTION]... [COMMAND [ARG]...]
       pasta [OPTION]... PID
       pasta [OPTION]... --netns PATH|NAME
Hawser in place of pasta: user-mode networking for namespaces that are there, or for a COMMAND in one of its own.

Options of pasta, and what they are here:
${optionHelp(PASTA_ROWS)}

Options of Hawser, see hawser serve --help:
${optionHelp(without(OWN_ROWS, Object.keys(PASTA_ROWS) as (keyof typeof OWN_ROWS)[]))}

Options end at the first word that is none. For a namespace that is there it goes to the background when everything is
ready, and ends with the namespace. A COMMAND, $SHELL unless told, is run as hawser run does it, in the foreground.

Exit codes: 0 when it is ready in the background, and when it was told to end; else 1, with one line on stderr; of a
COMMAND as hawser run has them.
`;
}

/** What `pasta --version` prints. */
export function pastaVersion(): string {
  return `pasta ${STANDS_FOR} (hawser ${VERSION})\n`;
}

/** The namespace that is there, if one is named. */
function namespaceOf({ netns, ...values }: Values, [first, ...more]: readonly string[]): NetnsSpec | undefined {
  if (netns !== undefined) {
    if (first === undefined) return netns;
    fail("both --netns and PID or COMMAND given, say one of them");
  }
  if (first === undefined || more.length > 0 || !/^\d+$/.test(first)) {
    if (values.userns === undefined && !values["netns-only"]) return undefined;
    fail(`--${values.userns === undefined ? "netns-only" : "userns"} needs --netns or PID`);
  }
  const pid = Number(first);
  if (pid > 0 && pid <= MOST_PID) return { pid };
  fail(`invalid PID ${first}`);
}

function onlyOf(values: Values): IpFamily | undefined {
  if (!values["ipv4-only"]) return values["ipv6-only"] ? 6 : undefined;
  if (!values["ipv6-only"]) return 4;
  fail("--ipv4-only and --ipv6-only leave nothing, give one of them");
}

/** How the host is connected, through one interface or one for each family. */
function connectionOf(values: Values, connection: Surroundings["connection"]): HostConnection {
  const four = values["outbound-if4"], six = values["outbound-if6"];
  if (values.interface !== undefined || (four === undefined && six === undefined)) return connection(values.interface);
  return { ipv4: connection(four).ipv4, ipv6: connection(six).ipv6 };
}

/** From where flows go out, as addresses. */
function outboundOf(values: Values, connection: Surroundings["connection"]): string[] {
  const of = (family: IpFamily, option: "outbound-if4" | "outbound-if6"): string[] => {
    const given = values.outbound.findLast((address) => familyOf(address) === family), name = values[option];
    if (given !== undefined || name === undefined) return given === undefined ? [] : [`${given}`];
    const own = addressOfHost(connection(name), family);
    return own === undefined ? fail(`--${option} ${name}: it has no IPv${family} address`) : [`${own.address}`];
  };
  return [...of(4, "outbound-if4"), ...of(6, "outbound-if6")];
}

/** How the interface is configured for the networks of these settings. */
function tapOf({ gateway }: GatewaySettings): Pick<TapConfiguration, "address" | "gateway" | "address6" | "gateway6"> {
  const { ipv4, ipv6 } = gatewayRules(gateway);
  return {
    ...(ipv4 && { address: `${ipv4.guest}/${ipv4.subnet.prefix}`, gateway: routerOf(ipv4) }),
    ...(ipv6 && { gateway6: routerOf(ipv6) }),
    address6: ipv6 === null ? "untouched" : `${ipv6.guest}/${ipv6.subnet.prefix}`,
  };
}

/** Callers name an address of IPv4 whatever the guest has. */
function dnsAddressesOf(values: Values, { ipv4, ipv6 }: NetworkPlans): string[] {
  return values["dns-forward"].filter((address) => (familyOf(address) === 4 ? ipv4 : ipv6) !== undefined).map(String);
}

/** Forwards of ports, of what listens unless told otherwise; SPECs without an address are on `everywhere`. */
function portsOf(protocol: "tcp" | "udp", given: readonly string[], everywhere: string): string[] {
  const specs = given.length === 0 ? [AUTO] : given;
  return specs.filter((spec) => spec !== NONE).map((spec) => {
    const head = spec.slice(0, Math.max(0, spec.indexOf("/")));
    const hasAddress = head !== "" &&
      (!/^\d+(-\d+)?:/.test(head) || IpAddress.tryParse(head.replace(/%.*/, "")) !== undefined);
    return `${protocol}:${hasAddress ? spec : everywhere + spec}`;
  });
}

function dnsOf(values: Values): string | undefined {
  const host = values["dns-host"].at(-1);
  return host === undefined ? values.dns[0] : `${host}`;
}

/** Which addresses lead to the host's loopback: the gateway's, unless others are named or none. */
function hostLoopbackOf(values: Values): Pick<Values, "host-address"> & { readonly "no-host-loopback": boolean } {
  const wished = values["map-host-loopback"], named = wished.filter((address) => address !== NONE);
  return {
    "host-address": [...values["host-address"], ...named.map(String)],
    "no-host-loopback": values["no-map-gw"] || wished.length > 0,
  };
}

/** Maps that lead to the host at the address that it has itself; to one that it has not, nothing leads. */
function mapsOf(values: Values, host: HostConnection): string[] {
  return values["map-guest-addr"].flatMap((address) => {
    const own = address === NONE ? undefined : addressOfHost(host, familyOf(address));
    return own === undefined ? [] : [`${address}=${own.address}`];
  });
}

function withoutOf(values: Values): GuestService[] {
  return [
    ...(values["no-dhcp"] ? ["dhcp" as const] : []),
    ...(values["no-dhcpv6"] ? ["dhcpv6" as const] : []),
    ...(values["no-ra"] || values["no-ndp"] ? ["router" as const] : []),
  ];
}

function deniedProtocols(values: Values): string[] {
  return (["tcp", "udp", "icmp"] as const).filter((name) => values[`no-${name}`])
    .flatMap((name) => [`${name}:0.0.0.0/0`, `${name}:::/0`]);
}

function dhcpOptionsOf({ search = NONE, hostname, ...values }: Values): string[] {
  const words = search === NONE || values["no-dhcp-search"] ? [] : search.split(/\s+/).filter((word) => word !== "");
  return [
    ...(words.length === 0 ? [] : [`domain-search=${words.map((name) => name.replace(/\.$/, "")).join(",")}`]),
    ...(hostname === undefined ? [] : [`host-name=${hostname}`]),
  ];
}

function fail(message: string): never {
  throw new UsageError(PASTA, message);
}
