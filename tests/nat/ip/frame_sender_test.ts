import { assertEquals } from "@std/assert";
import { FrameSender } from "../../../nat/ip/frame_sender.ts";
import { ipv4AddressSum } from "../../../net/wire/checksum.ts";
import { decodeEthernet, ETHERTYPE_ARP, ETHERTYPE_IPV4 } from "../../../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, Frame, SEGMENT_HEADROOM } from "../../../net/wire/frame.ts";
import { decodeIpv4, ipv4HeaderValid, PROTOCOL_ICMP, PROTOCOL_TCP } from "../../../net/wire/ipv4.ts";
import {
  encodeTcp,
  TCP_ACK,
  tcpChecksum,
  tcpChecksumValid,
  TcpHeader,
  tcpSetPartialChecksum,
} from "../../../net/wire/tcp.ts";
import { decodeUdp, udpChecksumValid } from "../../../net/wire/udp.ts";
import { pattern } from "../../support/bytes.ts";
import { painted } from "../../support/packet_bytes.ts";

const OWN_MAC = 0x525400123402, GUEST_MAC = 0x525400123456, OWN = 0x0a000202, GUEST = 0x0a00020f;

class Link {
  readonly name = "test";
  readonly mtu = 1500;
  readonly offload: boolean;
  takes = true;
  readonly told: boolean[] = [];
  readonly frames: Frame[] = [];
  readonly sender: FrameSender;

  constructor(offload: boolean = false) {
    this.offload = offload;
    this.sender = new FrameSender(this, {
      sourceMac: OWN_MAC,
      sent: (taken) => this.told.push(taken),
      unresolved: () => {},
    });
    this.sender.destinationMac = GUEST_MAC;
  }

  send(frame: Frame): boolean {
    const copy = new Frame().set(frame.bytes.slice(frame.start, frame.end), 0, frame.length);
    const { checksum, checksumField, segmentSize } = frame;
    this.frames.push(
      Object.assign(copy, { checksum, checksumField, segmentSize, transport: frame.transport - frame.start }),
    );
    return this.takes;
  }

  flush(): void {}
}

/** A buffer that is painted but for a TCP header with a payload, and where these begin and end. */
function segment(length: number): { bytes: Uint8Array; start: number; end: number } {
  const bytes = painted(SEGMENT_HEADROOM + length + 10), header = new TcpHeader(), start = SEGMENT_HEADROOM - 20;
  header.flags = TCP_ACK;
  encodeTcp(bytes, start, header);
  bytes.set(pattern(length), SEGMENT_HEADROOM);
  return { bytes, start, end: SEGMENT_HEADROOM + length };
}

Deno.test("FrameSender puts IPv4 and Ethernet in front of a TCP segment, with whole checksums on a plain link", () => {
  const link = new Link(), { bytes, start, end } = segment(333);
  link.sender.tcp(bytes, start, end, 0, OWN, GUEST);
  const [frame] = link.frames, ether = decodeEthernet(frame!.bytes), packet = decodeIpv4(frame!.bytes, 14);
  assertEquals([ether.destination, ether.source, ether.type], [GUEST_MAC, OWN_MAC, ETHERTYPE_IPV4]);
  assertEquals([packet.source, packet.destination, packet.protocol, packet.payloadEnd], [
    OWN,
    GUEST,
    PROTOCOL_TCP,
    387,
  ]);
  assertEquals([ipv4HeaderValid(frame!.bytes, 14), packet.dontFragment], [true, true]);
  assertEquals(tcpChecksumValid(frame!.bytes, 34, 387, ipv4AddressSum(OWN, GUEST)), true);
  assertEquals([frame!.checksum, frame!.segmentSize, link.told], [CHECKSUM_COMPLETE, 0, [true]]);
  assertEquals([bytes[start - 35], bytes[end]], [0xa5, 0xa5], "bytes beside the frame were touched");
});

Deno.test("FrameSender leaves the checksum at the pseudo-header's sum for a link that offloads, and says where it is", () => {
  const link = new Link(true), { bytes, start, end } = segment(5000);
  link.sender.tcp(bytes, start, end, 1460, OWN, GUEST);
  const [frame] = link.frames, expected = segment(5000);
  tcpSetPartialChecksum(expected.bytes, start, end, ipv4AddressSum(OWN, GUEST));
  assertEquals(tcpChecksum(frame!.bytes, 34), tcpChecksum(expected.bytes, start));
  assertEquals([frame!.checksum, frame!.transport, frame!.checksumField, frame!.segmentSize], [
    CHECKSUM_PARTIAL,
    34,
    16,
    1460,
  ]);
  link.sender.ipv4(bytes, start, start + 8, PROTOCOL_ICMP, OWN, GUEST);
  const { checksum, segmentSize } = link.frames[1]!;
  assertEquals([checksum, segmentSize], [CHECKSUM_COMPLETE, 0], "one frame's marks stayed for the next");
});

Deno.test("FrameSender says how much a segment may carry: by the MTU, at once all that IPv4 holds where the link cuts it up", () => {
  assertEquals([new Link().sender.maxSegmentSize, new Link().sender.maxBurst], [1460, 1460]);
  assertEquals([new Link(true).sender.maxSegmentSize, new Link(true).sender.maxBurst], [1460, 65535 - 20 - 60]);
});

Deno.test("FrameSender sends a datagram to another station with header and whole checksum, on every link", () => {
  const link = new Link(true), bytes = painted(SEGMENT_HEADROOM + 100);
  bytes.set(pattern(60), SEGMENT_HEADROOM);
  const path = { source: OWN, sourcePort: 67, destination: GUEST, destinationPort: 68 };
  link.sender.udpTo(0xffffffffffff, bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + 60, path);
  const [frame] = link.frames, datagram = decodeUdp(frame!.bytes, 34);
  assertEquals([datagram.sourcePort, datagram.destinationPort, datagram.length], [67, 68, 68]);
  assertEquals(frame!.bytes.subarray(42), pattern(60));
  assertEquals(udpChecksumValid(frame!.bytes, 34, ipv4AddressSum(OWN, GUEST)), true);
  assertEquals(decodeEthernet(frame!.bytes).destination, 0xffffffffffff);
});

Deno.test("FrameSender sends frames of other types as they are", () => {
  const link = new Link(), bytes = painted(100);
  link.sender.ethernet(bytes, 40, 68, ETHERTYPE_ARP);
  assertEquals([link.frames[0]!.length, decodeEthernet(link.frames[0]!.bytes).type], [42, ETHERTYPE_ARP]);
  assertEquals(link.frames[0]!.bytes.subarray(14), painted(28));
});

Deno.test("FrameSender tells of every frame whether the link took it", () => {
  const link = new Link(), { bytes, start, end } = segment(1);
  link.sender.tcp(bytes, start, end, 0, OWN, GUEST);
  link.takes = false;
  link.sender.tcp(bytes, start, end, 0, OWN, GUEST);
  link.sender.ipv4(bytes, start, end, PROTOCOL_ICMP, OWN, GUEST);
  assertEquals(link.told, [true, false, false]);
});
