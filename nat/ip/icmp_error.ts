/**
 * ICMP errors of IPv4, both ways (RFC 792, RFC 1122 section 3.2.2).
 *
 * **To the guest**: which message tells it what the host has learnt of a packet's fate.
 *
 * **From the guest**: an error is about a packet that the gateway sent it, which it quotes. One that quotes no packet
 * of a live flow is dropped as stray. "Fragmentation needed" lowers the MTU of the path to the guest (RFC 1191) and the
 * segment size of the connection it is about; what was lost is sent again by the retransmission timer. "Port
 * unreachable" about a datagram of a forward's client has the guest's other family tried (`relay/udp_forward.ts`).
 * Every other one is counted and changes nothing: a mapping outlives it (RFC 4787 REQ-12), and so does a TCP
 * connection, where even "port unreachable" may pass (RFC 5461 section 4; a guest that wants to end one has RST). None
 * is passed on to the host's peer, for which there is no socket call.
 *
 * The sequence number in a quoted segment is not compared with what is on its way, as RFC 5927 section 4.1 has it
 * against strangers on the path: on this link there is nobody but the guest, which can only hurt itself.
 *
 * @module
 */
import {
  ICMP_ADMIN_PROHIBITED,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_HOST_UNREACHABLE,
  ICMP_NET_UNREACHABLE,
  ICMP_PORT_UNREACHABLE,
  ICMP_TIME_EXCEEDED,
  ICMP_TTL_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpv4Code,
  type Icmpv4Error,
  icmpv4Identifier,
  icmpv4Mtu,
  icmpv4Quoted,
  icmpv4Type,
} from "../../net/wire/icmpv4.ts";
import { icmpv6Identifier } from "../../net/wire/icmpv6.ts";
import {
  ipv4Destination,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4Source,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import { udpDestinationPort, udpSourcePort } from "../../net/wire/udp.ts";
import type { DropReason } from "../base/counters.ts";
import { FlowKey } from "../flow/flow_key.ts";
import type { HostError } from "../host.ts";
import type { IpFamily } from "../rules/policy.ts";

/** No MTU is less (RFC 791 section 3.2); a host that does not know it says 0. */
const LEAST_MTU = 68;

const key = new FlowKey();

/** The flows whose packets an error can quote. */
export interface SentPackets {
  /** The TCP flow with this key. */
  tcpFlow(key: FlowKey): { pathMtuChanged(): boolean } | undefined;
  /** Whether a datagram with this key was sent to the guest. */
  hasSentDatagram(key: FlowKey): boolean;
  /**
   * The guest has nobody at the port of the packet with this key, of whatever protocol, which begins with
   * `bytes[start, end)` behind its IP header. Returns whether that changes anything.
   */
  datagramRefused(key: FlowKey, bytes: Uint8Array, start: number, end: number): boolean;
}

/** The guest that sends an error. */
export interface ErrorSource {
  /** Its number in flow keys. */
  readonly number: number;
  /** The path to it carries packets of a family of no more than `mtu` bytes. Returns whether that is news. */
  pathMtuIs(mtu: number, family: IpFamily): boolean;
}

/** The message that tells a guest of an error of the host, or null where there is none. `mtu` is for `tooLarge`. */
export function icmpErrorFor(error: HostError, mtu: number): Icmpv4Error | null {
  switch (error) {
    case "refused":
      return { type: ICMP_UNREACHABLE, code: ICMP_PORT_UNREACHABLE };
    case "networkUnreachable":
      return { type: ICMP_UNREACHABLE, code: ICMP_NET_UNREACHABLE };
    case "hostUnreachable":
    case "timedOut":
      return { type: ICMP_UNREACHABLE, code: ICMP_HOST_UNREACHABLE };
    case "prohibited":
      return { type: ICMP_UNREACHABLE, code: ICMP_ADMIN_PROHIBITED };
    case "tooLarge":
      return mtu < LEAST_MTU ? null : { type: ICMP_UNREACHABLE, code: ICMP_FRAGMENTATION_NEEDED, mtu };
    case "expired":
      return { type: ICMP_TIME_EXCEEDED, code: ICMP_TTL_EXCEEDED };
    case "reset":
    case "exhausted":
    case "other":
      return null;
  }
}

/** Takes the ICMP error that fills `bytes[icmp, end)`, from `guest`. Returns why it has no effect, or null. */
export function takeIcmpError(
  sent: SentPackets,
  guest: ErrorSource,
  bytes: Uint8Array,
  icmp: number,
  end: number,
): DropReason | null {
  const quoted = icmpv4Quoted(bytes, icmp, end);
  if (quoted < 0) return "icmpMalformed";
  if (!wasSent(sent, guest, bytes, quoted)) return "icmpErrorStray";
  if (icmpv4Type(bytes, icmp) !== ICMP_UNREACHABLE) return "icmpErrorSoft";
  switch (icmpv4Code(bytes, icmp)) {
    case ICMP_PORT_UNREACHABLE: {
      const transport = quoted + ipv4HeaderLength(bytes, quoted);
      return sent.datagramRefused(key, bytes, transport, end) ? null : "icmpErrorSoft";
    }
    case ICMP_FRAGMENTATION_NEEDED:
      return takePathMtu(sent, guest, key, icmpv4Mtu(bytes, icmp));
    default:
      return "icmpErrorSoft";
  }
}

/** Whether the packet quoted at `bytes[ip]` is one of a flow of the guest, whose key is then in `key`. */
function wasSent(sent: SentPackets, guest: ErrorSource, bytes: Uint8Array, ip: number): boolean {
  const remote = ipv4Source(bytes, ip), address = ipv4Destination(bytes, ip), protocol = ipv4Protocol(bytes, ip);
  key.setIpv4(guest.number, protocol, address, 0, remote, 0);
  return isOfFlow(sent, key, bytes, ip + ipv4HeaderLength(bytes, ip));
}

/**
 * Whether a flow sent the guest the packet of either family whose transport header begins at `bytes[transport]`; `key`
 * has all of its key but the ports, which are filled in.
 */
export function isOfFlow(sent: SentPackets, key: FlowKey, bytes: Uint8Array, transport: number): boolean {
  switch (key.protocol) {
    case PROTOCOL_TCP:
    case PROTOCOL_UDP:
      // The first four bytes of TCP and UDP are the same.
      key.setPorts(udpDestinationPort(bytes, transport), udpSourcePort(bytes, transport));
      return key.protocol === PROTOCOL_TCP ? sent.tcpFlow(key) !== undefined : sent.hasSentDatagram(key);
    case PROTOCOL_ICMP:
      return sent.hasSentDatagram(key.setPorts(icmpv4Identifier(bytes, transport), 0));
    case PROTOCOL_ICMPV6:
      return sent.hasSentDatagram(key.setPorts(icmpv6Identifier(bytes, transport), 0));
    default:
      return false;
  }
}

/**
 * The path to the guest carries packets like the one with this key, which a flow sent, of no more than `mtu` bytes.
 * Returns why that changes nothing, or null.
 */
export function takePathMtu(sent: SentPackets, guest: ErrorSource, key: FlowKey, mtu: number): DropReason | null {
  const isNews = guest.pathMtuIs(mtu, key.family);
  const isSmaller = key.protocol === PROTOCOL_TCP && sent.tcpFlow(key)?.pathMtuChanged();
  return isSmaller || isNews ? null : "icmpErrorSoft";
}
