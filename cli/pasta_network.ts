/**
 * The network of a guest as `hawser pasta` was told it, or as the host has it.
 *
 * What options leave out is the host's: its address with the prefix length, and its default gateway, of the interface
 * that was named or else of the one with the default route. The guest then has the address that the host has, and the
 * rest of the subnet is relayed, so that the host's neighbours are where they are. The host's own address is the
 * guest's, so a guest reaches the host by `--map-guest-addr`, or by the gateway's address. A family that the host has
 * not is left out, and if it has none, the guest has 169.254.2.1, as with pasta.
 *
 * @module
 */
import { Cidr, IpAddress } from "../net/wire/address.ts";
import type { HostConnection } from "../net/linux/host_network.ts";
import type { NetworkPlan, NetworkPlans } from "../nat/rules/network_plan.ts";
import { familyOf, type IpFamily } from "../nat/rules/policy.ts";
import { UsageError } from "./usage_error.ts";

/** What the options say of the network. */
export interface NetworkWishes {
  /** Addresses of the guest, with the prefix length if one was given. */
  readonly address: readonly { readonly address: IpAddress; readonly prefix: number | undefined }[];
  /** Length of the netmask of IPv4. */
  readonly netmask: number | undefined;
  /** Gateways. */
  readonly gateway: readonly IpAddress[];
  /** Which family there is alone, if one is. */
  readonly only: IpFamily | undefined;
}

/** What a guest has if the host has no address and none was given. */
const LOCAL: NetworkPlan = { guest: "169.254.2.1/16", gateway: "169.254.2.2" };
const DEFAULT_PREFIX: Record<IpFamily, number> = { 4: 24, 6: 64 };

/** The networks that are wished for. Throws a `UsageError` in the name of `program` if there are none. */
export function networkOf(program: string, wishes: NetworkWishes, host: HostConnection): NetworkPlans {
  const plan = (family: IpFamily): NetworkPlan | undefined =>
    wishes.only === undefined || wishes.only === family ? planOf(program, family, { wishes, host }) : undefined;
  const ipv4 = plan(4), ipv6 = plan(6);
  if (ipv4 === undefined && ipv6 === undefined) {
    if (wishes.only !== 6) return { ipv4: LOCAL };
    throw new UsageError(program, "--ipv6-only needs an address, and the host has none: give --address and --gateway");
  }
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

/** The address that others know the host by, with its prefix length; `undefined`: it has none of this family. */
export function addressOfHost({ ipv4, ipv6 }: HostConnection, family: IpFamily): Cidr | undefined {
  const [first] = (family === 4 ? ipv4 : ipv6)?.addresses ?? [];
  return first === undefined ? undefined : Cidr.parse(first);
}

function planOf(
  program: string,
  family: IpFamily,
  { wishes, host }: { readonly wishes: NetworkWishes; readonly host: HostConnection },
): NetworkPlan | undefined {
  const given = wishes.address.findLast(({ address }) => familyOf(address) === family);
  const own = addressOfHost(host, family), router = (family === 4 ? host.ipv4 : host.ipv6)?.gateway;
  const address = given?.address ?? own?.address;
  if (address === undefined) return undefined;
  const isNear = own?.network.contains(address) ?? false, netmask = family === 4 ? wishes.netmask : undefined;
  const prefix = given?.prefix ?? netmask ?? (isNear ? own!.prefix : DEFAULT_PREFIX[family]);
  const far = router === undefined || IpAddress.parse(router).equals(address) ? undefined : router;
  const gateway = wishes.gateway.findLast((address) => familyOf(address) === family) ?? far ??
    neighbourOf(new Cidr(address, prefix));
  if (gateway === undefined) throw new UsageError(program, `${address} is alone in its network: give --gateway`);
  return { guest: `${address}/${prefix}`, gateway: `${gateway}`, relaysSubnet: isNear };
}

/** An address in the subnet that can be the gateway's: the first, or the second if that is the guest's. */
function neighbourOf({ address: guest, prefix }: Cidr): IpAddress | undefined {
  const subnet = new Cidr(guest, prefix).network, { w0, w1, w2, w3 } = subnet.address;
  return [1, 2].map((number) => new IpAddress(w0, w1, w2, w3 + number))
    .find((address) => subnet.contains(address) && !address.equals(guest));
}
