/**
 * A socket's queue of errors (`IP_RECVERR`, ip(7)): what became of datagrams that were sent.
 *
 * A socket that is not connected is told of ICMP errors nowhere else (RFC 1122 section 4.1.3.3 wants them passed on). Each entry names the destination that the
 * datagram had, the cause, and the beginning of its payload (of an ICMP message: its header). One descriptor of an entry is filled again and again.
 *
 * @module
 */
import type { HostError } from "../nat/host.ts";
import { ICMP_ADMIN_PROHIBITED, ICMP_TIME_EXCEEDED, ICMP_UNREACHABLE } from "../net/wire/icmpv4.ts";
import type { IpAddress } from "../net/wire/address.ts";
import {
  addressOf,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  type Libc,
  MSG_ERRQUEUE,
} from "../net/linux/libc.ts";
import { readSockaddr, SOCKADDR_SIZE } from "../net/linux/sockaddr.ts";
import { hostError } from "./linux_error.ts";

/** One queued error. */
export interface QueuedError {
  /** Its class. */
  error: HostError;
  /** Where the datagram was to go. */
  to: { address: IpAddress; port: number };
  /** With `tooLarge`: the largest IPv4 packet that the path carries. Else 0. */
  mtu: number;
  /** The first bytes of what was sent. */
  data: Uint8Array;
  /** How many bytes of `data` there are. */
  dataLength: number;
}

/** Bytes of a datagram that are kept: an ICMP header. */
export const ERROR_DATA_SIZE = 8;

// struct msghdr: name at 0, its length at 8, the I/O vector at 16, its length at 24, control at 32, its length at 40.
const MSGHDR_SIZE = 56;
const CONTROL_SIZE = 512;
// struct cmsghdr (16 bytes) in front of struct sock_extended_err: errno, origin, type, code, a byte unused, info.
const CMSG_HEADER = 16;
const ORIGIN = CMSG_HEADER + 4;
const TYPE = CMSG_HEADER + 5;
const CODE = CMSG_HEADER + 6;
const INFO = CMSG_HEADER + 8;
const ERROR_SIZE = CMSG_HEADER + 16;
const ORIGIN_ICMP = 2;
const ORIGIN_ICMPV6 = 3;
/** ICMPv6 (RFC 4443 section 3.3). */
const ICMPV6_TIME_EXCEEDED = 3;
/** Codes of ICMP unreachable that mean a filter, beside `ICMP_ADMIN_PROHIBITED` (RFC 1122 section 3.2.2.1). */
const NET_PROHIBITED = 9;
const HOST_PROHIBITED = 10;
/** How much longer an IPv6 header is than an IPv4 header. */
const IPV6_SURPLUS = 20;

let message: DataView<ArrayBuffer> | undefined;
const messageBytes = new Uint8Array(MSGHDR_SIZE);
const vector = new DataView(new ArrayBuffer(16));
const vectorBytes = new Uint8Array(vector.buffer);
const control = new DataView(new ArrayBuffer(CONTROL_SIZE));
const controlBytes = new Uint8Array(control.buffer);
const name = new Uint8Array(SOCKADDR_SIZE);
const data = new Uint8Array(ERROR_DATA_SIZE);

/** Takes the next error of a socket into `into`: returns whether there was one; `false` is the end. Entries of no use are skipped. */
export function takeError(libc: Libc, fd: number, into: QueuedError): boolean {
  const header = message ??= prepare();
  for (;;) {
    header.setUint32(8, SOCKADDR_SIZE, true);
    header.setBigUint64(40, BigInt(CONTROL_SIZE), true);
    const length = libc.recvmsg(fd, messageBytes, MSG_ERRQUEUE);
    if (length < 0) return false;
    const to = readSockaddr(name);
    if (to === undefined || header.getUint32(40, true) < ERROR_SIZE || !isError()) continue;
    into.to = to;
    into.error = classOf(control.getUint32(CMSG_HEADER, true));
    into.mtu = into.error === "tooLarge" ? mtuOf(control.getUint32(INFO, true)) : 0;
    into.data = data;
    into.dataLength = length;
    return true;
  }
}

function prepare(): DataView<ArrayBuffer> {
  const header = new DataView(messageBytes.buffer);
  vector.setBigUint64(0, addressOf(data), true);
  vector.setBigUint64(8, BigInt(data.length), true);
  header.setBigUint64(0, addressOf(name), true);
  header.setBigUint64(16, addressOf(vectorBytes), true);
  header.setBigUint64(24, 1n, true);
  header.setBigUint64(32, addressOf(controlBytes), true);
  return header;
}

function isError(): boolean {
  const level = control.getInt32(8, true), type = control.getInt32(12, true);
  return level === IPPROTO_IP ? type === IP_RECVERR : level === IPPROTO_IPV6 && type === IPV6_RECVERR;
}

/** The class of the entry in `control`: ICMP tells more than the error number that the kernel makes of it. */
function classOf(errno: number): HostError {
  const origin = control.getUint8(ORIGIN), type = control.getUint8(TYPE), code = control.getUint8(CODE);
  if (origin === ORIGIN_ICMP) {
    if (type === ICMP_TIME_EXCEEDED) return "expired";
    const filtered = code === ICMP_ADMIN_PROHIBITED || code === NET_PROHIBITED || code === HOST_PROHIBITED;
    if (type === ICMP_UNREACHABLE && filtered) return "prohibited";
  }
  if (origin === ORIGIN_ICMPV6 && type === ICMPV6_TIME_EXCEEDED) return "expired";
  return hostError(errno);
}

function mtuOf(info: number): number {
  return control.getUint8(ORIGIN) === ORIGIN_ICMPV6 ? info - IPV6_SURPLUS : info;
}
