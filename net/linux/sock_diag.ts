/**
 * The words in which Linux is asked for sockets, and tells them (sock_diag(7)): which listen, or with UDP which are
 * bound and not connected. Bytes alone; `listening_sockets.ts` does the asking.
 *
 * ```text
 * question  nlmsghdr, inet_diag_req_v2: family, protocol, extensions, 0, states, inet_diag_sockid (of no meaning here)
 * answer    nlmsghdr, inet_diag_msg: family, state, timer, retransmissions, inet_diag_sockid, …
 *           inet_diag_sockid: port and port of the peer, address and address of the peer in 16 bytes each, …
 * ```
 *
 * Lengths, types and states are in the byte order of the machine, which is little endian wherever Deno runs; ports and
 * addresses are as on the wire.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP } from "./libc.ts";

/** A socket that takes what comes: it listens, or with UDP it is bound and not connected. */
export interface ListeningSocket {
  /** Its transport. */
  readonly protocol: "tcp" | "udp";
  /** Its address; `::` or `0.0.0.0` stand for every one. */
  readonly address: IpAddress;
  /** Its port. */
  readonly port: number;
}

/** What a message of an answer says: there is more, this was all, or the kernel does not tell. */
export type Progress = "more" | "done" | "refused";

/** Bytes of a question. */
export const QUESTION_BYTES = 72;

const HEADER = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const SOCK_DIAG_BY_FAMILY = 20;
/** NLM_F_REQUEST, and for all there are NLM_F_ROOT and NLM_F_MATCH. */
const REQUEST_DUMP = 0x301;
/** TCP_CLOSE, which is what the kernel calls UDP that is not connected, and TCP_LISTEN, as bits. */
const UNCONNECTED = 1 << 7;
const LISTEN = 1 << 10;

/** Where parts of an answer are, behind its header. */
const PORT_AT = 4;
const ADDRESS_AT = 8;
const ANSWER_BYTES = 72;

/** Writes the question for sockets of a family and a transport to the beginning of `bytes`. */
export function writeQuestion(
  bytes: Uint8Array,
  { family, protocol, sequence }: {
    readonly family: typeof AF_INET | typeof AF_INET6;
    readonly protocol: ListeningSocket["protocol"];
    /** What the answer is known by. */
    readonly sequence: number;
  },
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  bytes.fill(0, 0, QUESTION_BYTES);
  view.setUint32(0, QUESTION_BYTES, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, REQUEST_DUMP, true);
  view.setUint32(8, sequence, true);
  view.setUint8(HEADER, family);
  view.setUint8(HEADER + 1, protocol === "tcp" ? IPPROTO_TCP : IPPROTO_UDP);
  view.setUint32(HEADER + 4, protocol === "tcp" ? LISTEN : UNCONNECTED, true);
}

/**
 * Reads what the kernel has sent at once, and calls `visit` for each socket in it. Messages that answer another
 * question are passed over.
 */
export function readAnswer(
  bytes: Uint8Array,
  { protocol, sequence }: { readonly protocol: ListeningSocket["protocol"]; readonly sequence: number },
  visit: (socket: ListeningSocket) => void,
): Progress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + HEADER <= bytes.length;) {
    const size = view.getUint32(at, true), end = at + size;
    if (size < HEADER || end > bytes.length) return "refused";
    if (view.getUint32(at + 8, true) === sequence) {
      const kind = view.getUint16(at + 4, true);
      if (kind === NLMSG_DONE) return "done";
      if (kind === NLMSG_ERROR) return "refused";
      if (kind === SOCK_DIAG_BY_FAMILY && size >= HEADER + ANSWER_BYTES) {
        const socket = socketAt(view, at + HEADER, protocol);
        if (socket !== undefined) visit(socket);
      }
    }
    at += size + 3 & ~3;
  }
  return "more";
}

function socketAt(view: DataView, at: number, protocol: ListeningSocket["protocol"]): ListeningSocket | undefined {
  const family = view.getUint8(at), port = view.getUint16(at + PORT_AT), from = at + ADDRESS_AT;
  // UDP that was not bound, or a family that nobody asked for.
  if (port === 0 || (family !== AF_INET && family !== AF_INET6)) return undefined;
  const word = (index: number) => view.getUint32(from + 4 * index);
  const address = family === AF_INET ? IpAddress.fromIpv4(word(0)) : new IpAddress(word(0), word(1), word(2), word(3));
  return { protocol, address, port };
}

/** What /proc calls them. */
const PROC_STATES = { tcp: "0A", udp: "07" } as const;
/** `  0: 0100007F:1F90 00000000:0000 0A …`, with a longer address for IPv6. */
const PROC_LINE = /^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /;

/** The same out of the text of /proc/net/tcp, tcp6, udp or udp6, proc_pid_net(5), whose words are little endian. */
export function readProcTable(text: string, protocol: ListeningSocket["protocol"]): ListeningSocket[] {
  const sockets: ListeningSocket[] = [];
  for (const line of text.split("\n")) {
    const [, words = "", port = "", state] = PROC_LINE.exec(line) ?? [];
    if (state !== PROC_STATES[protocol] || port === "0000") continue;
    const bytes = Uint8Array.from({ length: words.length / 2 }, (_, index) => {
      const at = 2 * ((index & ~3) + 3 - (index & 3));
      return parseInt(words.slice(at, at + 2), 16);
    });
    sockets.push({ protocol, address: IpAddress.fromBytes(bytes), port: parseInt(port, 16) });
  }
  return sockets;
}
