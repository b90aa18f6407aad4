/**
 * Which ports of the host lead to which ports of a guest, as text.
 *
 * ```
 * SPEC   = [ADDRESS/]ITEM[,ITEM…]         the address covers the whole list; without one it is 127.0.0.1
 * ITEM   = PORTS[:TARGET]                 without a target the guest's ports are the host's
 * TARGET = [GUESTADDRESS/]PORTS | GUESTADDRESS       an IPv6 address in brackets
 * PORTS  = N | N-M
 * ```
 *
 * `8080`, `8080:80`, `127.0.0.1/8080:80`, `[::1]/8080:80`, `8000-8009:9000-9009`, `80,443:8443`, `8080:10.0.2.20/80`,
 * `8080:[fd00::20]/80`. Host port 0 takes a free one. This is what pasta understands, less what depends on the state of
 * the host (`auto`, `all`, `~N`, `%IFACE`): these are refused by name. The form for programs has `tcp:` or `udp:` in
 * front.
 *
 * A range becomes one forward a port. `[::]` takes clients of both families, `0.0.0.0` those of IPv4.
 *
 * @module
 */
import { guestAddressProblem, type MappedSegments } from "../nat/rules/segment.ts";
import { Cidr, formatEndpoint, IpAddress } from "../net/wire/address.ts";

/** A transport whose ports can be forwarded. */
export type ForwardProtocol = "tcp" | "udp";

/** One port of the host that leads to one port of a guest. */
export interface PortSpec {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** The host address to listen on. */
  readonly address: IpAddress;
  /** The host port; 0: a free one. */
  readonly port: number;
  /** The guest's address; `null`: that of the only guest. */
  readonly guestAddress: IpAddress | null;
  /** The guest's port. */
  readonly guestPort: number;
}

const DEFAULT_ADDRESS = IpAddress.parse("127.0.0.1");
const ANY_IPV4 = IpAddress.parse("0.0.0.0");
const ANY = IpAddress.parse("::");
const MOST = 65535;
/** Where addresses of IPv6 are that belong to one host (RFC 4291 section 2.4), and of these the local ones. */
const LOCAL = ["fc00::/7", "fe80::/10"].map(Cidr.parse);
const UNICAST = [Cidr.parse("2000::/3"), ...LOCAL];

interface Range {
  readonly first: number;
  readonly last: number;
}

interface Target {
  readonly guestAddress: IpAddress | null;
  readonly ports: Range;
}

/**
 * Reads a SPEC. Throws a `TypeError` for what does not have that form and a `RangeError` for numbers that make no
 * sense, with a message that says what is wrong and what would be right.
 */
export function parsePortSpec(protocol: ForwardProtocol, text: string): PortSpec[] {
  if (text === "") throw new TypeError("it is empty, write a port such as 8080 or 8080:80");
  const { address, list } = splitAddress(text);
  const specs = list.split(",").flatMap((item) => parseItem({ protocol, address, item }));
  checkOverlaps(specs);
  return specs;
}

/** Reads `tcp:SPEC` or `udp:SPEC`. Throws as `parsePortSpec` does; the message names the text. */
export function parseForward(text: string): PortSpec[] {
  const [, protocol, spec] = /^(tcp|udp):(.*)$/s.exec(text) ?? [];
  if (protocol === undefined || spec === undefined) {
    throw new TypeError(`Cannot use forward "${text}": it begins with tcp: or udp:, such as tcp:127.0.0.1/8080:80`);
  }
  try {
    return parsePortSpec(protocol as ForwardProtocol, spec);
  } catch (error) {
    const message = `Cannot use forward "${text}": ${error instanceof Error ? error.message : error}`;
    throw error instanceof RangeError ? new RangeError(message) : new TypeError(message);
  }
}

/** A forward for people: `tcp 127.0.0.1:8080 -> 80`, or `-> 10.0.2.20:80` where it names the guest's address. */
export function formatPortSpec({ protocol, address, port, guestAddress, guestPort }: PortSpec): string {
  const guest = guestAddress === null ? `${guestPort}` : formatEndpoint(guestAddress, guestPort);
  return `${protocol} ${formatEndpoint(address, port)} -> ${guest}`;
}

/**
 * Throws a `RangeError` that names what is wrong if one of `specs` leads to an address that no guest of these networks
 * can have, or wants a port that another one of them, or of `others`, has.
 */
export function checkForwards(
  specs: readonly PortSpec[],
  segments: MappedSegments,
  others: readonly PortSpec[] = [],
): void {
  for (const spec of specs) {
    const problem = spec.guestAddress === null ? null : guestAddressProblem(segments, spec.guestAddress);
    if (problem !== null) throw new RangeError(`Cannot forward ${formatPortSpec(spec)}: ${problem}`);
  }
  try {
    checkOverlaps(specs, others);
  } catch (error) {
    throw new RangeError(`Cannot forward ports: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * Throws a `RangeError` that names both where two of `specs`, or one of them and one of `others`, want the same port.
 */
export function checkOverlaps(specs: readonly PortSpec[], others: readonly PortSpec[] = []): void {
  const byPort = new Map<string, PortSpec[]>();
  for (const [i, spec] of [...others, ...specs].entries()) {
    if (spec.port === 0) continue;
    const key = `${spec.protocol} ${spec.port}`, same = byPort.get(key) ?? [];
    const taken = i < others.length ? undefined : same.find((other) => overlap(other.address, spec.address));
    if (taken !== undefined) {
      throw new RangeError(`${formatPortSpec(spec)} overlaps ${formatPortSpec(taken)}, each port can be given once`);
    }
    byPort.set(key, [...same, spec]);
  }
}

function overlap(a: IpAddress, b: IpAddress): boolean {
  return a.equals(b) || a.equals(ANY) || b.equals(ANY) || (a.equals(ANY_IPV4) && b.isIpv4) ||
    (b.equals(ANY_IPV4) && a.isIpv4);
}

/**
 * The listen address, which a slash ends. A slash may also end a guest's address: that one stands behind a port and a
 * colon.
 */
function splitAddress(text: string): { address: IpAddress; list: string } {
  const [, head, list] = /^(\[[^\]]*\]|[^/,]*)\/(.*)$/s.exec(text) ?? [];
  if (head === undefined || list === undefined) return { address: DEFAULT_ADDRESS, list: text };
  const bracketed = /^\[(.*)\]$/s.exec(head)?.[1];
  const address = IpAddress.tryParse(bracketed ?? head);
  if (address === undefined && /^\d+(-\d+)?:/.test(head)) return { address: DEFAULT_ADDRESS, list: text };
  if (head.includes("%")) {
    throw new TypeError(`${head} names an interface, which is not supported, name an address of it`);
  }
  if (address === undefined || (bracketed !== undefined && address.isIpv4)) {
    throw new TypeError(
      `${head || "nothing"} before the slash is no IP address, write 127.0.0.1/${list} or [::1]/${list}`,
    );
  }
  const problem = bracketsProblem(head, list);
  if (problem !== null) throw new TypeError(problem);
  return { address, list };
}

/**
 * What to say of `head`, an address without brackets, if it may be a port and a guest's address as well; null: it is
 * no guest's. Without the port an address of a host is rarely one, but all of fd00::/64 are.
 */
function bracketsProblem(head: string, list: string): string | null {
  const [, port, rest = ""] = /^(\d+):(.*)$/s.exec(head) ?? [], guest = IpAddress.tryParse(rest);
  if (port === undefined || guest === undefined || guest.isIpv4) return null;
  const isLocal = LOCAL.some((range) => range.contains(guest));
  const isHost = UNICAST.some((range) => range.contains(IpAddress.parse(head)));
  if (isHost && !isLocal) return null;
  return `brackets are missing, write ${port}:[${rest}]/${list} for a guest's address, or [${head}]/${list}`;
}

function parseItem({ protocol, address, item }: {
  protocol: ForwardProtocol;
  address: IpAddress;
  item: string;
}): PortSpec[] {
  const [, ports, target] = /^(\d+(?:-\d+)?)(?::(.*))?$/s.exec(item) ?? [];
  if (ports === undefined) throw new TypeError(itemProblem(item));
  const host = parseRange(ports, 0, "host port");
  if (host.first === 0) {
    if (host.last > 0) throw new RangeError(`${ports} begins with port 0, which takes a free port and is no range`);
    if (target === undefined) throw new TypeError("host port 0 takes a free one, so name the guest's: 0:80");
  }
  const guest = target === undefined ? { guestAddress: null, ports: host } : parseTarget(target, host);
  const count = host.last - host.first, guestCount = guest.ports.last - guest.ports.first;
  if (guestCount !== count) {
    throw new RangeError(
      `${item} has ${countPorts(count)} of the host and ${countPorts(guestCount)} of the guest, both must be as many`,
    );
  }
  return Array.from({ length: count + 1 }, (_, i) => ({
    protocol,
    address,
    port: host.first + i,
    guestAddress: guest.guestAddress,
    guestPort: guest.ports.first + i,
  }));
}

function parseTarget(text: string, host: Range): Target {
  const [, address, ports] = /^(?:(.*)\/)?(\d+(?:-\d+)?)$/s.exec(text) ?? [];
  if (ports !== undefined) {
    return {
      guestAddress: address === undefined ? null : parseGuestAddress(address),
      ports: parseRange(ports, 1, "guest port"),
    };
  }
  if (IpAddress.tryParse(unbracketed(text)) !== undefined) {
    if (host.first === 0) throw new TypeError(`host port 0 takes a free one, so name the guest's: 0:${text}/80`);
    return { guestAddress: parseGuestAddress(text), ports: host };
  }
  if (/\/(tcp|udp)$/.test(text)) {
    throw new TypeError(`${text} names a protocol, which each kind of forward has already`);
  }
  throw new TypeError(`"${text}" is no port of the guest, write 80, 9000-9009, 10.0.2.20/80 or [fd00::20]/80`);
}

function parseGuestAddress(text: string): IpAddress {
  const inside = unbracketed(text), address = IpAddress.tryParse(inside);
  if (address === undefined || (inside !== text && address.isIpv4)) {
    throw new TypeError(`"${text}" is no address of a guest, write 10.0.2.20/80 or [fd00::20]/80`);
  }
  if (inside === text && !address.isIpv4) throw new TypeError(`brackets are missing, write [${text}]/80`);
  return address;
}

/** What stands in the brackets of an IPv6 address, or the text itself. */
function unbracketed(text: string): string {
  return /^\[(.*)\]$/s.exec(text)?.[1] ?? text;
}

function parseRange(text: string, least: number, what: string): Range {
  const [first = 0, last = first] = text.split("-").map((port) => {
    const number = Number(port);
    if (number < least || number > MOST) throw new RangeError(`${what} ${port} is not from ${least} to ${MOST}`);
    return number;
  });
  if (last < first) throw new RangeError(`${text} runs backwards, write ${last}-${first}`);
  return { first, last };
}

/** What is wrong with an item that does not begin with a port: mostly another program's form. */
function itemProblem(item: string): string {
  if (item === "") return "there is nothing before, after or between its commas, write 80,443";
  if (item === "all" || item === "auto" || item === "none") return `"${item}" is not supported, name the ports`;
  if (item.startsWith("~")) return `excluding ports (${item}) is not supported, name those that are meant`;
  const [, address, rest] = /^(\d+\.\d+\.\d+\.\d+|\[[^\]]*\]):(.*)$/s.exec(item) ?? [];
  if (address !== undefined) return `a slash and not a colon ends the address, write ${address}/${rest}`;
  if (IpAddress.tryParse(item.split("/")[0]!) !== undefined) {
    return `the address of ${item} must stand in front of the list, which it covers, or in a forward of its own`;
  }
  return `"${item}" is no port, write 8080, 8080:80 or 8000-8009:9000-9009`;
}

function countPorts(more: number): string {
  return more === 0 ? "1 port" : `${more + 1} ports`;
}
