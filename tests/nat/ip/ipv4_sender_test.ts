import { assertEquals } from "@std/assert";
import { Ends } from "../../../nat/ip/ip_sender.ts";
import { Ipv4Sender } from "../../../nat/ip/ipv4_sender.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { ipv4AddressSum } from "../../../net/wire/checksum.ts";
import { decodeEthernet, ETHERTYPE_IPV4 } from "../../../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, SEGMENT_HEADROOM } from "../../../net/wire/frame.ts";
import { decodeIpv4, ipv4HeaderValid, PROTOCOL_ICMP, PROTOCOL_TCP } from "../../../net/wire/ipv4.ts";
import { tcpChecksum, tcpChecksumValid, tcpSetPartialChecksum } from "../../../net/wire/tcp.ts";
import { decodeUdp, udpChecksumValid } from "../../../net/wire/udp.ts";
import { pattern } from "../../support/bytes.ts";
import { FrameLink, GUEST_MAC, OWN_MAC, segment } from "../../support/frame_link.ts";
import { painted } from "../../support/packet_bytes.ts";

const OWN = 0x0a000202, GUEST = 0x0a00020f, SUM = ipv4AddressSum(OWN, GUEST);
const ENDS = new Ends(IpAddress.fromIpv4(OWN), IpAddress.fromIpv4(GUEST));

function start(parts: { offload?: boolean; mtu?: number } = {}): { link: FrameLink; sender: Ipv4Sender } {
  const link = new FrameLink(parts);
  return { link, sender: new Ipv4Sender(link.sender) };
}

Deno.test("Ipv4Sender puts IPv4 and Ethernet in front of a TCP segment, with whole checksums on a plain link", () => {
  const { link, sender } = start(), { bytes, start: from, end } = segment(333);
  sender.tcp(bytes, from, end, 0, ENDS);
  const [frame] = link.frames, ether = decodeEthernet(frame!.bytes), packet = decodeIpv4(frame!.bytes, 14);
  assertEquals([ether.destination, ether.source, ether.type], [GUEST_MAC, OWN_MAC, ETHERTYPE_IPV4]);
  assertEquals([packet.source, packet.destination, packet.protocol, packet.payloadEnd], [
    OWN,
    GUEST,
    PROTOCOL_TCP,
    387,
  ]);
  assertEquals([ipv4HeaderValid(frame!.bytes, 14), packet.dontFragment], [true, true]);
  assertEquals(tcpChecksumValid(frame!.bytes, 34, 387, SUM), true);
  assertEquals([frame!.checksum, frame!.segmentSize, link.told], [CHECKSUM_COMPLETE, 0, [true]]);
  assertEquals([bytes[from - 35], bytes[end]], [0xa5, 0xa5], "bytes beside the frame were touched");
});

Deno.test("Ipv4Sender leaves the checksum at the pseudo-header's sum for a link that offloads, and says where it is", () => {
  const { link, sender } = start({ offload: true }), { bytes, start: from, end } = segment(5000);
  sender.tcp(bytes, from, end, 1460, ENDS);
  const [frame] = link.frames, expected = segment(5000);
  tcpSetPartialChecksum(expected.bytes, from, end, SUM);
  assertEquals(tcpChecksum(frame!.bytes, 34), tcpChecksum(expected.bytes, from));
  assertEquals([frame!.checksum, frame!.transport, frame!.checksumField, frame!.segmentSize], [
    CHECKSUM_PARTIAL,
    34,
    16,
    1460,
  ]);
  sender.packet(bytes, from, from + 8, PROTOCOL_ICMP, ENDS);
  const { checksum, segmentSize } = link.frames[1]!;
  assertEquals([checksum, segmentSize], [CHECKSUM_COMPLETE, 0], "one frame's marks stayed for the next");
});

Deno.test("Ipv4Sender says how much a segment may carry: by the MTU, at once all that IPv4 holds where the link cuts it up", () => {
  const plain = start().sender, offload = start({ offload: true }).sender;
  assertEquals([plain.maxSegmentSize, plain.maxBurst, plain.maxDatagram], [1460, 1460, 65507]);
  assertEquals([offload.maxSegmentSize, offload.maxBurst], [1460, 65535 - 20 - 60]);
});

Deno.test("Ipv4Sender sends a datagram to another station with header and whole checksum, on every link", () => {
  const { link, sender } = start({ offload: true }), bytes = painted(SEGMENT_HEADROOM + 100);
  bytes.set(pattern(60), SEGMENT_HEADROOM);
  const way = { fromPort: 67, toPort: 68, ends: ENDS };
  sender.udpTo(0xffffffffffff, bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 60, way);
  const [frame] = link.frames, datagram = decodeUdp(frame!.bytes, 34);
  assertEquals([datagram.sourcePort, datagram.destinationPort, datagram.length], [67, 68, 68]);
  assertEquals(frame!.bytes.subarray(42), pattern(60));
  assertEquals(udpChecksumValid(frame!.bytes, 34, SUM), true);
  assertEquals(decodeEthernet(frame!.bytes).destination, 0xffffffffffff);
});

Deno.test("Ipv4Sender cuts a datagram larger than the MTU up, until the link takes no more of it", () => {
  const { link, sender } = start(), bytes = painted(SEGMENT_HEADROOM + 4000);
  assertEquals(sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 4000, 1, 2, ENDS), true);
  const sent = link.frames.map(({ bytes }) => decodeIpv4(bytes, 14));
  assertEquals(sent.map(({ fragmentOffset, moreFragments }) => [fragmentOffset, moreFragments]), [
    [0, true],
    [1480, true],
    [2960, false],
  ]);
  assertEquals(new Set(sent.map(({ identification }) => identification)).size, 1);
  link.takes = false;
  sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 4000, 1, 2, ENDS);
  assertEquals([link.frames.length, sender.udp(bytes, 0, 65508, 1, 2, ENDS)], [4, false]);
});
