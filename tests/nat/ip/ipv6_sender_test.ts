import { assertEquals } from "@std/assert";
import { Ends } from "../../../nat/ip/ip_sender.ts";
import { Ipv6Sender } from "../../../nat/ip/ipv6_sender.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { addressSum } from "../../../net/wire/checksum.ts";
import { decodeEthernet, ETHERTYPE_IPV6 } from "../../../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, completeChecksum, SEGMENT_HEADROOM } from "../../../net/wire/frame.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";
import { decodeIpv6, encodeIpv6 } from "../../../net/wire/ipv6.ts";
import {
  ipv6FragmentIdentification,
  ipv6FragmentNextHeader,
  ipv6FragmentOffset,
  ipv6MoreFragments,
  PROTOCOL_FRAGMENT,
} from "../../../net/wire/ipv6_extensions.ts";
import { tcpChecksumValid } from "../../../net/wire/tcp.ts";
import { udpChecksumValid } from "../../../net/wire/udp.ts";
import { pattern } from "../../support/bytes.ts";
import { FrameLink, GUEST_MAC, OWN_MAC, segment } from "../../support/frame_link.ts";
import { noise, painted } from "../../support/packet_bytes.ts";

const OWN = IpAddress.parse("2001:db8::7"), GUEST = IpAddress.parse("fd00::15"), ENDS = new Ends(OWN, GUEST);
const SUM = addressSum(OWN) + addressSum(GUEST), UDP = 54;

function start(parts: { offload?: boolean; mtu?: number } = {}): { link: FrameLink; sender: Ipv6Sender } {
  const link = new FrameLink(parts);
  return { link, sender: new Ipv6Sender(link.sender) };
}

Deno.test("Ipv6Sender puts IPv6 and Ethernet in front of a TCP segment, with a whole checksum on a plain link", () => {
  const { link, sender } = start(), { bytes, start: from, end } = segment(333);
  sender.tcp(bytes, from, end, 0, ENDS);
  const [frame] = link.frames, ether = decodeEthernet(frame!.bytes), packet = decodeIpv6(frame!.bytes, 14);
  assertEquals([ether.destination, ether.source, ether.type], [GUEST_MAC, OWN_MAC, ETHERTYPE_IPV6]);
  assertEquals([packet.source, packet.destination, packet.nextHeader], [OWN, GUEST, PROTOCOL_TCP]);
  assertEquals([packet.payloadLength, packet.hopLimit, frame!.length], [353, 64, 407]);
  assertEquals(tcpChecksumValid(frame!.bytes, 54, 407, SUM), true);
  assertEquals([frame!.checksum, frame!.segmentSize, link.told], [CHECKSUM_COMPLETE, 0, [true]]);
  assertEquals([bytes[from - 55], bytes[end]], [0xa5, 0xa5], "bytes beside the frame were touched");
});

Deno.test("Ipv6Sender leaves checksum and segmentation to a link that offloads them, and says where the checksum is", () => {
  const { link, sender } = start({ offload: true }), { bytes, start: from, end } = segment(5000);
  sender.tcp(bytes, from, end, 1440, ENDS);
  const [frame] = link.frames;
  assertEquals([frame!.checksum, frame!.transport, frame!.checksumField, frame!.segmentSize], [
    CHECKSUM_PARTIAL,
    54,
    16,
    1440,
  ]);
  completeChecksum(frame!);
  assertEquals(tcpChecksumValid(frame!.bytes, 54, frame!.length, SUM), true);
});

Deno.test("Ipv6Sender says how much a segment and a datagram may carry", () => {
  const plain = start().sender, offload = start({ offload: true }).sender;
  assertEquals([plain.maxSegmentSize, plain.maxBurst, plain.maxDatagram], [1440, 1440, 65527]);
  assertEquals([offload.maxSegmentSize, offload.maxBurst], [1440, 65535 - 40 - 60]);
});

Deno.test("Ipv6Sender never takes a path to carry less than every path of IPv6 does", () => {
  const { sender } = start();
  assertEquals([sender.lowerMtu(1400), sender.mtu, sender.lowerMtu(1450), sender.mtu], [true, 1400, false, 1400]);
  assertEquals([sender.lowerMtu(68), sender.mtu, sender.lowerMtu(0)], [true, 1280, false]);
  sender.resetMtu();
  assertEquals(sender.mtu, 1500);
});

Deno.test("Ipv6Sender cuts a datagram larger than the MTU up, and the pieces are the datagram again", () => {
  for (const offload of [false, true]) {
    const { link, sender } = start({ offload }), bytes = painted(SEGMENT_HEADROOM + 4010), payload = noise(4000, 2);
    bytes.set(payload, SEGMENT_HEADROOM);
    assertEquals(sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 4000, 53, 4000, ENDS), true);
    const whole: number[] = [];
    for (const { bytes, length } of link.frames) {
      const header = decodeIpv6(bytes, 14);
      assertEquals([header.nextHeader, ipv6FragmentNextHeader(bytes, UDP)], [PROTOCOL_FRAGMENT, PROTOCOL_UDP]);
      assertEquals([ipv6FragmentOffset(bytes, UDP), header.payloadEnd, length <= 1514], [whole.length, length, true]);
      whole.push(...bytes.subarray(62));
      assertEquals(ipv6MoreFragments(bytes, UDP), whole.length < 4008);
    }
    assertEquals([whole.length, link.frames.length], [4008, 3]);
    assertEquals(udpChecksumValid(Uint8Array.from(whole), 0, SUM), true);
    assertEquals(Uint8Array.from(whole.slice(8)), payload);
    const first = ipv6FragmentIdentification(link.frames[0]!.bytes, UDP);
    sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 4000, 53, 4000, ENDS);
    assertEquals(ipv6FragmentIdentification(link.frames[3]!.bytes, UDP), first + 1);
  }
});

Deno.test("Ipv6Sender stops at a fragment that the link does not take, and refuses what no packet holds", () => {
  const { link, sender } = start(), bytes = painted(SEGMENT_HEADROOM + 65536);
  link.takes = false;
  sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 4000, 1, 2, ENDS);
  assertEquals(link.frames.length, 1);
  assertEquals(sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 65528, 1, 2, ENDS), false);
  link.takes = true;
  assertEquals(sender.udp(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 65527, 1, 2, ENDS), true);
});

Deno.test("Ipv6Sender sends a packet that is whole already to the station, or to a group's MAC address", () => {
  const { link, sender } = start(), bytes = painted(200);
  for (const destination of ["fd00::15", "ff02::1:ff12:3456"].map(IpAddress.parse)) {
    encodeIpv6(bytes, 20, { payloadLength: 40, nextHeader: 58, source: OWN, destination });
    bytes.set(pattern(40), 60);
    sender.whole(bytes, 20, 100, destination);
  }
  assertEquals(link.frames.map(({ bytes }) => decodeEthernet(bytes).destination), [GUEST_MAC, 0x3333ff123456]);
  assertEquals(link.frames[1]!.bytes.subarray(54), pattern(40));
});
