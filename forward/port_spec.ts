/**
 * Which ports of the host lead to which ports of a guest, as text.
 *
 * ```
 * SPEC   = none | [ADDRESS[%IF]/]ITEM[,ITEM…]
 *                                         the address covers the whole list; without one it is 127.0.0.1
 * ITEM   = PORTS[:TARGET]                 without a target the guest's ports are the host's
 *        | all[:GUESTADDRESS]             every port that nobody has and that is not ephemeral
 *        | ~PORTS                         not these, whatever else the list says; alone: all others
 *        | auto                           what listens in the guest's namespace, while it listens
 * TARGET = [GUESTADDRESS/]PORTS | GUESTADDRESS       an IPv6 address in brackets
 * PORTS  = N | N-M
 * ```
 *
 * `8080`, `8080:80`, `127.0.0.1/8080:80`, `[::1]/8080:80`, `8000-8009:9000-9009`, `80,443:8443`, `8080:10.0.2.20/80`,
 * `8080:[fd00::20]/80`, `0.0.0.0%eth0/80`, `all,~5000-5999`. Host port 0 takes a free one. This is what pasta
 * understands. The form for programs has `tcp:` or `udp:` in front; `auto` is not for them, see `AutoForwards`.
 *
 * A range becomes one forward a port. `[::]` takes clients of both families, `0.0.0.0` those of IPv4. Clients of a port
 * with `%IF` come by that interface alone.
 *
 * @module
 */
import { guestAddressProblem, type MappedSegments } from "../nat/rules/segment.ts";
import { Cidr, formatEndpoint, IpAddress } from "../net/wire/address.ts";

/** A transport whose ports can be forwarded. */
export type ForwardProtocol = "tcp" | "udp";

/** One port of the host. */
export interface PortPlace {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** The host address to listen on. */
  readonly address: IpAddress;
  /** The host port; 0: a free one. */
  readonly port: number;
  /** The interface by which clients come; any unless given. */
  readonly device?: string;
}

/** One port of the host that leads to one port of a guest. */
export interface PortSpec extends PortPlace {
  /** The guest's address; `null`: that of the only guest. */
  readonly guestAddress: IpAddress | null;
  /** The guest's port. */
  readonly guestPort: number;
  /** Whether it is left out if somebody has it already, or if this user may not have it. */
  readonly isOptional?: boolean;
}

/** Ports of the host that follow what listens in a guest's namespace. */
export interface AutoPorts {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** The host address to listen on. */
  readonly address: IpAddress;
  /** The interface by which clients come; any unless given. */
  readonly device?: string;
  /** Whether a port is left out. */
  isExcluded(port: number): boolean;
}

/** What a SPEC asks for. */
export interface PortRequest {
  /** A forward a port. */
  readonly fixed: readonly PortSpec[];
  /** What is to be followed, if anything is. */
  readonly auto: AutoPorts | null;
}

const DEFAULT_ADDRESS = IpAddress.parse("127.0.0.1");
const ANY_IPV4 = IpAddress.parse("0.0.0.0");
const ANY = IpAddress.parse("::");
const MOST = 65535;
/** Ports from which Linux gives clients theirs unless told otherwise (ip(7), `ip_local_port_range`). */
const EPHEMERAL: Range = { first: 32768, last: 60999 };
/** What an interface may be called. */
const DEVICE = /^[^\s/:%[\]]{1,15}$/;
/** Where addresses of IPv6 are that belong to one host (RFC 4291 section 2.4), and of these the local ones. */
const LOCAL = ["fc00::/7", "fe80::/10"].map(Cidr.parse);
const UNICAST = [Cidr.parse("2000::/3"), ...LOCAL];

interface Range {
  readonly first: number;
  readonly last: number;
}

const NONE = "none";
const ALL = "all";
const AUTO = "auto";

interface Target {
  readonly guestAddress: IpAddress | null;
  readonly ports: Range;
}

/**
 * Reads a SPEC without `auto`. Throws a `TypeError` for what does not have that form and a `RangeError` for numbers
 * that make no sense, with a message that says what is wrong and what would be right.
 */
export function parsePortSpec(protocol: ForwardProtocol, text: string): PortSpec[] {
  const { fixed, auto } = parsePortRequest(protocol, text);
  if (auto === null) return [...fixed];
  throw new TypeError('"auto" follows what listens in a namespace, which only the command knows; name the ports');
}

/** Reads a SPEC. Throws as `parsePortSpec` does. */
export function parsePortRequest(protocol: ForwardProtocol, text: string): PortRequest {
  if (text === "") throw new TypeError("it is empty, write a port such as 8080 or 8080:80");
  if (text === NONE) return { fixed: [], auto: null };
  const { address, device, list } = splitAddress(text), items = list.split(",");
  const on = { protocol, address, ...(device === undefined ? {} : { device }) };
  const excluded = items.filter((item) => item.startsWith("~")).map((item) => parseExcluded(item.slice(1)));
  const isExcluded = (port: number) => excluded.some(({ first, last }) => first <= port && port <= last);
  const meant = items.filter((item) => !item.startsWith("~"));
  if (meant.length === 0) meant.push(ALL);
  const fixed = meant.filter((item) => item !== AUTO).flatMap((item) => parseItem({ ...on, item }));
  const specs = fixed.filter(({ port }) => !isExcluded(port));
  checkOverlaps(specs);
  return { fixed: specs, auto: meant.includes(AUTO) ? { ...on, isExcluded } : null };
}

/**
 * Takes `auto` out of `tcp:SPEC` or `udp:SPEC`: what is left, in the same form, and what is to be followed. Throws as
 * `parsePortSpec` does.
 */
export function splitForward(text: string): { readonly fixed: readonly string[]; readonly auto: readonly AutoPorts[] } {
  const { protocol, spec } = splitProtocol(text), { auto } = parsePortRequest(protocol, spec);
  if (auto === null) return { fixed: [text], auto: [] };
  const head = /^(?:\[[^\]]*\])?[^/,]*\//.exec(spec)?.[0] ?? "";
  const items = spec.slice(head.length).split(",").filter((item) => item !== AUTO);
  const hasMore = items.some((item) => !item.startsWith("~"));
  return { fixed: hasMore ? [`${protocol}:${head}${items.join(",")}`] : [], auto: [auto] };
}

/** Reads `tcp:SPEC` or `udp:SPEC`. Throws as `parsePortSpec` does; the message names the text. */
export function parseForward(text: string): PortSpec[] {
  const { protocol, spec } = splitProtocol(text);
  try {
    return parsePortSpec(protocol, spec);
  } catch (error) {
    const message = `Cannot use forward "${text}": ${error instanceof Error ? error.message : error}`;
    throw error instanceof RangeError ? new RangeError(message) : new TypeError(message);
  }
}

function splitProtocol(text: string): { protocol: ForwardProtocol; spec: string } {
  const [, protocol, spec] = /^(tcp|udp):(.*)$/s.exec(text) ?? [];
  if (protocol !== undefined && spec !== undefined) return { protocol: protocol as ForwardProtocol, spec };
  throw new TypeError(`Cannot use forward "${text}": it begins with tcp: or udp:, such as tcp:127.0.0.1/8080:80`);
}

/** A forward for people: `tcp 127.0.0.1:8080 -> 80`, or `-> 10.0.2.20:80` where it names the guest's address. */
export function formatPortSpec({ protocol, address, port, guestAddress, guestPort, device }: PortSpec): string {
  const guest = guestAddress === null ? `${guestPort}` : formatEndpoint(guestAddress, guestPort);
  const by = device === undefined ? "" : ` by ${device}`;
  return `${protocol} ${formatEndpoint(address, port)}${by} -> ${guest}`;
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
    const taken = i < others.length
      ? undefined
      : same.find((other) => !other.isOptional && !spec.isOptional && haveOnePort(other, spec));
    if (taken !== undefined) {
      throw new RangeError(`${formatPortSpec(spec)} overlaps ${formatPortSpec(taken)}, each port can be given once`);
    }
    byPort.set(key, [...same, spec]);
  }
}

/** Whether the host has but one port for both. */
export function haveOnePort(a: PortPlace, b: PortPlace): boolean {
  const onSameDevice = a.device === undefined || b.device === undefined || a.device === b.device;
  return a.port === b.port && a.protocol === b.protocol && onSameDevice && overlap(a.address, b.address);
}

function overlap(a: IpAddress, b: IpAddress): boolean {
  return a.equals(b) || a.equals(ANY) || b.equals(ANY) || (a.equals(ANY_IPV4) && b.isIpv4) ||
    (b.equals(ANY_IPV4) && a.isIpv4);
}

/**
 * The listen address, which a slash ends. A slash may also end a guest's address: that one stands behind a port and a
 * colon.
 */
function splitAddress(text: string): { address: IpAddress; device?: string; list: string } {
  const [, place, list] = /^((?:\[[^\]]*\])?[^/,]*)\/(.*)$/s.exec(text) ?? [];
  if (place === undefined || list === undefined) return { address: DEFAULT_ADDRESS, list: text };
  const [, head = place, device] = /^(.*)%([^%]*)$/s.exec(place) ?? [];
  if (device !== undefined) {
    if (!DEVICE.test(device)) throw new TypeError(`"${device}" behind the % is no interface's name`);
    return { address: head === "" ? ANY : addressBefore(head, list), device, list };
  }
  const isAddress = IpAddress.tryParse(unbracketed(head)) !== undefined;
  if (!isAddress && /^\d+(-\d+)?:/.test(head)) return { address: DEFAULT_ADDRESS, list: text };
  return { address: addressBefore(head, list), list };
}

/** The address in front of the slash, and of its %. */
function addressBefore(head: string, list: string): IpAddress {
  const bracketed = /^\[(.*)\]$/s.exec(head)?.[1];
  const address = IpAddress.tryParse(bracketed ?? head);
  if (address === undefined || (bracketed !== undefined && address.isIpv4)) {
    throw new TypeError(
      `${head || "nothing"} before the slash is no IP address, write 127.0.0.1/${list} or [::1]/${list}`,
    );
  }
  const problem = bracketsProblem(head, list);
  if (problem !== null) throw new TypeError(problem);
  return address;
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

function parseItem({ item, ...on }: {
  protocol: ForwardProtocol;
  address: IpAddress;
  device?: string;
  item: string;
}): PortSpec[] {
  const [all, guests] = /^all(?::(.*))?$/s.exec(item) ?? [];
  if (all !== undefined) return allPorts(on, guests);
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
    ...on,
    port: host.first + i,
    guestAddress: guest.guestAddress,
    guestPort: guest.ports.first + i,
  }));
}

/** A forward for every port that is not ephemeral, left out where it cannot be had. */
function allPorts(on: Pick<PortSpec, "protocol" | "address" | "device">, guests: string | undefined): PortSpec[] {
  const guestAddress = guests === undefined ? null : parseGuestAddress(guests), specs: PortSpec[] = [];
  for (let port = 1; port <= MOST; port++) {
    if (port >= EPHEMERAL.first && port <= EPHEMERAL.last) continue;
    specs.push({ ...on, port, guestAddress, guestPort: port, isOptional: true });
  }
  return specs;
}

function parseExcluded(text: string): Range {
  if (/^\d+(-\d+)?$/.test(text)) return parseRange(text, 0, "excluded port");
  throw new TypeError(`"~${text}" leaves out no port, write ~8080 or ~8000-8009`);
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
  if (item === NONE) return `"${NONE}" stands alone, leave out what is beside it`;
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
