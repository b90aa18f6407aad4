/**
 * Where a flow of a guest leads: from the address it asked for to addresses of the host.
 *
 * A pure function of destination and rules, applied once a flow. Both families go the same way. On the guest's link
 * (`segment.ts`) there are a gateway, a DNS server and perhaps an alias of the host; none of them exists. In this
 * order:
 *
 * 1. A destination that is never relayed is refused (`policy.ts`). A gateway's address of fe80::/10 is an exception.
 * 2. The DNS address leads to the host's resolvers, on port 53 alone. Over UDP the gateway asks them itself
 *    (`service/dns_service.ts`). If it is the gateway's address or the alias too, other ports are theirs.
 * 3. A map leads to the host address it names, also one of loopback or of the other family; it may name the gateway's
 *    own address.
 * 4. The gateway's address and the alias lead to the host's loopback: those of IPv4 to 127.0.0.1, and to ::1 for
 *    servers that listen there alone; those of IPv6 the other way round.
 *    At ports that are named (`host_ports.ts`) the gateway's do in any case, whatever a map says.
 * 5. The rest of the subnet is refused: it must not reach a network of the host that has the same numbers. If the
 *    subnet is that network (`relaysSubnet`), it is relayed like anything else, and so is the gateway's address if it
 *    must not lead to loopback.
 * 6. With NAT64 an address of 64:ff9b::/96 leads to where the IPv4 address inside leads (RFC 6052), under rules on
 *    both. Private addresses too, which RFC 6052 section 3.1 forbids: a guest with IPv4 reaches them, and one without
 *    has no other way.
 * 7. Anything else is itself.
 *
 * Where guests may reach no address of the host (`--no-host`), what would lead to one of them is refused, by whatever
 * way: the gateway's address, a map, or the address itself. DNS is not concerned.
 *
 * Whatever came out is then matched with `policy.ts` once more, and together with what was asked with the user's rules
 * about addresses (`rule_list.ts`): one of them denies, or allows, or none matches and the flow is `undecided`. What
 * becomes of it then is the gatekeeper's business (`gatekeeper.ts`). So is a report, for which a denial says where the
 * flow would have led. An IPv6 address that holds an IPv4 address, as those of 6to4 do, is refused if that one is.
 * Rules do not concern DNS: `dnsServers` says where it leads, or that it leads nowhere. Of the gateway's two targets
 * one that is denied takes the other with it, since both are the same place to whoever wrote the rule. Rules are
 * checked when they are made (`translation_options.ts`), so that a wrong one is an error of whoever configures the
 * gateway and not a refusal that a guest runs into.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { DNS_PORT } from "../../net/wire/dns.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { HostAddresses } from "../host.ts";
import type { HostPorts } from "./host_ports.ts";
import {
  familyOf,
  findForbiddenTarget,
  findReserved,
  type IpFamily,
  ipv4Inside,
  isLoopback,
  NAT64_PREFIX,
  type ReservedRange,
} from "./policy.ts";
import { describeRule, type FlowProtocol, type Rule } from "./rule.ts";
import type { RuleList } from "./rule_list.ts";
import { isHidden, LINK_LOCAL, type Segment, segmentOf, type Segments, standsForHost } from "./segment.ts";

/** An address and port of the host's side. */
export interface Target {
  /** The address. */
  readonly address: IpAddress;
  /** The port; 0 where the protocol has none. */
  readonly port: number;
  /** The interface behind which a link-local address of a resolver is, by name or number. */
  readonly zone?: string;
}

/** A guest-visible address that stands for an address of the host's side. */
export interface AddressMap {
  /** What the guest asks for. */
  readonly guest: IpAddress;
  /** Where that leads. */
  readonly host: IpAddress;
}

/** The rules of a gateway, as `createTranslationRules` makes them. */
export interface TranslationRules extends Segments {
  /** Where DNS leads, in the order to try; empty: nowhere for now; `null`: there is no DNS. */
  readonly dnsServers: readonly Target[] | null;
  /** Maps, each with another guest address. */
  readonly maps: readonly AddressMap[];
  /** Whether the gateway's address may lead to loopback. */
  readonly hostLoopback: boolean;
  /** Ports at which it does in any case. */
  readonly hostPorts: HostPorts;
  /** Whether 64:ff9b::/96 leads to IPv4. */
  readonly nat64: boolean;
  /** The host's addresses, if guests may reach none of them; else null. */
  readonly hostAddresses: HostAddresses | null;
  /** Where guests may go. */
  readonly egress: RuleList;
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
  /** The rule about addresses that allows it; null: none does. */
  readonly rule: Rule | null;
  /** Whether no rule about addresses matches, so that names decide (`gatekeeper.ts`). */
  readonly undecided: boolean;
}

/** Why a flow leads nowhere. */
export interface Refusal {
  /** The counter: a destination that is never relayed, or one that the configuration forbids. */
  readonly refusal: "neverRelayed" | "denied";
  /** What decided, for logs: a range or a few words. */
  readonly rule: string;
  /** The user's rule that decided, if one did. */
  readonly decided: Rule | null;
  /** Where it would lead without that rule; none without one. */
  readonly targets: readonly Target[];
}

/** An answer; `"refusal" in answer` tells which. */
export type Translation = Translated | Refusal;

/** The same rules with the host's resolvers as they are now. Those that are never relayed are left out. */
export function withDnsServers(rules: TranslationRules, servers: readonly Target[]): TranslationRules {
  return { ...rules, dnsServers: servers.filter(isUsableDnsServer) };
}

/** Whether DNS may be asked there. */
export function isUsableDnsServer(server: Target): boolean {
  return findForbidden(server) === undefined;
}

/** The range that forbids a translation to lead to a target. A link-local address leads somewhere with its zone. */
function findForbidden({ address, zone }: Target): ReservedRange | undefined {
  return zone !== undefined && LINK_LOCAL.contains(address) ? undefined : findForbiddenTarget(address);
}

/** What rules call the protocol of this number. */
export function flowProtocolOf(protocol: number): FlowProtocol {
  return protocol === PROTOCOL_TCP ? "tcp" : protocol === PROTOCOL_UDP ? "udp" : "icmp";
}

/** Where `destination` leads under `rules`. Never throws. */
export function translate(rules: TranslationRules, destination: Destination): Translation {
  const { address } = destination, segment = segmentOf(rules, destination.family);
  const reserved = findReserved(destination.family, address);
  if (reserved !== undefined && !segment?.gateway.equals(address)) return barred("neverRelayed", reserved.rule);
  const isDns = segment !== null && segment.dns.equals(address) &&
    (isDnsQuery(destination) || !standsForHost(segment, address));
  const targets = isDns ? dnsTargets(rules, destination) : targetsOf(rules, destination);
  if ("refusal" in targets) return targets;
  for (const target of targets) {
    const forbidden = findForbidden(target);
    if (forbidden !== undefined) return barred("neverRelayed", forbidden.rule);
  }
  if (isDns) return { targets, rule: null, undecided: false };
  for (const target of targets) {
    const refusal = hostRefusal(rules, target.address) ?? barredInside(rules, target.address);
    if (refusal !== null) return refusal;
  }
  return byRules(rules, destination, targets);
}

/** Why a program may not lead a flow to `target`, or null. */
export function redirectRefusal(rules: TranslationRules, target: Target): Refusal | null {
  const forbidden = findForbidden(target);
  if (forbidden !== undefined) return barred("neverRelayed", forbidden.rule);
  return hostRefusal(rules, target.address) ?? barredInside(rules, target.address);
}

function barred(refusal: Refusal["refusal"], rule: string): Refusal {
  return { refusal, rule, decided: null, targets: [] };
}

/** Why no guest may reach `address`, if it is the host itself and none may reach that. */
function hostRefusal({ hostAddresses: host }: TranslationRules, address: IpAddress): Refusal | null {
  if (host === null || !(isLoopback(address) || host.has(address))) return null;
  return barred("denied", `no host, and ${address} is an address of the host (--no-host)`);
}

/** Why an IPv4 address in the IPv6 `address` is refused whatever the rules say, if one is. */
function barredInside(rules: TranslationRules, address: IpAddress): Refusal | null {
  for (const inside of ipv4Inside(address)) {
    const refusal = isOfSubnet(rules.ipv4, inside) ?? hostRefusal(rules, inside);
    if (refusal !== null) return { ...refusal, rule: `${refusal.rule}, ${inside} in ${address}` };
  }
  return null;
}

function isOfSubnet(segment: Segment | null, address: IpAddress): Refusal | null {
  return segment !== null && isHidden(segment, address) ? barred("neverRelayed", `${segment.subnet}`) : null;
}

function isDnsQuery({ protocol, port }: Destination): boolean {
  return port === DNS_PORT && (protocol === PROTOCOL_UDP || protocol === PROTOCOL_TCP);
}

function dnsTargets(rules: TranslationRules, destination: Destination): readonly Target[] | Refusal {
  if (!isDnsQuery(destination)) return besideDns(destination.address);
  const targets = rules.dnsServers ?? [];
  return targets.length === 0 ? barred("denied", "no DNS server") : targets;
}

function besideDns(address: IpAddress): Refusal {
  return barred("neverRelayed", `${address} beside port ${DNS_PORT}`);
}

function targetsOf(
  rules: TranslationRules,
  { protocol, address, port }: Pick<Destination, "protocol" | "address" | "port">,
): readonly Target[] | Refusal {
  const segment = segmentOf(rules, familyOf(address)), isGateway = segment?.gateway.equals(address) ?? false;
  const isNamed = isGateway && rules.hostPorts.isOpen({ protocol, port });
  for (const map of isNamed ? [] : rules.maps) if (map.guest.equals(address)) return [{ address: map.host, port }];
  if (isNat64(rules, address)) return targetsOf(rules, { protocol, address: IpAddress.fromIpv4(address.w3), port });
  if (segment === null) return [{ address, port }];
  const isAlias = segment.hostAlias?.equals(address) ?? false;
  if (isAlias || isGateway) return hostTargets(rules, segment, { address, port }, isAlias || isNamed);
  if (isHidden(segment, address)) return barred("neverRelayed", `${segment.subnet}`);
  return address.equals(segment.dns) ? besideDns(address) : [{ address, port }];
}

/** Where the gateway's address or the host's alias leads. Who named an alias or a port meant it, as with a map. */
function hostTargets(
  { hostLoopback }: TranslationRules,
  { gatewayTargets, relaysSubnet }: Segment,
  asked: Target,
  isMeant: boolean,
): readonly Target[] | Refusal {
  const targets: Target[] = [];
  for (const address of gatewayTargets) {
    if (isMeant || hostLoopback || !isLoopback(address)) targets.push({ address, port: asked.port });
  }
  if (targets.length > 0) return targets;
  return relaysSubnet ? [asked] : barred("denied", "no host loopback");
}

/** The addresses of `segment` at which the gateway answers echo itself; a real gateway's it leaves to that. */
export function answeredAddresses({ hostLoopback }: TranslationRules, segment: Segment): IpAddress[] {
  const { gateway, gatewayTargets, dns, hostAlias, relaysSubnet } = segment;
  const isRelayed = relaysSubnet && !hostLoopback && gatewayTargets.every(isLoopback);
  return [...(isRelayed ? [] : [gateway]), dns, ...(hostAlias === null ? [] : [hostAlias])];
}

function isNat64(rules: TranslationRules, address: IpAddress): boolean {
  return rules.nat64 && NAT64_PREFIX.contains(address) && !rules.maps.some(({ guest }) => guest.equals(address));
}

/** What the rules about addresses say of a flow that leads to `targets`. */
function byRules(
  rules: TranslationRules,
  { protocol: number, address: asked, port }: Destination,
  targets: readonly Target[],
): Translation {
  const { egress } = rules, protocol = flowProtocolOf(number);
  const denied = (decided: Rule, words: string): Refusal => ({ refusal: "denied", rule: words, decided, targets });
  if (isNat64(rules, asked)) {
    const inside = IpAddress.fromIpv4(asked.w3), rule = egress.address(protocol, inside, inside, port);
    if (rule?.verdict === "deny") return denied(rule, describeRule(rule));
  }
  const allowed: Target[] = [];
  let allow: Rule | null = null;
  for (const target of targets) {
    const { address } = target, rule = egress.address(protocol, asked, address, port);
    if (rule?.verdict === "deny") return denied(rule, `${describeRule(rule)}${wayFrom(asked, address)}`);
    if (rule === null) continue;
    allow ??= rule;
    allowed.push(target);
  }
  if (allow === null) return { targets, rule: null, undecided: true };
  return { targets: allowed, rule: allow, undecided: false };
}

/** For logs: how a rule about one address comes to be about another. */
function wayFrom(asked: IpAddress, address: IpAddress): string {
  if (!address.equals(asked)) return `, ${asked} leads to ${address}`;
  const [inside] = ipv4Inside(address);
  return inside === undefined ? "" : `, ${inside} in ${address}`;
}
