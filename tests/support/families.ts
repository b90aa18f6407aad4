/**
 * Both families of addresses, as what a test of a guest is run over.
 *
 * @module
 */

/** What a guest is called, and whom it talks to, over one family. */
export interface TestFamily {
  /** For the names of tests. */
  readonly name: "IPv4" | "IPv6";
  /** The version. */
  readonly version: 4 | 6;
  /** The guest's address. */
  readonly guest: string;
  /** The gateway's. */
  readonly gateway: string;
  /** The DNS server's. */
  readonly dns: string;
  /** The host's loopback. */
  readonly loopback: string;
  /** An address that stands for nobody in particular, for documentation. */
  readonly elsewhere: string;
  /** Bytes of an IP header. */
  readonly headerLength: number;
}

/** IPv4 and IPv6. */
export const FAMILIES: readonly TestFamily[] = [
  {
    name: "IPv4",
    version: 4,
    guest: "10.0.2.15",
    gateway: "10.0.2.2",
    dns: "10.0.2.3",
    loopback: "127.0.0.1",
    elsewhere: "192.0.2.1",
    headerLength: 20,
  },
  {
    name: "IPv6",
    version: 6,
    guest: "fd00::15",
    gateway: "fd00::2",
    dns: "fd00::3",
    loopback: "::1",
    elsewhere: "2001:db8::1",
    headerLength: 40,
  },
];

/** An address and port as messages have them: `10.0.2.2:80`, `[fd00::2]:80`. */
export function endpoint(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * A forward from a port of loopback, over the family, to `target`, or to that port of the guest. A guest that has not
 * spoken is taken to be one of IPv4, so that over IPv6 its address is named.
 */
export function forwardTo(
  { version, loopback, guest }: TestFamily,
  target: number | string,
  { hostPort = 0, protocol = "tcp" } = {},
): string {
  const to = typeof target === "string" ? target : version === 4 ? `${target}` : guestTarget(guest, target);
  return `${protocol}:${version === 4 ? "" : `[${loopback}]/`}${hostPort}:${to}`;
}

/** An address of the subnet as a forward names it. */
export function guestTarget(address: string, port: number): string {
  return address.includes(":") ? `[${address}]/${port}` : `${address}/${port}`;
}

/** A test for each family, whose name stands at the end of the test's. */
export function testFamilies(name: string, fn: (family: TestFamily) => Promise<void> | void): void {
  for (const family of FAMILIES) Deno.test(`${name}, over ${family.name}`, () => fn(family));
}
