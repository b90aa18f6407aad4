/**
 * A socket's queue of errors (`IP_RECVERR`, ip(7)): what became of datagrams that were sent.
 *
 * A socket that is not connected is told of ICMP errors nowhere else (RFC 1122 section 4.1.3.3 wants them passed on).
 * Each entry names the destination that the datagram had, the cause, and the beginning of its payload (of an ICMP
 * message: its header). One descriptor of an entry is filled again and again.
 *
 * @module
 */
import type { HostError } from "../nat/host.ts";
import { ICMP_ADMIN_PROHIBITED, ICMP_TIME_EXCEEDED, ICMP_UNREACHABLE } from "../net/wire/icmpv4.ts";
import { ICMPV6_ADMIN_PROHIBITED, ICMPV6_TIME_EXCEEDED, ICMPV6_UNREACHABLE } from "../net/wire/icmpv6.ts";
import type { IpAddress } from "../net/wire/address.ts";
import { IP_RECVERR, IPPROTO_IP, IPPROTO_IPV6, IPV6_RECVERR, type Libc, MSG_ERRQUEUE } from "../net/linux/libc.ts";
import { CMSG_HEADER, MessageHeader } from "../net/linux/msghdr.ts";
import { readSockaddr, SOCKADDR_SIZE } from "../net/linux/sockaddr.ts";
import { hostError } from "./linux_error.ts";

/** One queued error. */
export interface QueuedError {
  /** Its class. */
  error: HostError;
  /** Where the datagram was to go. */
  to: { address: IpAddress; port: number };
  /** With `tooLarge`: the largest packet of the datagram's family that the path carries. Else 0. */
  mtu: number;
  /** The first bytes of what was sent. */
  data: Uint8Array;
  /** How many bytes of `data` there are. */
  dataLength: number;
}

/** Bytes of a datagram that are kept: an ICMP header. */
export const ERROR_DATA_SIZE = 8;

const CONTROL_SIZE = 512;
// Behind the header of the control message struct sock_extended_err: errno, origin, type, code, a byte unused, info.
const ORIGIN = CMSG_HEADER + 4;
const TYPE = CMSG_HEADER + 5;
const CODE = CMSG_HEADER + 6;
const INFO = CMSG_HEADER + 8;
const ERROR_SIZE = CMSG_HEADER + 16;
const ORIGIN_ICMP = 2;
const ORIGIN_ICMPV6 = 3;
/** Codes of ICMPv6 unreachable that mean a filter (RFC 4443 section 3.1): by policy, of the source, by a route. */
const ICMPV6_PROHIBITED = [ICMPV6_ADMIN_PROHIBITED, 5, 6];
/** Codes of ICMP unreachable that mean a filter, beside `ICMP_ADMIN_PROHIBITED` (RFC 1122 section 3.2.2.1). */
const NET_PROHIBITED = 9;
const HOST_PROHIBITED = 10;

const data = new Uint8Array(ERROR_DATA_SIZE);
let prepared: MessageHeader | undefined;

/**
 * Takes the next error of a socket into `into`: returns whether there was one; `false` is the end. Entries of no use
 * are skipped.
 */
export function takeError(libc: Libc, fd: number, into: QueuedError): boolean {
  const message = prepared ??= new MessageHeader(data, CONTROL_SIZE), { control } = message;
  for (;;) {
    message.nameLength = SOCKADDR_SIZE;
    message.controlLength = CONTROL_SIZE;
    const length = libc.recvmsg(fd, message.bytes, MSG_ERRQUEUE);
    if (length < 0) return false;
    const to = readSockaddr(message.name);
    if (to === undefined || message.controlLength < ERROR_SIZE || !isError(control)) continue;
    into.to = to;
    into.error = classOf(control);
    into.mtu = into.error === "tooLarge" ? control.getUint32(INFO, true) : 0;
    into.data = data;
    into.dataLength = length;
    return true;
  }
}

function isError(control: DataView): boolean {
  const level = control.getInt32(8, true), type = control.getInt32(12, true);
  return level === IPPROTO_IP ? type === IP_RECVERR : level === IPPROTO_IPV6 && type === IPV6_RECVERR;
}

/** The class of the entry in `control`: ICMP tells more than the error number that the kernel makes of it. */
function classOf(control: DataView): HostError {
  const origin = control.getUint8(ORIGIN), type = control.getUint8(TYPE), code = control.getUint8(CODE);
  if (origin === ORIGIN_ICMP) {
    if (type === ICMP_TIME_EXCEEDED) return "expired";
    const filtered = code === ICMP_ADMIN_PROHIBITED || code === NET_PROHIBITED || code === HOST_PROHIBITED;
    if (type === ICMP_UNREACHABLE && filtered) return "prohibited";
  }
  if (origin === ORIGIN_ICMPV6) {
    if (type === ICMPV6_TIME_EXCEEDED) return "expired";
    if (type === ICMPV6_UNREACHABLE && ICMPV6_PROHIBITED.includes(code)) return "prohibited";
  }
  return hostError(control.getUint32(CMSG_HEADER, true));
}
