/**
 * The addresses from which a host's sockets for guests' flows go out.
 *
 * Without one the kernel chooses the address by the route. With one, each socket of that family is bound to it before
 * anything is sent, as slirp4netns and pasta do: TCP, UDP, echo and queries for names. Sockets that listen are not
 * concerned. The port is chosen when TCP connects (IP_BIND_ADDRESS_NO_PORT), so that one address has room for as many
 * connections as there are different targets and ports.
 *
 * If the address is gone while Hawser runs, flows fail as without a network.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { addressesOfInterface } from "../net/linux/interface_addresses.ts";
import { openFlowSocket } from "../net/linux/descriptors.ts";
import {
  AF_INET,
  AF_INET6,
  describeErrno,
  EADDRNOTAVAIL,
  ENETUNREACH,
  errno,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  type Libc,
  SOCK_DGRAM,
  SOCK_STREAM,
} from "../net/linux/libc.ts";
import { SOCKADDR_SIZE, writeSockaddr } from "../net/linux/sockaddr.ts";

const ENABLE = new Uint8Array([1, 0, 0, 0]);
const sockaddr = new Uint8Array(SOCKADDR_SIZE);

/** An address for each family, or `undefined`: the kernel chooses. */
export interface OutboundAddresses {
  /** That of sockets of IPv4. */
  readonly ipv4?: IpAddress | undefined;
  /** That of sockets of IPv6. */
  readonly ipv6?: IpAddress | undefined;
}

/** Reads `ADDR` or `INTERFACE`. Throws a `TypeError` for what is neither. */
export function parseOutbound(text: string): IpAddress | string {
  try {
    return IpAddress.parse(text);
  } catch {
    if (/^[^\s/:@%]{1,15}$/.test(text)) return text;
    throw new TypeError("it is an address of the host, or an interface's name such as eth0");
  }
}

/**
 * The addresses that these texts name, an interface its first of each family. Throws an `Error` if there is no such
 * interface, or if no interface of the host has an address.
 */
export function readOutbound(libc: Libc, texts: readonly string[]): OutboundAddresses {
  let ipv4: IpAddress | undefined, ipv6: IpAddress | undefined;
  for (const text of texts) {
    const named = parseOutbound(text), found = typeof named === "string" ? addressesOfInterface(named) : [named];
    if (found.length === 0) {
      throw new Error(`Cannot send from ${text}: there is no interface of that name with an address`);
    }
    for (const address of found) {
      checkAddress(libc, text, address);
      if (address.isIpv4) ipv4 = address;
      else ipv6 = address;
    }
  }
  return { ipv4, ipv6 };
}

/** A new, non-blocking socket for a guest's flow that goes out from where it should, or an error number below 0. */
export function openOutbound(
  { libc, outbound }: { readonly libc: Libc; readonly outbound: OutboundAddresses },
  family: 4 | 6,
  type: number,
  protocol: number,
): number {
  const fd = openFlowSocket(libc, family === 4 ? AF_INET : AF_INET6, type, protocol);
  const from = family === 4 ? outbound.ipv4 : outbound.ipv6;
  if (fd < 0 || from === undefined) return fd;
  if (type === SOCK_STREAM) libc.setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, ENABLE, ENABLE.length);
  if (libc.bind(fd, sockaddr, writeSockaddr(sockaddr, from, 0)) >= 0) return fd;
  const code = errno();
  libc.close(fd);
  return code === EADDRNOTAVAIL ? -ENETUNREACH : -code;
}

function checkAddress(libc: Libc, text: string, address: IpAddress): void {
  const fd = libc.socket(address.isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  const bound = fd >= 0 && libc.bind(fd, sockaddr, writeSockaddr(sockaddr, address, 0)) >= 0, code = errno();
  if (fd >= 0) libc.close(fd);
  if (bound) return;
  const why = code === EADDRNOTAVAIL ? "no interface of this host has that address" : describeErrno(code);
  throw new Error(`Cannot send from ${text}: ${why}`);
}
