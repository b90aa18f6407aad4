/**
 * ICMPv6 errors, both ways (RFC 4443); `icmp_error.ts` has the same for IPv4, and the reasons.
 *
 * **To the guest**: which message tells it what the host has learnt of a packet's fate.
 *
 * **From the guest**: "packet too big" lowers the MTU of the path to it (RFC 8201) and the segment size of the
 * connection that it is about. One that says less than every path of IPv6 carries is ignored (section 4 there). "Port
 * unreachable" is as with IPv4. Every other error is counted and changes nothing.
 *
 * @module
 */
import {
  ICMPV6_ADDRESS_UNREACHABLE,
  ICMPV6_ADMIN_PROHIBITED,
  ICMPV6_HOP_LIMIT_EXCEEDED,
  ICMPV6_NO_ROUTE,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PORT_UNREACHABLE,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  icmpv6Code,
  type Icmpv6Error,
  icmpv6Mtu,
  icmpv6Quoted,
  icmpv6Type,
} from "../../net/wire/icmpv6.ts";
import { IPV6_MINIMUM_MTU } from "../../net/wire/ipv6.ts";
import { IPV6_CHAIN_OK, Ipv6Chain, ipv6FragmentOffset, walkIpv6 } from "../../net/wire/ipv6_extensions.ts";
import type { DropReason } from "../base/counters.ts";
import { FlowKey } from "../flow/flow_key.ts";
import type { HostError } from "../host.ts";
import { type ErrorSource, isOfFlow, type SentPackets, takePathMtu } from "./icmp_error.ts";

/** The bytes of a quoted transport header that tell the flow. */
const QUOTED_TRANSPORT = 8;

const key = new FlowKey();
const chain = new Ipv6Chain();

/** The message that tells a guest of an error of the host, or null where there is none. `mtu` is for `tooLarge`. */
export function icmpv6ErrorFor(error: HostError, mtu: number): Icmpv6Error | null {
  switch (error) {
    case "refused":
      return { type: ICMPV6_UNREACHABLE, code: ICMPV6_PORT_UNREACHABLE };
    case "networkUnreachable":
      return { type: ICMPV6_UNREACHABLE, code: ICMPV6_NO_ROUTE };
    case "hostUnreachable":
    case "timedOut":
      return { type: ICMPV6_UNREACHABLE, code: ICMPV6_ADDRESS_UNREACHABLE };
    case "prohibited":
      return { type: ICMPV6_UNREACHABLE, code: ICMPV6_ADMIN_PROHIBITED };
    case "tooLarge":
      // A host that does not know it says 0. Less than the minimum is a path of IPv4, and nobody would believe it.
      return mtu <= 0 ? null : { type: ICMPV6_PACKET_TOO_BIG, code: 0, mtu: Math.max(mtu, IPV6_MINIMUM_MTU) };
    case "expired":
      return { type: ICMPV6_TIME_EXCEEDED, code: ICMPV6_HOP_LIMIT_EXCEEDED };
    case "reset":
    case "exhausted":
    case "other":
      return null;
  }
}

/** Takes the ICMPv6 error that fills `bytes[icmp, end)`, from `guest`. Returns why it has no effect, or null. */
export function takeIcmpv6Error(
  sent: SentPackets,
  guest: ErrorSource,
  bytes: Uint8Array,
  icmp: number,
  end: number,
): DropReason | null {
  const quoted = icmpv6Quoted(bytes, icmp, end);
  if (quoted < 0) return "icmpMalformed";
  if (!wasSent(sent, guest, bytes, quoted, end)) return "icmpErrorStray";
  const type = icmpv6Type(bytes, icmp), mtu = icmpv6Mtu(bytes, icmp);
  if (type === ICMPV6_UNREACHABLE && icmpv6Code(bytes, icmp) === ICMPV6_PORT_UNREACHABLE) {
    return sent.datagramRefused(key, bytes, chain.transport, end) ? null : "icmpErrorSoft";
  }
  if (type !== ICMPV6_PACKET_TOO_BIG || mtu < IPV6_MINIMUM_MTU) return "icmpErrorSoft";
  return takePathMtu(sent, guest, key, mtu);
}

/** Whether the packet quoted in `bytes[ip, end)` is one of a flow of the guest, whose key is then in `key`. */
function wasSent(sent: SentPackets, guest: ErrorSource, bytes: Uint8Array, ip: number, end: number): boolean {
  if (walkIpv6(bytes, ip, end, chain) !== IPV6_CHAIN_OK) return false;
  const { protocol, transport, fragment } = chain, isLater = fragment >= 0 && ipv6FragmentOffset(bytes, fragment) > 0;
  key.setIpv6(guest.number, protocol, bytes, ip, true);
  return !isLater && transport + QUOTED_TRANSPORT <= end && !key.isMapped && isOfFlow(sent, key, bytes, transport);
}
