/**
 * The command line of `hawser slirp4netns`: that of slirp4netns 1.2, and Hawser's own options beside it.
 *
 * It is read into what `hawser serve` is told, so that slirp4netns's options mean nothing that `serve` could not do.
 * Every option of slirp4netns is done or refused; two promise more than Hawser can keep, and the help says what they
 * are here: `--enable-sandbox` and `--enable-seccomp`. Hawser's own options have no letters, because slirp4netns has
 * other ones.
 *
 * @module
 */
import { Cidr, type IpAddress } from "../net/wire/address.ts";
import { LONGEST_SOCKET_PATH } from "../net/linux/sockaddr.ts";
import { DEFAULT_SUBNET, ipv4Mask, type Segment, slirp4netnsGuest } from "../nat/rules/segment.ts";
import { parseSubnet } from "../nat/rules/translation_options.ts";
import { parseOutbound } from "../host/outbound.ts";
import { GATEWAY_ROWS, gatewayRules, gatewaySettings } from "./gateway_settings.ts";
import { getopt, without, withoutLetters } from "./getopt.ts";
import type { LinkSpec, NetnsSpec } from "./link_spec.ts";
import { LINK_ROWS, linkSettings } from "./link_settings.ts";
import { optionHelp } from "./option_table.ts";
import type { ServeOptions } from "./serve_options.ts";
import type { TapConfiguration } from "./tap_script.ts";
import { UsageError } from "./usage_error.ts";
import { LEAST_MTU, MOST_MTU, readInteger, readMac } from "./values.ts";
import { VERSION } from "./version.ts";

/** Who complains. */
export const SLIRP4NETNS = "slirp4netns";

/** Greatest MTU that slirp4netns takes. A packet of IPv4 has one byte less than such a link could carry. */
const MOST_MTU_TAKEN = 65521;
const DEFAULT_MTU = 1500;
const LONGEST_PREFIX = 25;

/** What `hawser slirp4netns` was told. */
export interface Slirp4netnsOptions {
  /** The same as `hawser serve` is told it; from where flows go out is added by whoever starts it. */
  readonly serve: ServeOptions;
  /** The guest's network of IPv4. */
  readonly segment: Segment;
  /** The address that `-c` gives, and to which forwards lead unless told otherwise. */
  readonly guest: IpAddress;
  /** How the TAP is configured, if it is. */
  readonly tap: Omit<TapConfiguration, "name"> | undefined;
  /** The path of the API's socket. */
  readonly apiSocket: string | undefined;
  /** The path that was given as that of a user namespace. */
  readonly usernsPath: string | undefined;
  /** From where flows go out: an address or an interface. */
  readonly outbound: { readonly ipv4: string | undefined; readonly ipv6: string | undefined };
  /** Whether the gateway's thread keeps no capability but that for low ports. */
  readonly isConfined: boolean;
}

/** What the words after `slirp4netns` ask for. */
export type Slirp4netnsLine = { readonly text: string } | { readonly options: Slirp4netnsOptions };

const ROWS = {
  "configure": { letter: "c", help: "set the TAP and lo up: address .100, default route, MTU" },
  "exit-fd": { letter: "e", metavar: "FD", help: "end when this descriptor is closed at its other end", read: readFd },
  "ready-fd": { letter: "r", metavar: "FD", help: "write 1 to this descriptor when ready, and close it", read: readFd },
  "mtu": {
    letter: "m",
    metavar: "MTU",
    help: "MTU of the TAP, 576 to 65521 (taken for 65520)",
    shown: "1500",
    read: readMtu,
  },
  "enable-ipv6": {
    letter: "6",
    help: "IPv6 too, fd00::/64: addresses by router advertisements, or fd00::15 by DHCPv6",
  },
  "api-socket": {
    letter: "a",
    metavar: "PATH",
    help: "add_hostfwd, list_hostfwd and remove_hostfwd on this socket",
    read: readSocketPath,
  },
  "cidr": { metavar: "CIDR", help: "the network, a /8 to a /25", shown: DEFAULT_SUBNET, read: readCidr },
  "disable-host-loopback": { help: "nothing leads to the host's loopback; other addresses of the host: --no-host" },
  "netns-type": { metavar: "path|pid", help: "what the first operand is", shown: "pid", read: oneOf("path", "pid") },
  "userns-path": {
    metavar: "PATH",
    help: "must be there; what is entered is the user namespace that owns the network\nnamespace, as the kernel tells",
    read: asText,
  },
  "enable-sandbox": {
    help: "every capability but that for low ports is dropped. No mount namespace of its own:\n" +
      "Hawser can still read what its user can, and gives up Deno's right to write and run",
  },
  "enable-seccomp": {
    help: "accepted, since Hawser always denies itself the system calls that a gateway never\n" +
      "needs; a list of what is denied, not of what is allowed",
  },
  "outbound-addr": {
    metavar: "ADDR|IFACE",
    help: "the host's IPv4 address from which flows go out",
    read: readOutboundText,
  },
  "outbound-addr6": { metavar: "ADDR|IFACE", help: "the same of IPv6", read: readOutboundText },
  "disable-dns": { help: "no DNS at .3: it is refused, as with --dns none" },
  "macaddress": { metavar: "MAC", help: "the TAP's MAC address, with -c", read: readMac },
  "target-type": {
    metavar: "netns|bess",
    help: "bess: a socket at PATH for User Mode Linux, in place of a TAP",
    shown: "netns",
    read: oneOf("netns", "bess"),
  },
  "no-host-loopback": { help: "old name of --disable-host-loopback" },
  "create-sandbox": { help: "old name of --enable-sandbox" },
  "help": { letter: "h", help: "this text" },
  "version": { letter: "v", help: "the version of slirp4netns that this stands in for" },
} as const;

/** Those of every gateway that slirp4netns has by another name, or not at all. */
const LEFT_OUT = ["subnet", "ipv4-only", "ipv6-only", "no-host-loopback", "host"] as const;
/** Hawser's own, without letters. */
const OWN_ROWS = withoutLetters({ ...without(GATEWAY_ROWS, LEFT_OUT), ...LINK_ROWS });

/** Reads the words after `hawser slirp4netns`. Throws a `UsageError`. */
export function parseSlirp4netns(args: readonly string[]): Slirp4netnsLine {
  const { values, operands } = getopt(SLIRP4NETNS, { ...OWN_ROWS, ...ROWS }, args);
  if (values.help) return { text: slirp4netnsHelp() };
  if (values.version) return { text: slirp4netnsVersion() };
  const isBess = values["target-type"] === "bess";
  const link = isBess ? bessLink(values, operands) : tapLink(values["netns-type"] ?? "pid", operands);
  if (values["ready-fd"] !== undefined && values["ready-fd"] === values["exit-fd"]) {
    fail("--exit-fd is that of --ready-fd, give two");
  }
  const mtu = values.mtu ?? DEFAULT_MTU, has6 = values["enable-ipv6"];
  const isQuiet = values["disable-host-loopback"] || values["no-host-loopback"];
  const settings = gatewaySettings(SLIRP4NETNS, {
    ...values,
    "subnet": values.cidr,
    "ipv4-only": !has6,
    "ipv6-only": false,
    "no-host-loopback": isQuiet,
    "dns": values["disable-dns"] ? "none" : values.dns,
    "host": "ffi",
  }, { logLevel: "warn", shared: false, mtu });
  const segment = gatewayRules(settings.gateway).ipv4!, guest = slirp4netnsGuest(segment);
  if (values.macaddress !== undefined && !values.configure) fail("--macaddress needs --configure");
  const tap = {
    mtu,
    mac: values.macaddress,
    address: `${guest}/${segment.subnet.prefix}`,
    gateway: `${segment.gateway}`,
    address6: has6 ? "automatic" : "untouched",
  } as const;
  return {
    options: {
      serve: {
        ...settings,
        ...linkSettings(values),
        links: [link],
        mtu,
        offload: true,
        configure: values.configure,
        outbound: [],
        pidFile: undefined,
        readyFd: values["ready-fd"],
        exitFd: values["exit-fd"],
        wsToken: undefined,
        wsOrigins: [],
      },
      segment,
      guest,
      tap: values.configure ? tap : undefined,
      apiSocket: values["api-socket"],
      usernsPath: values["userns-path"],
      outbound: { ipv4: values["outbound-addr"], ipv6: values["outbound-addr6"] },
      isConfined: values["enable-sandbox"] || values["create-sandbox"],
    },
  };
}

/** The help, in which podman and others look for the options that they may use. */
export function slirp4netnsHelp(): string {
  return `Usage: slirp4netns [OPTION]... PID|PATH TAPNAME
Hawser in place of slirp4netns: user-mode networking for unprivileged network namespaces.

Options of slirp4netns 1.2, and what they are here:
${optionHelp(ROWS)}

Options of Hawser, see hawser serve --help:
${optionHelp(OWN_ROWS)}

The gateway is .2, DNS .3; a guest gets .15 by DHCP, and .100 with -c. Options and operands may stand in any order.

Exit codes: 0 when it was told to end, else 1, with one line on stderr.
`;
}

/** What `slirp4netns --version` prints, as far as programs read it. */
export function slirp4netnsVersion(): string {
  return `slirp4netns version 1.2.0 (hawser ${VERSION})\nSLIRP_CONFIG_VERSION_MAX: 4\n`;
}

/** What slirp4netns prints when it starts, on stdout. */
export function slirp4netnsBanner({ serve, segment, guest, tap, apiSocket }: Slirp4netnsOptions): string {
  const mask = maskText(segment.subnet.prefix), { subnet, gateway, dns, guest: leased } = segment;
  const hasDns = serve.gateway.dns !== "none", isOpen = serve.gateway.hostLoopback ?? true;
  return [
    "Starting slirp",
    `* MTU:             ${serve.mtu}`,
    `* Network:         ${subnet.address}`,
    `* Netmask:         ${mask}`,
    `* Gateway:         ${gateway}`,
    `* DNS:             ${hasDns ? dns : "none"}`,
    `* DHCP begin:      ${leased}`,
    `* DHCP end:        ${leased}`,
    `* Recommended IP:  ${guest}`,
    ...(apiSocket === undefined ? [] : [`* API Socket:      ${apiSocket}`]),
    ...(tap?.mac === undefined ? [] : [`* MAC address:     ${tap.mac}`]),
    ...(isOpen
      ? [
        `WARNING: 127.0.0.1:* on the host is accessible as ${gateway} (set --disable-host-loopback to prohibit ` +
        "connecting to 127.0.0.1:*)",
      ]
      : []),
    "",
  ].join("\n");
}

function tapLink(type: "path" | "pid", operands: readonly string[]): LinkSpec {
  const [target, name] = operands;
  if (target === undefined) fail(`missing ${type.toUpperCase()} and TAPNAME, see slirp4netns --help`);
  if (name === undefined) fail("missing TAPNAME behind it, such as tap0");
  if (!/^[^\s/:@%]{1,15}$/.test(name) || name === "." || name === "..") {
    fail(`bad TAPNAME ${name}: it is an interface's name of 1 to 15 letters, such as tap0`);
  }
  return { kind: "tap", name, netns: type === "path" ? { path: target } : readPid(target) };
}

function readPid(text: string): NetnsSpec {
  try {
    return { pid: readInteger(text, 1, 0x7fffffff) };
  } catch {
    fail(`PID must be a positive integer, not ${text}; of a path say --netns-type=path`);
  }
}

function bessLink(
  values: { readonly "configure": boolean; readonly "netns-type": unknown; readonly "userns-path": unknown },
  operands: readonly string[],
): LinkSpec {
  const [path, further] = operands;
  if (path === undefined) fail("missing PATH of the socket, see slirp4netns --help");
  if (further !== undefined) fail(`too many arguments: ${further}`);
  for (const name of ["configure", "netns-type", "userns-path"] as const) {
    if (values[name]) fail(`--${name} conflicts with --target-type=bess`);
  }
  return { kind: "unixpacket", path: readSocketPath(path) };
}

function fail(message: string): never {
  throw new UsageError(SLIRP4NETNS, message);
}

function readFd(text: string): number {
  return readInteger(text, 0, 0xffff);
}

function readMtu(text: string): number {
  return Math.min(readInteger(text, LEAST_MTU, MOST_MTU_TAKEN), MOST_MTU);
}

function asText(text: string): string {
  return text;
}

function readSocketPath(text: string): string {
  if (text === "") throw new TypeError("it is a path");
  if (new TextEncoder().encode(text).length <= LONGEST_SOCKET_PATH) return text;
  throw new RangeError(`the path is too long, a socket's has at most ${LONGEST_SOCKET_PATH} bytes`);
}

function readOutboundText(text: string): string {
  parseOutbound(text);
  return text;
}

function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((word) => word === text);
    if (word !== undefined) return word;
    throw new TypeError(`it must be either "${words.join('" or "')}"`);
  };
}

/** A CIDR in the words of slirp4netns, whose callers may look for them. */
function readCidr(text: string): string {
  let network: Cidr | undefined;
  try {
    network = Cidr.parse(text);
  } catch {
    // Told below.
  }
  if (network === undefined || !network.address.isIpv4 || !text.includes("/")) throw new TypeError("invalid CIDR");
  if (network.prefix < 1 || network.prefix > LONGEST_PREFIX) {
    throw new RangeError(`prefix length needs to be 1-${LONGEST_PREFIX}, not ${network.prefix}`);
  }
  const { network: right } = network;
  if (!right.address.equals(network.address)) {
    throw new RangeError(`CIDR needs to be a network address like ${right}, not like ${text}`);
  }
  parseSubnet(text);
  return text;
}

function maskText(prefix: number): string {
  return [24, 16, 8, 0].map((shift) => (ipv4Mask(prefix) >>> shift) & 0xff).join(".");
}
