/**
 * The network of a guest as `hawser pasta` was told it: its address, netmask, gateway, DNS server, and how its
 * interface is configured.
 *
 * @module
 */
import { Cidr, type IpAddress } from "../net/wire/address.ts";
import { DEFAULT_SUBNET, DEFAULT_SUBNET6, segmentIn } from "../nat/rules/segment.ts";
import type { PlainOptions } from "./gateway_settings.ts";
import type { TapConfiguration } from "./tap_script.ts";

/** What the options say of the network. */
export interface NetworkWishes {
  /** Addresses of the guest. */
  readonly address: readonly { readonly address: IpAddress; readonly prefix: number | undefined }[];
  /** Length of the netmask of IPv4. */
  readonly netmask: number | undefined;
  /** Gateways. */
  readonly gateway: readonly IpAddress[];
  /** Addresses at which DNS is found. */
  readonly dnsForward: readonly IpAddress[];
}

/** The network. */
export interface GuestNetwork {
  /** What the gateway is told of it. */
  readonly options: Pick<PlainOptions, "subnet">;
  /** How the interface is configured. */
  readonly tap: Pick<TapConfiguration, "address" | "gateway" | "address6">;
}

const DEFAULT_PREFIX = 24;

/** The network that is wished for. Throws an `Error` for one that cannot be. */
export function networkOf(wishes: NetworkWishes, { has6 }: { readonly has6: boolean }): GuestNetwork {
  const given = wishes.address.find(({ address }) => address.isIpv4);
  const prefix = given?.prefix ?? wishes.netmask ?? DEFAULT_PREFIX;
  const subnet = given === undefined ? Cidr.parse(DEFAULT_SUBNET) : new Cidr(given.address, prefix).network;
  const ipv4 = segmentIn(subnet), ipv6 = segmentIn(Cidr.parse(DEFAULT_SUBNET6));
  for (
    const [name, wish, is] of [["--gateway", wishes.gateway, "gateway"], [
      "--dns-forward",
      wishes.dnsForward,
      "dns",
    ]] as const
  ) {
    const other = wish.find((address) => address.isIpv4 && !address.equals(ipv4[is]));
    if (other !== undefined) throw new Error(`bad ${name} ${other}: in ${subnet} it is ${ipv4[is]}`);
  }
  return {
    options: { subnet: `${subnet}` },
    tap: {
      address: `${given?.address ?? ipv4.guest}/${prefix}`,
      gateway: `${ipv4.gateway}`,
      address6: has6 ? `${ipv6.guest}/${ipv6.subnet.prefix}` : "untouched",
    },
  };
}
