/**
 * Addresses of an in-process guest, read from its options.
 *
 * @module
 */
import { Cidr, IpAddress } from "../net/wire/address.ts";
import { familyOf, type IpFamily } from "../nat/rules/policy.ts";
import { DEFAULT_SUBNET, DEFAULT_SUBNET6, segmentIn } from "../nat/rules/segment.ts";
import type { StationAddresses } from "./station.ts";

const DEFAULTS = { 4: segmentIn(Cidr.parse(DEFAULT_SUBNET)), 6: segmentIn(Cidr.parse(DEFAULT_SUBNET6)) };
/** No single host has one of these. */
const NOBODYS = ["0.0.0.0/8", "224.0.0.0/3", "::/128", "ff00::/8"].map(Cidr.parse);

/** The options that say who a guest is. */
export interface GuestAddressOptions {
  /** Its IPv4 address; null: it has none. Default 10.0.2.15. */
  readonly address?: string | null;
  /** The gateway's IPv4 address. Default 10.0.2.2. */
  readonly gateway?: string;
  /** Its IPv6 address, beside the link-local one of its MAC address; null: it has neither. Default fd00::15. */
  readonly address6?: string | null;
  /** The gateway's IPv6 address. Default fd00::2. */
  readonly gateway6?: string;
}

/**
 * What they say, for each family. Throws a `TypeError` for an address that is none or of the other family, or if there
 * is no address at all, a `RangeError` for one that no single host can have.
 */
export function readGuestAddresses(
  options: GuestAddressOptions,
): { ipv4: StationAddresses | null; ipv6: StationAddresses | null } {
  const ipv4 = options.address === null ? null : {
    address: readAddress(4, "address", options.address) ?? DEFAULTS[4].guest,
    gateway: readAddress(4, "gateway", options.gateway) ?? DEFAULTS[4].gateway,
  };
  const ipv6 = options.address6 === null ? null : {
    address: readAddress(6, "address6", options.address6) ?? DEFAULTS[6].guest,
    gateway: readAddress(6, "gateway6", options.gateway6) ?? DEFAULTS[6].gateway,
  };
  if (ipv4 === null && ipv6 === null) throw new TypeError("Cannot make a guest: it has neither address nor address6");
  return { ipv4, ipv6 };
}

function readAddress(family: IpFamily, option: string, text: string | undefined): IpAddress | undefined {
  if (text === undefined) return undefined;
  const address = IpAddress.parse(text);
  if (familyOf(address) !== family) {
    throw new TypeError(`Cannot use ${option} "${text}": it is no IPv${family} address`);
  }
  if (NOBODYS.some((range) => range.contains(address))) {
    throw new RangeError(`Cannot use ${option} "${text}": it is not the address of one host`);
  }
  return address;
}
