/**
 * The options of pasta as a table: names and letters of pasta's own, and what each is here.
 *
 * Each is done, or its help says what it is instead. What belongs to passt alone (`--socket`, `--fd`, `--one-off`) is
 * not there, and is refused as an unknown option.
 *
 * @module
 */
import { Cidr, IpAddress } from "../net/wire/address.ts";
import { parsePortRequest } from "../forward/port_spec.ts";
import { parseDns } from "../nat/rules/translation_options.ts";
import { GATEWAY_ROWS } from "./gateway_settings.ts";
import type { NetnsSpec } from "./link_spec.ts";
import { LINK_ROWS } from "./link_settings.ts";
import { checkedBy, MOST_MTU, readInteger, readMac, readMtu } from "./values.ts";

/** Where `ip netns` keeps the namespaces it has named. */
const NAMED_NAMESPACES = "/run/netns/";
/** As text: nothing of it. */
export const NONE = "none";

/** The rows. */
export const PASTA_ROWS = {
  "debug": { letter: "d", help: "log everything" },
  "quiet": { letter: "q", help: "say nothing but what is wrong" },
  "foreground": { letter: "f", help: "do not go to the background when ready" },
  "stderr": { letter: "e", help: "accepted: errors go to standard error until the background begins, all with -f" },
  "log-file": {
    letter: "l",
    metavar: "PATH",
    help: "append the log to PATH from the moment it is ready",
    read: asText,
  },
  "log-size": {
    metavar: "BYTES",
    help: "accepted; the log is never cut: it has errors and warnings alone",
    read: asText,
  },
  "help": { letter: "h", help: "this text" },
  "version": { help: "the version of pasta that this stands in for" },
  "pcap": { ...LINK_ROWS.pcap, letter: "p" },
  "pid": { letter: "P", metavar: "FILE", help: "write the number of the process there when ready", read: asText },
  "ns-ifname": {
    letter: "I",
    metavar: "NAME",
    help: "name of the interface in the namespace",
    shown: "the host's, or tap0",
    read: readIfname,
  },
  "mtu": {
    letter: "m",
    metavar: "N",
    help: "MTU of the interface, 576 to 65520; below 1280 IPv4 alone; 0: the default",
    shown: `${MOST_MTU}`,
    read: readMtuOrNone,
  },
  "address": {
    letter: "a",
    metavar: "ADDR[/PREFIX]",
    help: "address of the guest; once for each family",
    shown: "the host's",
    repeatable: true,
    read: readAddress,
  },
  "netmask": {
    letter: "n",
    metavar: "MASK|BITS",
    help: "netmask of the IPv4 address",
    shown: "the host's, or 24",
    read: readMask,
  },
  "gateway": {
    letter: "g",
    metavar: "ADDR",
    help: "default gateway of the guest; once for each family",
    shown: "the host's",
    repeatable: true,
    read: IpAddress.parse,
  },
  "dns": {
    letter: "D",
    metavar: "ADDR|none",
    help: "the resolver that is asked, ADDR:PORT too; none: names are not resolved. Of several\nthe first counts",
    shown: "the host's",
    repeatable: true,
    read: readResolver,
  },
  "interface": {
    letter: "i",
    metavar: "NAME",
    help: "the host's interface whose addresses and gateway the guest has",
    shown: "the one with the default route",
    read: readIfname,
  },
  "outbound-if4": {
    metavar: "NAME",
    help: "flows of IPv4 go out from this interface's address, which the guest has too, unless\n" +
      "-i or -o say otherwise",
    read: readIfname,
  },
  "outbound-if6": { metavar: "NAME", help: "the same of IPv6", read: readIfname },
  "no-copy-routes": { help: "accepted: a default route is all the guest has" },
  "no-copy-addrs": { help: "accepted: one address of each family is all the guest has" },
  "mac-addr": {
    letter: "M",
    metavar: "MAC",
    help: "accepted; the gateway's MAC address is 52:54:00:12:34:02",
    read: readMac,
  },
  "dns-forward": {
    metavar: "ADDR",
    help: "where the guest finds DNS, over UDP and TCP; once for each family",
    shown: "the gateway",
    repeatable: true,
    read: IpAddress.parse,
  },
  "dns-host": { metavar: "ADDR", help: "the same as --dns ADDR", repeatable: true, read: IpAddress.parse },
  "dhcp-dns": { help: "accepted: DHCP and router advertisements tell where DNS is" },
  "no-dhcp-dns": { help: "accepted; they tell it all the same" },
  "search": {
    letter: "S",
    metavar: "LIST",
    help: "domains, told by DHCP: separated by spaces, or none",
    read: (text: string) => text,
  },
  "dhcp-search": { help: "accepted: DHCP tells what --search says" },
  "no-dhcp-search": { help: "DHCP does not" },
  "hostname": { letter: "H", metavar: "NAME", help: "the guest's name, told by DHCP", read: asText },
  "fqdn": { metavar: "NAME", help: "accepted; DHCP does not tell it", read: asText },
  "map-host-loopback": {
    metavar: "ADDR|none",
    help: "an address that leads to the host's loopback, in place of the gateway's; none: no\n" +
      "address does",
    shown: "the gateway",
    repeatable: true,
    read: readAddressOrNone,
  },
  "map-guest-addr": {
    metavar: "ADDR|none",
    help: "an address that leads to the host at the address that the guest has too; nowhere if\n" +
      "the host has none; once for each family",
    repeatable: true,
    read: readAddressOrNone,
  },
  "no-map-gw": { help: "the gateway's address does not lead to the host's loopback, but to the gateway" },
  "outbound": {
    letter: "o",
    metavar: "ADDR",
    help: "the host's address from which flows go out; once for each family",
    repeatable: true,
    read: IpAddress.parse,
  },
  "ipv4-only": { letter: "4", help: "the guest has no IPv6" },
  "ipv6-only": { letter: "6", help: "the guest has no IPv4" },
  "tcp-ports": {
    letter: "t",
    metavar: "SPEC",
    help: "TCP ports of the host, on every address, that lead to the guest's: 8080:80, ADDR/8080,\n" +
      "ADDR%IF/80, 8000-8009, all, ~5000 (not that one), auto (what listens there), none;\nrepeatable",
    shown: "auto",
    repeatable: true,
    read: (text: string) => readPorts("tcp", text),
  },
  "udp-ports": {
    letter: "u",
    metavar: "SPEC",
    help: "the same for UDP; TCP ports are not UDP ports too",
    shown: "auto",
    repeatable: true,
    read: (text: string) => readPorts("udp", text),
  },
  "host-lo-to-ns-lo": GATEWAY_ROWS["host-lo-to-ns-lo"],
  "tcp-ns": { ...GATEWAY_ROWS["tcp-ns"], shown: NONE },
  "udp-ns": { ...GATEWAY_ROWS["udp-ns"], shown: NONE },
  "netns": { metavar: "PATH|NAME", help: "the network namespace; a name is one of ip netns", read: readNetns },
  "userns": {
    metavar: "PATH",
    help: "must be there; what is entered is the user namespace that owns the network\nnamespace, as the kernel tells",
    read: asText,
  },
  "netns-only": { help: "accepted: no user namespace is entered unless that is needed" },
  "no-netns-quit": { help: "go on when the namespace or PID is gone" },
  "config-net": { help: "set addresses, routes and MTU of the interface; a COMMAND always has them" },
  "ns-mac-addr": { metavar: "MAC", help: "the interface's MAC address, with --config-net", read: readMac },
  "freebind": { help: "accepted; a port of an address that the host has not is an error all the same" },
  "runas": { metavar: "USER", help: "refused: start it as that user", read: readUser },
  "no-tcp": { help: "no TCP but to DNS, and no ports: as --deny with all addresses, which an --allow overrules" },
  "no-udp": { help: "the same of UDP" },
  "no-icmp": { help: "the same of echo" },
  "no-dhcp": { help: "who asks by DHCP is not answered" },
  "no-ra": { help: "no router is advertised" },
  "no-ndp": { help: "the same as --no-ra; neighbours are discovered all the same" },
  "no-dhcpv6": { help: "who asks by DHCPv6 is not answered" },
  "no-splice": { help: "accepted: nothing is spliced" },
} as const;

function asText(text: string): string {
  if (text === "" || text.includes("\0")) throw new TypeError("it is empty");
  return text;
}

function readMtuOrNone(text: string): number {
  return text === "0" ? MOST_MTU : readMtu(text);
}

function readIfname(text: string): string {
  if (/^[^\s/:@%]{1,15}$/.test(text) && text !== "." && text !== "..") return text;
  throw new TypeError("it is an interface's name of 1 to 15 letters, such as tap0");
}

/** An address, with a prefix length if there is one. */
function readAddress(text: string): { readonly address: IpAddress; readonly prefix: number | undefined } {
  if (!text.includes("/")) return { address: IpAddress.parse(text), prefix: undefined };
  return Cidr.parse(text);
}

/** The length of a netmask. */
function readMask(text: string): number {
  if (!text.includes(".")) return readInteger(text, 1, 32);
  const mask = IpAddress.parse(text).ipv4, prefix = Math.clz32(~mask);
  if (prefix > 0 && (prefix === 32 || (mask << prefix) === 0)) return prefix;
  throw new RangeError("it is a netmask such as 255.255.255.0, or a number of bits");
}

/** A resolver as Hawser's own option has it; pasta's callers may leave it empty for none. */
function readResolver(text: string): string {
  return text === "" ? NONE : checkedBy(parseDns)(text);
}

function readAddressOrNone(text: string): IpAddress | typeof NONE {
  return text === NONE ? NONE : IpAddress.parse(text);
}

/** A SPEC whose address may be left out, which then is every one. */
function readPorts(protocol: "tcp" | "udp", text: string): string {
  parsePortRequest(protocol, text);
  return text;
}

function readNetns(text: string): NetnsSpec {
  if (text === "" || text === "." || text === ".." || text.includes("\0")) {
    throw new TypeError("it is the path or the name of a network namespace");
  }
  return { path: text.includes("/") ? text : NAMED_NAMESPACES + text };
}

function readUser(): never {
  throw new TypeError("Hawser stays who it is: start it as that user");
}
