/**
 * Where a flow of a guest leads: from the address it asked for to addresses of the host.
 *
 * A pure function of destination and rules, applied once a flow. Both families go the same way. In the guest's subnet
 * (`segment.ts`) there are a gateway and a DNS server, neither of which exists. In this order:
 *
 * 1. A destination that is never relayed is refused (`policy.ts`).
 * 2. The DNS address leads to the host's resolvers, on port 53 alone. Over UDP the gateway asks them itself
 *    (`service/dns_service.ts`).
 * 3. A map leads to the host address it names, also one of loopback or of the other family; it may name the gateway's
 *    own address.
 * 4. The gateway's address leads to the host's loopback: that of IPv4 to 127.0.0.1, and to ::1 for servers that listen
 *    there alone; that of IPv6 the other way round.
 * 5. The rest of the subnet is refused: it must not reach a network of the host that has the same numbers.
 * 6. With NAT64 an address of 64:ff9b::/96 leads to where the IPv4 address inside leads (RFC 6052), under rules on
 *    both. Private addresses too, which RFC 6052 section 3.1 forbids: a guest with IPv4 reaches them, and one without
 *    has no other way.
 * 7. Anything else is itself.
 *
 * Where guests may reach no address of the host (`--no-host`), what would lead to one of them is refused, by whatever
 * way: the gateway's address, a map, or the address itself. DNS is not concerned.
 *
 * Whatever came out is then matched with `policy.ts` once more, and together with what was asked with the user's rules
 * (`rule_list.ts`). An IPv6 address that holds an IPv4 address, as those of 6to4 do, is refused wherever that one is.
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
import { describeRule, type FlowProtocol } from "./rule.ts";
import type { RuleList } from "./rule_list.ts";
import { LINK_LOCAL, type Segment, segmentOf, type Segments } from "./segment.ts";

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

/** What of it says where it leads, once its family is known to be that of the address. */
type Asked = Omit<Destination, "family">;

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
  const { address } = destination;
  const reserved = findReserved(destination.family, address);
  if (reserved !== undefined) return { refusal: "neverRelayed", rule: reserved.rule };
  const isDns = segmentOf(rules, destination.family)?.dns.equals(address) ?? false;
  const answer = isDns ? translateDns(rules, destination) : translateAddress(rules, destination);
  if ("refusal" in answer) return answer;
  for (const target of answer.targets) {
    const forbidden = findForbidden(target);
    if (forbidden !== undefined) return { refusal: "neverRelayed", rule: forbidden.rule };
  }
  if (isDns) return answer;
  const protocol = flowProtocolOf(destination.protocol);
  for (const target of answer.targets) {
    const refusal = hostRefusal(rules, target.address) ?? refusalInside(rules, protocol, target);
    if (refusal !== null) return refusal;
  }
  return permitted(rules.egress, { protocol, address }, answer.targets);
}

/** Why no guest may reach `address`, if it is the host itself and none may reach that. */
function hostRefusal({ hostAddresses: host }: TranslationRules, address: IpAddress): Refusal | null {
  if (host === null || !(isLoopback(address) || host.has(address))) return null;
  return { refusal: "denied", rule: `no host, and ${address} is an address of the host (--no-host)` };
}

/** Why an IPv4 address in the IPv6 address of `target` is refused, if one is. */
function refusalInside(rules: TranslationRules, protocol: FlowProtocol, { address, port }: Target): Refusal | null {
  for (const inside of ipv4Inside(address)) {
    const refusal = isOfSubnet(rules.ipv4, inside) ?? hostRefusal(rules, inside) ??
      deniedAt(rules, protocol, { address: inside, port });
    if (refusal !== null) return { ...refusal, rule: `${refusal.rule}, ${inside} in ${address}` };
  }
  return null;
}

function isOfSubnet(segment: Segment | null, address: IpAddress): Refusal | null {
  return segment?.subnet.contains(address) ? { refusal: "neverRelayed", rule: `${segment.subnet}` } : null;
}

function deniedAt({ egress }: TranslationRules, protocol: FlowProtocol, { address, port }: Target): Refusal | null {
  const rule = egress.address(protocol, address, address, port);
  return rule?.verdict === "deny" ? { refusal: "denied", rule: describeRule(rule) } : null;
}

function translateDns(rules: TranslationRules, { protocol, address, port }: Destination): Translation {
  if (port !== DNS_PORT || (protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_TCP)) {
    return { refusal: "neverRelayed", rule: `${address} beside port ${DNS_PORT}` };
  }
  const targets = rules.dnsServers ?? [];
  return targets.length === 0 ? { refusal: "denied", rule: "no DNS server" } : { targets };
}

function translateAddress(rules: TranslationRules, { protocol, address, port }: Asked): Translation {
  for (const map of rules.maps) if (map.guest.equals(address)) return { targets: [{ address: map.host, port }] };
  if (rules.nat64 && NAT64_PREFIX.contains(address)) {
    return translateNat64(rules, { protocol, address, port });
  }
  const segment = segmentOf(rules, familyOf(address));
  if (segment === null || !segment.subnet.contains(address)) return { targets: [{ address, port }] };
  if (!address.equals(segment.gateway)) return { refusal: "neverRelayed", rule: `${segment.subnet}` };
  const targets: Target[] = [];
  for (const target of segment.gatewayTargets) {
    if (rules.hostLoopback || !isLoopback(target)) targets.push({ address: target, port });
  }
  return targets.length > 0 ? { targets } : { refusal: "denied", rule: "no host loopback" };
}

function translateNat64(rules: TranslationRules, { protocol, address: { w3 }, port }: Asked): Translation {
  const inside = { protocol, address: IpAddress.fromIpv4(w3), port };
  return deniedAt(rules, flowProtocolOf(protocol), inside) ?? translateAddress(rules, inside);
}

/** Those of `targets` that a guest may reach by asking for `asked`. */
function permitted(
  egress: RuleList,
  { protocol, address: asked }: { protocol: FlowProtocol; address: IpAddress },
  targets: readonly Target[],
): Translation {
  let allowed = targets;
  for (const target of targets) {
    const rule = egress.address(protocol, asked, target.address, target.port);
    if (rule?.verdict === "deny") {
      const leads = target.address.equals(asked) ? "" : `, ${asked} leads to ${target.address}`;
      return { refusal: "denied", rule: `${describeRule(rule)}${leads}` };
    }
    if (rule !== null || !egress.isAllowList) continue;
    allowed = allowed.filter((other) => other !== target);
  }
  return allowed.length > 0 ? { targets: allowed } : { refusal: "denied", rule: "no allow rule holds it" };
}
