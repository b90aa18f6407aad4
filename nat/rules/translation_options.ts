/**
 * The options of translation: read from text and checked, once for programs and for the command line.
 *
 * Each `parse…` reads the text of one option, and throws a `TypeError` for another form or a `RangeError` for what
 * makes no sense. The message is what is wrong and what would be right, alone, so that whoever knows what the text was
 * given for puts that in front. `createTranslationRules` reads all of them, looks for what contradicts each other, and
 * throws a `TranslationOptionError`, which names the option and the text beside the problem.
 *
 * @module
 */
import { Cidr, IpAddress, parseZoned } from "../../net/wire/address.ts";
import { DNS_PORT } from "../../net/wire/dns.ts";
import type { HostAddresses } from "../host.ts";
import { HostPorts } from "./host_ports.ts";
import { type NetworkPlans, parseServiceAddress, planSegment, reservedIn, withServiceAddress } from "./network_plan.ts";
import { familyOf, findForbiddenTarget, findReserved, type IpFamily, isLoopback } from "./policy.ts";
import { RuleList } from "./rule_list.ts";
import { DEFAULT_SUBNET, DEFAULT_SUBNET6, type Segment, segmentIn, type Segments, standsForSubnet } from "./segment.ts";
import type { AddressMap, Target, TranslationRules } from "./translate.ts";

/** Longest prefix of an IPv4 subnet: with 32 addresses there is room for .15. */
const LONGEST_PREFIX = 27;
/** Shortest prefix of an IPv4 subnet: no network for private use is larger (RFC 1918). */
const SHORTEST_PREFIX = 8;
/** Prefix of every IPv6 subnet: guests make up the other 64 bits (RFC 4291 section 2.5.1, RFC 4862). */
const PREFIX6 = 64;
const LEADS_TO_HOST = "it leads to the host, which --no-host forbids, leave out one of them";
/** As text of a DNS server: there is no DNS. */
export const NO_DNS = "none";

/** Which families a guest has. */
export type Families = "both" | "ipv4" | "ipv6";

/** What rules are made from. */
export interface TranslationOptions {
  /** The IPv4 subnet, a /8 to a /27. Default 10.0.2.0/24. */
  readonly subnet?: string;
  /** The IPv6 subnet, a /64. Default fd00::/64. */
  readonly subnet6?: string;
  /** The guest's networks address by address, in place of a subnet each. Default none. */
  readonly network?: NetworkPlans;
  /** Which families the guest has. Default both. */
  readonly families?: Families;
  /** Whether 64:ff9b::/96 leads to IPv4. Default false. */
  readonly nat64?: boolean;
  /** Where DNS leads, as `parseDns` reads it, in the order to try. Default `null`: there is no DNS. */
  readonly dnsServers?: readonly string[] | null;
  /** Where guests find DNS, at most one address of each family. Default .3, ::3; of a network its gateway's. */
  readonly dnsAddresses?: readonly string[];
  /** Addresses that lead where the gateway's lead, at most one of each family. Default none. */
  readonly hostAliases?: readonly string[];
  /** Guest-visible addresses for host addresses, as `parseMap` reads them. Default none. */
  readonly maps?: readonly string[];
  /** Where the gateway's addresses lead, in the order to try. Default the host's loopback, that of its family first. */
  readonly gatewayTargets?: readonly string[];
  /** Whether the gateway's address may lead to loopback. Default true. */
  readonly hostLoopback?: boolean;
  /** Ports at which it does in any case, as `HostPorts` reads them. Default none. */
  readonly hostPorts?: readonly string[];
  /** The host's addresses, if guests may reach none of them. Default null. */
  readonly hostAddresses?: HostAddresses | null;
  /** Where guests may go. Default anywhere but to `DEFAULT_DENY`. */
  readonly egress?: RuleList;
}

/** The options whose texts are read here. */
export type TranslationOptionName =
  | "nat64"
  | "subnet"
  | "subnet6"
  | "network"
  | "dnsServers"
  | "dnsAddresses"
  | "hostAliases"
  | "maps"
  | "gatewayTargets";

const NAMES: Record<TranslationOptionName, string> = {
  nat64: "NAT64",
  subnet: "subnet",
  subnet6: "IPv6 subnet",
  network: "network",
  dnsServers: "DNS server",
  dnsAddresses: "DNS address",
  hostAliases: "host address",
  maps: "map",
  gatewayTargets: "gateway target",
};

/** An option that cannot be followed. */
export class TranslationOptionError extends RangeError {
  /** The class's name, for messages. */
  override readonly name = "TranslationOptionError";
  /** Which option. */
  readonly option: TranslationOptionName;
  /** What was given. */
  readonly text: string;
  /** What is wrong and what would be right. */
  readonly problem: string;

  /** For the text of an option. */
  constructor(option: TranslationOptionName, text: string, problem: string) {
    super(`Cannot use ${NAMES[option]} ${text}: ${problem}`);
    this.option = option;
    this.text = text;
    this.problem = problem;
  }
}

/** Makes rules and checks them. Throws a `TranslationOptionError`, or what `HostPorts.open` throws. */
export function createTranslationRules(options: TranslationOptions = {}): TranslationRules {
  const { families = "both", maps = [], hostAddresses = null } = options;
  const targets = options.gatewayTargets?.map((text) => read("gatewayTargets", text, parseTarget));
  if (targets?.length === 0) throw new TranslationOptionError("gatewayTargets", "[]", "the list is empty");
  const { nat64 = false } = options;
  if (nat64 && families === "ipv4") {
    throw new TranslationOptionError(
      "nat64",
      "with -4",
      "it gives IPv4 to guests by way of IPv6, leave out one of them",
    );
  }
  const all = segmentsOf(options, targets);
  let segments: Segments = {
    ipv4: families === "ipv6" ? null : all.ipv4,
    ipv6: families === "ipv4" ? null : all.ipv6,
  };
  for (const [option, part] of [["dnsAddresses", "dns"], ["hostAliases", "hostAlias"]] as const) {
    const known = new Set<IpFamily>();
    for (const text of options[option] ?? []) {
      segments = read(option, text, (text) => {
        const address = parseServiceAddress(text), family = familyOf(address);
        if (known.has(family)) throw new RangeError(`it is the second one of IPv${family}, leave out one of them`);
        known.add(family);
        if (part === "hostAlias" && hostAddresses !== null) throw new RangeError(LEADS_TO_HOST);
        return withServiceAddress(segments, part, address);
      });
    }
  }
  const known: AddressMap[] = [], taken = [segments.ipv4 ?? all.ipv4, segments.ipv6 ?? all.ipv6];
  for (const text of maps) {
    known.push(read("maps", text, (text) => checkMap(parseMap(text), taken, { known, hostAddresses })));
  }
  const hostPorts = new HostPorts(hostAddresses === null ? null : LEADS_TO_HOST);
  for (const text of options.hostPorts ?? []) hostPorts.open(text);
  return {
    ...segments,
    dnsServers: options.dnsServers?.map((text) => read("dnsServers", text, parseDnsServer)) ?? null,
    maps: known,
    nat64,
    hostLoopback: options.hostLoopback ?? true,
    hostPorts,
    hostAddresses,
    egress: options.egress ?? new RuleList(),
  };
}

/** The networks of both families, the guest's or not. */
function segmentsOf(
  options: TranslationOptions,
  targets: readonly IpAddress[] | undefined,
): { readonly ipv4: Segment; readonly ipv6: Segment } {
  const segment = (family: IpFamily, option: "subnet" | "subnet6", parse: (text: string) => Cidr, text: string) => {
    const plan = family === 4 ? options.network?.ipv4 : options.network?.ipv6, given = options[option];
    if (plan === undefined) return segmentIn(read(option, given ?? text, parse), targets);
    if (given !== undefined) throw new TranslationOptionError(option, given, "a network is given too, leave out one");
    return read("network", plan.guest, () => planSegment(plan, family, targets));
  };
  return {
    ipv4: segment(4, "subnet", parseSubnet, DEFAULT_SUBNET),
    ipv6: segment(6, "subnet6", parseSubnet6, DEFAULT_SUBNET6),
  };
}

/** Reads the IPv4 subnet of a guest. */
export function parseSubnet(text: string): Cidr {
  const subnet = parseNetwork(text, 4, `it is an IPv4 network, such as ${DEFAULT_SUBNET}`);
  if (subnet.prefix > LONGEST_PREFIX) {
    const right = new Cidr(subnet.address, LONGEST_PREFIX).network;
    throw new RangeError(`it is too small, at least a /${LONGEST_PREFIX} is needed, such as ${right}`);
  }
  if (subnet.prefix < SHORTEST_PREFIX) throw new RangeError(`it is too large, at most a /${SHORTEST_PREFIX} will do`);
  return checkNetwork(subnet, DEFAULT_SUBNET);
}

/** Reads the IPv6 subnet of a guest. */
export function parseSubnet6(text: string): Cidr {
  const right = `it is an IPv6 network of 64 bits, such as ${DEFAULT_SUBNET6}`, subnet = parseNetwork(text, 6, right);
  if (subnet.prefix !== PREFIX6) throw new RangeError(`its prefix is /${PREFIX6}, such as ${DEFAULT_SUBNET6}`);
  return checkNetwork(subnet, DEFAULT_SUBNET6);
}

/** Reads `ADDR`, `ADDR:PORT`, `[ADDR]:PORT` or `none`, which is null. */
export function parseDns(text: string): Target | null {
  return text === NO_DNS ? null : parseDnsServer(text);
}

/** Reads `GUESTADDR=HOSTADDR`, of either family. */
export function parseMap(text: string): AddressMap {
  const [guest, host, ...more] = text.split("=").map((part) => IpAddress.tryParse(part));
  if (!guest || !host || more.length > 0) {
    throw new TypeError("it is GUESTADDR=HOSTADDR, such as 10.0.2.100=127.0.0.1 or fd00::100=::1");
  }
  const reserved = findReserved(familyOf(guest), guest);
  if (reserved) {
    throw new RangeError(`a guest's packets to ${reserved.rule} (${reserved.what}) are never relayed, map another one`);
  }
  checkTarget(host);
  return { guest, host };
}

function read<T>(option: TranslationOptionName, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    throw new TranslationOptionError(option, text, (error as Error).message);
  }
}

/** A network of this family; `right` is what else is said to be right. */
function parseNetwork(text: string, family: IpFamily, right: string): Cidr {
  const network = text.includes("/") ? tryParse(() => Cidr.parse(text)) : undefined;
  if (network === undefined || familyOf(network.address) !== family) throw new TypeError(right);
  return network;
}

/** Checks that a network is written without host bits and is nothing that guests cannot have. */
function checkNetwork(network: Cidr, right: string): Cidr {
  const subnet = network.network, reserved = reservedIn(subnet);
  if (reserved !== undefined) {
    throw new RangeError(`it shares ${reserved.rule} (${reserved.what}), take one such as ${right}`);
  }
  if (subnet.address.equals(network.address)) return subnet;
  throw new RangeError(`it names an address in a network, write ${subnet}`);
}

function parseDnsServer(text: string): Target {
  const right = `it is ADDR, ADDR:PORT or ${NO_DNS}, such as 192.0.2.53:5353 or [2001:db8::53]:53`;
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text), dotted = /^([\d.]+)(?::(.*))?$/.exec(text);
  const [, part = text, port] = bracketed ?? dotted ?? [];
  const server = tryParse(() => parseZoned(part));
  if (!server || (bracketed && server.address.isIpv4)) throw new TypeError(right);
  if (port !== undefined && (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535)) {
    throw new RangeError("its port is a whole number from 1 to 65535");
  }
  if (server.zone === undefined) checkTarget(server.address);
  return { ...server, port: port === undefined ? DNS_PORT : Number(port) };
}

function parseTarget(text: string): IpAddress {
  const address = IpAddress.tryParse(text);
  if (!address) throw new TypeError("it is an address of the host, such as 127.0.0.1 or ::1");
  return checkTarget(address);
}

function checkTarget(address: IpAddress): IpAddress {
  const forbidden = findForbiddenTarget(address);
  if (forbidden === undefined) return address;
  throw new RangeError(`${forbidden.rule} (${forbidden.what}) is never relayed, lead to another address`);
}

function checkMap(
  map: AddressMap,
  segments: readonly Segment[],
  { known, hostAddresses }: { known: readonly AddressMap[]; hostAddresses: HostAddresses | null },
): AddressMap {
  const { guest, host } = map;
  for (const segment of segments) {
    const whose = ownerOf(segment, guest);
    if (whose !== undefined) throw new RangeError(`${guest} is ${whose}, take another one`);
  }
  if (known.some((other) => other.guest.equals(guest))) {
    throw new RangeError(`${guest} is mapped already, once is enough`);
  }
  if (hostAddresses !== null && isLoopback(host)) {
    throw new RangeError(LEADS_TO_HOST);
  }
  return map;
}

/** Whose address no map can take, in words. A map of the gateway's is fine. */
function ownerOf({ subnet, dns, hostAlias, guest }: Segment, address: IpAddress): string | undefined {
  if (address.equals(dns)) return "the DNS server's address";
  if (address.equals(guest)) return "the guest's own address";
  if (hostAlias?.equals(address)) return "the host's address";
  return standsForSubnet(subnet, address) ? `the address of all of ${subnet}` : undefined;
}

function tryParse<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
