/**
 * How a guest shows that its network card leaves checksums and segmentation to the other end, where no header says so.
 *
 * libkrun and what is built on it (krunkit, muvm, podman machine) cut the virtio-net header off the frames that they
 * send. Their guests leave checksums partial, send TCP segments of up to 64 KiB, and take such segments. vfkit greets
 * in the same way and can do none of that.
 *
 * @module
 */
import { ipv4AddressSum } from "../wire/checksum.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ethernetType,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  VLAN_TAG_LENGTH,
} from "../wire/ethernet.ts";
import {
  checkIpv4,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../wire/ipv4.ts";
import { checkIpv6, IPV6_HEADER_LENGTH, ipv6AddressSum, ipv6PayloadLength } from "../wire/ipv6.ts";
import { IPV6_CHAIN_OK, Ipv6Chain, walkIpv6 } from "../wire/ipv6_extensions.ts";
import { checkTcp, tcpChecksumPartial, tcpChecksumValid } from "../wire/tcp.ts";
import { checkUdp, udpChecksumPartial, udpChecksumValid } from "../wire/udp.ts";

const chain = new Ipv6Chain();

/**
 * Whether the frame `bytes[start, end)` comes from such a guest: its TCP or UDP checksum is partial, or it is a TCP
 * segment longer than any that a link of `mtu` was told to send.
 */
export function showsOffload(bytes: Uint8Array, start: number, end: number, mtu: number): boolean {
  const ip = start + ETHERNET_HEADER_LENGTH;
  if (end < ip) return false;
  const isLong = end - start > mtu + ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
  switch (ethernetType(bytes, start)) {
    case ETHERTYPE_IPV4: {
      if (!checkIpv4(bytes, ip, end) || ipv4IsFragment(bytes, ip)) return false;
      const addressSum = ipv4AddressSum(ipv4Source(bytes, ip), ipv4Destination(bytes, ip));
      const at = ip + ipv4HeaderLength(bytes, ip), last = ip + ipv4TotalLength(bytes, ip);
      return transportShows(bytes, at, last, ipv4Protocol(bytes, ip), addressSum, isLong);
    }
    case ETHERTYPE_IPV6: {
      if (!checkIpv6(bytes, ip, end)) return false;
      const last = ip + IPV6_HEADER_LENGTH + ipv6PayloadLength(bytes, ip);
      if (walkIpv6(bytes, ip, last, chain) !== IPV6_CHAIN_OK || chain.fragment >= 0) return false;
      return transportShows(bytes, chain.transport, last, chain.protocol, ipv6AddressSum(bytes, ip), isLong);
    }
    default:
      return false;
  }
}

function transportShows(
  bytes: Uint8Array,
  at: number,
  last: number,
  protocol: number,
  addressSum: number,
  isLong: boolean,
): boolean {
  switch (protocol) {
    case PROTOCOL_TCP:
      if (!checkTcp(bytes, at, last)) return false;
      return isLong ||
        (tcpChecksumPartial(bytes, at, last, addressSum) && !tcpChecksumValid(bytes, at, last, addressSum));
    case PROTOCOL_UDP:
      return checkUdp(bytes, at, last) && udpChecksumPartial(bytes, at, addressSum) &&
        !udpChecksumValid(bytes, at, addressSum);
    default:
      return false;
  }
}
