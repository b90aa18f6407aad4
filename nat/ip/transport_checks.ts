/**
 * What is checked of the TCP or UDP header in a packet of a guest, once for both families.
 *
 * A checksum that is wrong but holds the pseudo-header's sum is one that the guest's network card was to complete
 * (libkrun): such a packet never left this machine.
 *
 * @module
 */
import {
  checkTcp,
  tcpChecksumPartial,
  tcpChecksumValid,
  tcpDestinationPort,
  tcpHeaderLength,
  tcpSourcePort,
} from "../../net/wire/tcp.ts";
import {
  checkUdp,
  UDP_HEADER_LENGTH,
  udpChecksum,
  udpChecksumPartial,
  udpChecksumValid,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from "../../net/wire/udp.ts";
import type { DropReason } from "../base/counters.ts";
import type { Packet } from "./packet.ts";

/**
 * Looks at the segment at `packet.transport` and fills in where its payload is and its ports. `addressSum` is what the
 * addresses add to its checksum, which is looked at if `check`. Returns why the packet is dropped, or null.
 */
export function flawOfTcp(packet: Packet, addressSum: number, check: boolean): DropReason | null {
  const { bytes, transport, end } = packet;
  if (!checkTcp(bytes, transport, end)) return "tcpMalformed";
  if (
    check && !tcpChecksumValid(bytes, transport, end, addressSum) &&
    !tcpChecksumPartial(bytes, transport, end, addressSum)
  ) return "tcpChecksum";
  packet.payload = transport + tcpHeaderLength(bytes, transport);
  packet.key.setPorts(tcpSourcePort(bytes, transport), tcpDestinationPort(bytes, transport));
  return null;
}

/** The same for the datagram at `packet.transport`, whose length field says where the packet ends. */
export function flawOfUdp(packet: Packet, addressSum: number, check: boolean): DropReason | null {
  const { bytes, transport, end } = packet;
  if (!checkUdp(bytes, transport, end)) return "udpMalformed";
  // Over IPv6 nothing else says that the addresses are right (RFC 8200 section 8.1).
  if (packet.key.family === 6 && udpChecksum(bytes, transport) === 0) return "udpWithoutChecksum";
  if (
    check && !udpChecksumValid(bytes, transport, addressSum) && !udpChecksumPartial(bytes, transport, addressSum)
  ) return "udpChecksum";
  packet.payload = transport + UDP_HEADER_LENGTH;
  packet.end = transport + udpLength(bytes, transport);
  packet.key.setPorts(udpSourcePort(bytes, transport), udpDestinationPort(bytes, transport));
  return null;
}
