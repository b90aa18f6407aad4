/**
 * The answer to a segment of no connection (RFC 9293 section 3.10.7.1).
 *
 * @module
 */
import {
  encodeTcp,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  tcpAck,
  tcpDestinationPort,
  tcpFlags,
  TcpHeader,
  tcpHeaderLength,
  tcpSeq,
  tcpSourcePort,
} from "../../net/wire/tcp.ts";

const header = new TcpHeader();

/**
 * Writes the RST that answers the segment `bytes[tcp, end)` to `into[at]` and returns its length; 0 for a RST, which
 * has no answer.
 */
export function encodeStrayReset(bytes: Uint8Array, tcp: number, end: number, into: Uint8Array, at: number): number {
  const flags = tcpFlags(bytes, tcp);
  if (flags & TCP_RST) return 0;
  const length = end - tcp - tcpHeaderLength(bytes, tcp);
  header.sourcePort = tcpDestinationPort(bytes, tcp);
  header.destinationPort = tcpSourcePort(bytes, tcp);
  header.window = 0;
  header.flags = flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK;
  header.seq = flags & TCP_ACK ? tcpAck(bytes, tcp) : 0;
  header.ack = flags & TCP_ACK
    ? 0
    : (tcpSeq(bytes, tcp) + length + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0)) >>> 0;
  return encodeTcp(into, at, header);
}
