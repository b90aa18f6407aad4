/**
 * How this network namespace is connected, as a template for a guest's network: asked of Linux's routing
 * (`rtnetlink.ts`).
 *
 * For each family it is the interface of the default route with the least metric in the main table, or one that was
 * named: its addresses, its router, its MTU. Best first, the addresses are those that others would be told: permanent
 * ones before temporary and deprecated ones, and those of the world before those of the link, of IPv6 the former alone.
 * One that is not sure yet to be the host's, or never was, is left out.
 *
 * A route through an interface without a router, as that of a tunnel, has none here either. Of a route with several
 * ways the first counts.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { AF_INET, AF_INET6, libc } from "./libc.ts";
import {
  attributesIn,
  dumpRoutes,
  type Listed,
  openRouteSocket,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTN_UNICAST,
} from "./rtnetlink.ts";

/** How the host is connected by one family. */
export interface HostFamilyNetwork {
  /** The interface. */
  readonly name: string;
  /** Its MTU in bytes. */
  readonly mtu: number;
  /** Its addresses with their prefix lengths, best first, at least one: `192.168.7.20/24`. */
  readonly addresses: readonly string[];
  /** The router of the default route through it; `undefined`: there is none, or the route has no router. */
  readonly gateway: string | undefined;
}

/** How the host is connected. */
export interface HostConnection {
  /** By IPv4; `undefined`: not. */
  readonly ipv4: HostFamilyNetwork | undefined;
  /** By IPv6; `undefined`: not. */
  readonly ipv6: HostFamilyNetwork | undefined;
}

type Family = typeof AF_INET | typeof AF_INET6;

interface Interface {
  readonly name: string;
  readonly mtu: number;
}

interface DefaultRoute {
  readonly index: number;
  readonly gateway: IpAddress | undefined;
  readonly metric: number;
}

interface HostAddress {
  readonly index: number;
  readonly text: string;
  /** Less is better. */
  readonly rank: number;
}

const ACTION = "Cannot learn how the host is connected";

/** Lengths of `struct ifinfomsg`, `ifaddrmsg`, `rtmsg` and `rtnexthop`. */
const LINK = 16, ADDRESS = 8, ROUTE = 12, NEXT_HOP = 8;
const IFLA_IFNAME = 3, IFLA_MTU = 4;
const IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_FLAGS = 8;
const IFA_F_TEMPORARY = 0x1, IFA_F_DADFAILED = 0x8, IFA_F_DEPRECATED = 0x20, IFA_F_TENTATIVE = 0x40;
const RTA_OIF = 4, RTA_GATEWAY = 5, RTA_PRIORITY = 6, RTA_MULTIPATH = 9, RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RTNH_F_DEAD = 0x1, RTM_F_CLONED = 0x200;
/** Scopes: of the world, of this link, and from here on of the host alone. */
const SCOPE_UNIVERSE = 0, SCOPE_HOST = 254;

/**
 * How the host is connected: through the interface `name`, or through that of each family's default route. Throws an
 * `Error` if there is no such interface or the kernel does not answer, and what `libc` throws.
 */
export function readHostConnection(name?: string): HostConnection {
  const c = libc(), fd = openRouteSocket(c, 0, ACTION);
  const dump = (request: number, fixed: number, family: number, visit: (listed: Listed) => void) => {
    if (!dumpRoutes(c, fd, { request, family, fixed }, visit)) {
      throw new Error(`${ACTION}: the kernel's list is not complete, try again`);
    }
  };
  try {
    const interfaces = new Map<number, Interface>();
    dump(RTM_GETLINK, LINK, 0, (listed) => interfaces.set(listed.view.getInt32(listed.at + 4, true), linkOf(listed)));
    const wanted = [...interfaces].find(([, known]) => known.name === name)?.[0];
    if (name !== undefined && wanted === undefined) throw new Error(`${ACTION}: there is no interface ${name}`);
    const familyOf = (family: Family): HostFamilyNetwork | undefined => {
      const routes: DefaultRoute[] = [], addresses: HostAddress[] = [];
      dump(RTM_GETROUTE, ROUTE, family, (listed) => routes.push(...defaultRouteOf(listed)));
      dump(RTM_GETADDR, ADDRESS, family, (listed) => addresses.push(...addressOf(listed, family)));
      const ways = routes.filter(({ index }) => wanted === undefined || index === wanted);
      const [route] = ways.toSorted((a, b) => a.metric - b.metric), index = wanted ?? route?.index;
      const own = addresses.filter((address) => address.index === index).toSorted((a, b) => a.rank - b.rank);
      const through = index === undefined ? undefined : interfaces.get(index);
      if (through === undefined || own.length === 0) return undefined;
      const gateway = route?.gateway === undefined ? undefined : `${route.gateway}`;
      return { ...through, addresses: own.map(({ text }) => text), gateway };
    };
    return { ipv4: familyOf(AF_INET), ipv6: familyOf(AF_INET6) };
  } finally {
    c.close(fd);
  }
}

function linkOf(listed: Listed): Interface {
  const name = valueOf(listed, IFLA_IFNAME), end = name.indexOf(0);
  return {
    name: new TextDecoder().decode(end < 0 ? name : name.subarray(0, end)),
    mtu: numberOf(listed, IFLA_MTU) ?? 0,
  };
}

/** The route, if it is a default one of the main table. */
function defaultRouteOf(listed: Listed): DefaultRoute[] {
  const { view, at, attributes } = listed, flags = view.getUint32(at + 8, true);
  const prefix = view.getUint8(at + 1), sourcePrefix = view.getUint8(at + 2), type = view.getUint8(at + 7);
  if (prefix !== 0 || sourcePrefix !== 0 || type !== RTN_UNICAST || (flags & (RTM_F_CLONED | RTNH_F_DEAD)) !== 0) {
    return [];
  }
  if ((numberOf(listed, RTA_TABLE) ?? view.getUint8(at + 4)) !== RT_TABLE_MAIN) return [];
  const metric = numberOf(listed, RTA_PRIORITY) ?? 0, several = attributes.get(RTA_MULTIPATH);
  if (several === undefined) return wayOf(listed, numberOf(listed, RTA_OIF), metric);
  const first = { view, at, attributes: attributesIn(view, several.at + NEXT_HOP, endOfHop(view, several)) };
  return wayOf(first, view.getInt32(several.at + 4, true), metric);
}

function endOfHop(view: DataView, { at, end }: { readonly at: number; readonly end: number }): number {
  return Math.min(end, at + view.getUint16(at, true));
}

function wayOf(listed: Listed, index: number | undefined, metric: number): DefaultRoute[] {
  const gateway = valueOf(listed, RTA_GATEWAY);
  if (index === undefined) return [];
  return [{ index, metric, gateway: gateway.length === 0 ? undefined : IpAddress.fromBytes(gateway) }];
}

/** The address, if others may be told of it. */
function addressOf(listed: Listed, family: Family): HostAddress[] {
  const { view, at } = listed, prefix = view.getUint8(at + 1), scope = view.getUint8(at + 3);
  const index = view.getUint32(at + 4, true), flags = numberOf(listed, IFA_FLAGS) ?? view.getUint8(at + 2);
  // With a peer, that is the address, and the host's own is the local one.
  const local = valueOf(listed, IFA_LOCAL), bytes = local.length > 0 ? local : valueOf(listed, IFA_ADDRESS);
  const isSure = (flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE)) === 0;
  const isWide = family === AF_INET6 ? scope === SCOPE_UNIVERSE : scope < SCOPE_HOST;
  if (bytes.length === 0 || !isSure || !isWide) return [];
  // The bit of temporary ones means secondary ones of IPv4.
  const rank = (scope === SCOPE_UNIVERSE ? 0 : 4) + ((flags & IFA_F_DEPRECATED) !== 0 ? 2 : 0) +
    ((flags & IFA_F_TEMPORARY) !== 0 ? 1 : 0);
  return [{ index, rank, text: `${IpAddress.fromBytes(bytes)}/${prefix}` }];
}

function valueOf({ view, attributes }: Listed, type: number): Uint8Array {
  const { at, end } = attributes.get(type) ?? { at: 0, end: 0 };
  return new Uint8Array(view.buffer, at, end - at);
}

function numberOf({ view, attributes }: Listed, type: number): number | undefined {
  const value = attributes.get(type);
  return value === undefined || value.end - value.at < 4 ? undefined : view.getUint32(value.at, true);
}
