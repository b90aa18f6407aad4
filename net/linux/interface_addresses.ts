/**
 * The addresses of one interface of this network namespace: by SIOCGIFADDR of IPv4 (netdevice(7)), and of IPv6 by
 * /proc/net/if_inet6, because that ioctl tells none.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { readUint32 } from "../wire/bytes.ts";
import { AF_INET, libc, SOCK_DGRAM } from "./libc.ts";
import { readFileBytes } from "./process.ts";

const SIOCGIFADDR = 0x8915n;
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;
/** Behind the name a `struct sockaddr_in`, and in it the address. */
const ADDRESS_AT = IFNAMSIZ + 4;
/** Scope of an address that is not of the link or host alone, in hexadecimal. */
const GLOBAL = "00";

/** The first address of each family that the interface `name` has, IPv4 first; none if there is no such interface. */
export function addressesOfInterface(name: string): IpAddress[] {
  return [ipv4Of(name), ipv6Of(name)].filter((address) => address !== undefined);
}

function ipv4Of(name: string): IpAddress | undefined {
  const c = libc(), fd = c.socket(AF_INET, SOCK_DGRAM, 0), request = new Uint8Array(IFREQ_SIZE);
  new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
  const answer = fd < 0 ? -1 : c.ioctl(fd, SIOCGIFADDR, request);
  if (fd >= 0) c.close(fd);
  return answer < 0 ? undefined : IpAddress.fromIpv4(readUint32(request, ADDRESS_AT));
}

function ipv6Of(name: string): IpAddress | undefined {
  const text = new TextDecoder().decode(readFileBytes("/proc/net/if_inet6"));
  for (const line of text.split("\n")) {
    const [address, , , scope, , device] = line.trim().split(/\s+/);
    // The interface lo has ::1 alone, whose scope is the host.
    if (device === name && (scope === GLOBAL || name === "lo")) {
      return IpAddress.parse(address!.replaceAll(/(.{4})(?!$)/g, "$1:"));
    }
  }
  return undefined;
}
