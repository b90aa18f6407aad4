/**
 * Where a flow of a guest leads: from the address it asked for to addresses of the host.
 *
 * A pure function of destination and rules, applied once a flow. The guest's subnet has a gateway at .2 and a DNS
 * server at .3, neither of which exists; .15 is what DHCP gives out. In this order:
 *
 * 1. A destination that is never relayed is refused (`policy.ts`).
 * 2. The DNS address leads to the host's resolvers, on port 53 alone. Over UDP the gateway asks them itself
 *    (`service/dns_service.ts`).
 * 3. A map leads to the host address it names, also one of loopback; it may name the gateway's own address.
 * 4. The gateway's address leads to the host's loopback: 127.0.0.1, and ::1 for servers that listen there alone.
 * 5. The rest of the subnet is refused: it must not reach a network of the host that has the same numbers.
 * 6. Anything else is itself.
 *
 * Where guests may reach no address of the host (`--no-host`), what would lead to one of them is refused, by whatever
 * way: the gateway's address, a map, or the address itself. DNS is not concerned.
 *
 * Whatever came out is then matched with `policy.ts` once more, and together with what was asked with the user's rules
 * (`egress.ts`). Those do not concern DNS: `dnsServers` says where it leads, or that it leads nowhere. Of the gateway's
 * two targets one that is denied takes the other with it, since both are the same place to whoever wrote the rule.
 * Rules are checked when they are made, so that a wrong one is an error of whoever configures the gateway and not a
 * refusal that a guest runs into.
 *
 * @module
 */
import { Cidr, formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { DNS_PORT } from "../../net/wire/dns.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { HostAddresses } from "../host.ts";
import { EgressRules } from "./egress.ts";
import { familyOf, findForbiddenTarget, findReserved, type IpFamily, isLoopback, NEVER_RELAYED } from "./policy.ts";

const DEFAULT_SUBNET = "10.0.2.0/24";
const DEFAULT_GATEWAY_TARGETS = ["127.0.0.1", "::1"] as const;
/** Longest prefix of a subnet: with 32 addresses there is room for .15. */
const LONGEST_PREFIX = 27;
const GATEWAY_NUMBER = 2;
const DNS_NUMBER = 3;
const GUEST_NUMBER = 15;

/** An address and port of the host's side. */
export interface Target {
  /** The address. */
  readonly address: IpAddress;
  /** The port; 0 where the protocol has none. */
  readonly port: number;
}

/** A guest-visible address that stands for an address of the host's side. */
export interface AddressMap {
  /** What the guest asks for. */
  readonly guest: IpAddress;
  /** Where that leads. */
  readonly host: IpAddress;
}

/** The rules of a gateway, as `createTranslationRules` makes them. */
export interface TranslationRules {
  /** The guest's subnet, without host bits. */
  readonly subnet: Cidr;
  /** The gateway's address: .2 of the subnet. */
  readonly gateway: IpAddress;
  /** The DNS server's address: .3. */
  readonly dns: IpAddress;
  /** The address that DHCP gives out: .15. */
  readonly guest: IpAddress;
  /** Where DNS leads, in the order to try; empty: nowhere for now; `null`: there is no DNS. */
  readonly dnsServers: readonly Target[] | null;
  /** Maps, each with another guest address. */
  readonly maps: readonly AddressMap[];
  /** Where the gateway's address leads, in the order to try. */
  readonly gatewayTargets: readonly IpAddress[];
  /** Whether the gateway's address may lead to loopback. */
  readonly hostLoopback: boolean;
  /** The host's addresses, if guests may reach none of them; else null. */
  readonly hostAddresses: HostAddresses | null;
  /** Where guests may go. */
  readonly egress: EgressRules;
}

/** What rules are made from; addresses as objects or as text. */
export interface TranslationOptions {
  /** IPv4, at least a /27; host bits are dropped. Default 10.0.2.0/24. */
  readonly subnet?: Cidr | string;
  /** Where DNS leads, in the order to try; the port's default is 53. Default `null`: there is no DNS. */
  readonly dnsServers?: readonly { readonly address: IpAddress | string; readonly port?: number }[] | null;
  /** Guest-visible addresses for host addresses. Default none. */
  readonly maps?: readonly { readonly guest: IpAddress | string; readonly host: IpAddress | string }[];
  /** Where the gateway's address leads, in the order to try. Default 127.0.0.1, then ::1. */
  readonly gatewayTargets?: readonly (IpAddress | string)[];
  /** Whether the gateway's address may lead to loopback. Default true. */
  readonly hostLoopback?: boolean;
  /** The host's addresses, if guests may reach none of them. Default null. */
  readonly hostAddresses?: HostAddresses | null;
  /** Where guests may go, as `EgressRules` reads it. Default anywhere. */
  readonly allow?: readonly string[];
  /** Where guests may not go, as `EgressRules` reads it. Default 169.254.0.0/16, which `none` leaves out. */
  readonly deny?: readonly string[];
}

/** What a guest asks for. */
export interface Destination {
  /** The version of the packet: an IPv4-mapped address in an IPv6 packet is not the IPv4 address. */
  readonly family: IpFamily;
  /** Protocol number. */
  readonly protocol: number;
  /** The address. */
  readonly address: IpAddress;
  /** The port; 0 where the protocol has none. */
  readonly port: number;
}

/** What a packet with this key asks for. */
export function destinationOf(key: FlowKey): Destination {
  const { family, protocol, remoteAddress: address, remotePort: port } = key;
  return { family, protocol, address, port };
}

/** Where a flow leads: targets to try in order, at least one. */
export interface Translated {
  /** The next one is for when the one before it refuses. */
  readonly targets: readonly Target[];
}

/** Why a flow leads nowhere. */
export interface Refusal {
  /** The counter: a destination that is never relayed, or one that the configuration forbids. */
  readonly refusal: "neverRelayed" | "denied";
  /** What decided, for logs: a range or a few words. */
  readonly rule: string;
}

/** An answer; `"refusal" in answer` tells which. */
export type Translation = Translated | Refusal;

/**
 * Makes rules and checks them.
 *
 * Throws a `RangeError` for a subnet that is not IPv4, smaller than a /27 or in a reserved range, for a map or target
 * in a range that is never relayed (loopback may be one), for two maps of one address, for a map of an address that is
 * taken; either for an egress rule that cannot be followed; and a `TypeError` for text that is no address.
 */
export function createTranslationRules(options: TranslationOptions = {}): TranslationRules {
  const subnet = checkSubnet(options.subnet ?? DEFAULT_SUBNET);
  const base = subnet.address.ipv4;
  const places = {
    subnet,
    gateway: IpAddress.fromIpv4(base + GATEWAY_NUMBER),
    dns: IpAddress.fromIpv4(base + DNS_NUMBER),
    guest: IpAddress.fromIpv4(base + GUEST_NUMBER),
  };
  const gatewayTargets = (options.gatewayTargets ?? DEFAULT_GATEWAY_TARGETS).map(parseAddress);
  if (gatewayTargets.length === 0) throw new RangeError("Cannot use gateway targets: the list is empty");
  for (const address of gatewayTargets) checkTarget(address, `lead the gateway to ${address}`);
  return {
    ...places,
    dnsServers: options.dnsServers?.map(checkDnsServer) ?? null,
    maps: checkMaps(
      (options.maps ?? []).map((map) => ({ guest: parseAddress(map.guest), host: parseAddress(map.host) })),
      {
        ...places,
        broadcast: broadcastOf(subnet),
      },
    ),
    gatewayTargets,
    hostLoopback: options.hostLoopback ?? true,
    hostAddresses: options.hostAddresses ?? null,
    egress: new EgressRules({
      ...(options.allow !== undefined && { allow: options.allow }),
      ...(options.deny !== undefined && { deny: options.deny }),
    }),
  };
}

/** The same rules with the host's resolvers as they are now. Those that are never relayed are left out. */
export function withDnsServers(rules: TranslationRules, servers: readonly Target[]): TranslationRules {
  return { ...rules, dnsServers: servers.filter(({ address }) => findForbiddenTarget(address) === undefined) };
}

/** Where `destination` leads under `rules`. Never throws. */
export function translate(rules: TranslationRules, destination: Destination): Translation {
  const { address, port } = destination;
  const reserved = findReserved(destination.family, address);
  if (reserved !== undefined) return { refusal: "neverRelayed", rule: reserved.rule };
  const isDns = address.equals(rules.dns);
  const answer = isDns ? translateDns(rules, destination) : translateAddress(rules, address, port);
  if ("refusal" in answer) return answer;
  for (const target of answer.targets) {
    const forbidden = findForbiddenTarget(target.address);
    if (forbidden !== undefined) return { refusal: "neverRelayed", rule: forbidden.rule };
  }
  if (isDns) return answer;
  const own = rules.hostAddresses === null ? undefined : findHostAddress(rules.hostAddresses, answer.targets);
  if (own !== undefined) {
    return { refusal: "denied", rule: `no host, and ${own} is an address of the host (--no-host)` };
  }
  return permitted(rules.egress, address, answer.targets);
}

/** The first of `targets` that is the host itself. */
function findHostAddress(host: HostAddresses, targets: readonly Target[]): IpAddress | undefined {
  return targets.find(({ address }) => isLoopback(address) || host.has(address))?.address;
}

/** The mask of a prefix length as a 32-bit number. */
export function ipv4Mask(prefix: number): number {
  return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
}

/** The last address of an IPv4 subnet: its directed broadcast. */
export function broadcastOf(subnet: Cidr): IpAddress {
  return IpAddress.fromIpv4(subnet.address.ipv4 | ~ipv4Mask(subnet.prefix));
}

/** Whether this address, a 32-bit number, is one of the guest's subnet. */
export function isOnSubnet({ subnet }: TranslationRules, address: number): boolean {
  return (address & ipv4Mask(subnet.prefix)) >>> 0 === subnet.address.ipv4;
}

/** Whether a datagram to this address, a 32-bit number, is for more than one host: multicast or broadcast. */
export function isGroupAddress({ subnet }: TranslationRules, address: number): boolean {
  return address >>> 28 === 0xe || address === 0xffffffff || address === broadcastOf(subnet).ipv4;
}

/** Whether a guest may have this address, a 32-bit number: one of the subnet that neither we nor a map have taken. */
export function isGuestAddress({ subnet, gateway, dns, maps }: TranslationRules, address: number): boolean {
  const network = subnet.address.ipv4, mask = ipv4Mask(subnet.prefix);
  return (address & mask) >>> 0 === network && address !== network && address !== ((network | ~mask) >>> 0) &&
    address !== gateway.ipv4 && address !== dns.ipv4 &&
    !maps.some((map) => map.guest.isIpv4 && map.guest.ipv4 === address);
}

function translateDns(rules: TranslationRules, { protocol, port }: Destination): Translation {
  if (port !== DNS_PORT || (protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_TCP)) {
    return { refusal: "neverRelayed", rule: `${rules.dns} beside port ${DNS_PORT}` };
  }
  const targets = rules.dnsServers ?? [];
  return targets.length === 0 ? { refusal: "denied", rule: "no DNS server" } : { targets };
}

function translateAddress(rules: TranslationRules, address: IpAddress, port: number): Translation {
  for (const map of rules.maps) if (map.guest.equals(address)) return { targets: [{ address: map.host, port }] };
  if (address.equals(rules.gateway)) {
    const targets: Target[] = [];
    for (const target of rules.gatewayTargets) {
      if (rules.hostLoopback || !isLoopback(target)) targets.push({ address: target, port });
    }
    return targets.length > 0 ? { targets } : { refusal: "denied", rule: "no host loopback" };
  }
  if (rules.subnet.contains(address)) return { refusal: "neverRelayed", rule: `${rules.subnet}` };
  return { targets: [{ address, port }] };
}

/** Those of `targets` that a guest may reach by asking for `asked`. */
function permitted(egress: EgressRules, asked: IpAddress, targets: readonly Target[]): Translation {
  let allowed = targets;
  for (const target of targets) {
    const denial = egress.denial(asked, target.address, target.port);
    if (denial === null) continue;
    if (denial !== "notAllowed") {
      const leads = target.address.equals(asked) ? "" : `, ${asked} leads to ${target.address}`;
      return { refusal: "denied", rule: `${denial.text}${leads}` };
    }
    allowed = allowed.filter((other) => other !== target);
  }
  return allowed.length > 0 ? { targets: allowed } : { refusal: "denied", rule: "no allow rule holds it" };
}

function parseAddress(address: IpAddress | string): IpAddress {
  return typeof address === "string" ? IpAddress.parse(address) : address;
}

function checkSubnet(given: Cidr | string): Cidr {
  const written = typeof given === "string" ? Cidr.parse(given) : given;
  if (!written.address.isIpv4) throw new RangeError(`Cannot use subnet ${written}: it is not IPv4`);
  if (written.prefix > LONGEST_PREFIX) {
    throw new RangeError(`Cannot use subnet ${written}: it is smaller than a /${LONGEST_PREFIX}`);
  }
  const subnet = written.network;
  // Of two networks one holds the other or they share nothing, so their first addresses tell.
  const reserved = NEVER_RELAYED.find(({ family, range }) =>
    family === 4 && (range.contains(subnet.address) || subnet.contains(range.address))
  );
  if (reserved) throw new RangeError(`Cannot use subnet ${written}: it shares ${reserved.rule} (${reserved.what})`);
  return subnet;
}

function checkTarget(address: IpAddress, action: string): void {
  const forbidden = findForbiddenTarget(address);
  if (forbidden) throw new RangeError(`Cannot ${action}: ${forbidden.rule} (${forbidden.what}) is never relayed`);
}

function checkDnsServer(server: NonNullable<TranslationOptions["dnsServers"]>[number]): Target {
  const address = parseAddress(server.address), port = server.port ?? DNS_PORT;
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new RangeError(`Cannot use DNS server ${address}: port ${port} is not from 1 to 65535`);
  }
  checkTarget(address, `use DNS server ${formatEndpoint(address, port)}`);
  return { address, port };
}

function checkMaps(
  maps: readonly AddressMap[],
  taken: { subnet: Cidr; dns: IpAddress; guest: IpAddress; broadcast: IpAddress },
): readonly AddressMap[] {
  maps.forEach(({ guest, host }, i) => {
    const refuse = (cause: string) => new RangeError(`Cannot map ${guest} to ${host}: ${cause}`);
    const reserved = findReserved(familyOf(guest), guest);
    if (reserved) throw refuse(`a guest's packets to ${reserved.rule} (${reserved.what}) are never relayed`);
    if (guest.equals(taken.dns)) throw refuse(`${guest} is the DNS server's address`);
    if (guest.equals(taken.guest)) throw refuse(`${guest} is the guest's own address`);
    if (guest.equals(taken.subnet.address) || guest.equals(taken.broadcast)) {
      throw refuse(`${guest} stands for all of the subnet ${taken.subnet}`);
    }
    if (maps.slice(0, i).some((other) => other.guest.equals(guest))) throw refuse(`${guest} is mapped already`);
    checkTarget(host, `map ${guest} to ${host}`);
  });
  return maps;
}
