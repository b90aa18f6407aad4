import { assertEquals } from "@std/assert";
import { FrameSender } from "../../../nat/ip/frame_sender.ts";
import { decodeEthernet, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../../../net/wire/ethernet.ts";
import { Frame } from "../../../net/wire/frame.ts";
import { encodeIpv4, Ipv4Header } from "../../../net/wire/ipv4.ts";
import { encodeIpv6 } from "../../../net/wire/ipv6.ts";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";
import { FrameLink, GUEST_MAC, OWN_MAC } from "../../support/frame_link.ts";
import { painted } from "../../support/packet_bytes.ts";

Deno.test("FrameSender sends frames of other types as they are", () => {
  const link = new FrameLink(), bytes = painted(100);
  link.sender.ethernet(bytes, 40, 68, ETHERTYPE_ARP);
  const header = decodeEthernet(link.frames[0]!.bytes);
  assertEquals([header.destination, header.source, header.type], [GUEST_MAC, OWN_MAC, ETHERTYPE_ARP]);
  assertEquals([link.frames[0]!.length, bytes[25], bytes[68]], [42, 0xa5, 0xa5]);
  assertEquals(link.frames[0]!.bytes.subarray(14), painted(28));
});

Deno.test("FrameSender tells of every frame whether the link took it", () => {
  const link = new FrameLink(), bytes = painted(100);
  link.sender.ethernet(bytes, 40, 68, ETHERTYPE_ARP);
  link.takes = false;
  link.sender.ethernet(bytes, 40, 68, ETHERTYPE_ARP);
  assertEquals(link.told, [true, false]);
});

Deno.test("FrameSender hands on packets of either family for an unknown station with their destination, and resumes them", () => {
  const link = new FrameLink(), waiting: [Frame, string][] = [];
  const sender = new FrameSender(link, {
    sourceMac: OWN_MAC,
    sent: () => {},
    unresolved: (frame, destination) =>
      waiting.push([new Frame().set(frame.bytes, frame.start, frame.end), `${destination}`]),
  });
  const four = new Uint8Array(60), six = new Uint8Array(60), header = new Ipv4Header();
  header.destination = parseIpv4("10.0.2.15");
  header.totalLength = 20;
  encodeIpv4(four, 20, header);
  const address = IpAddress.parse("fd00::15");
  encodeIpv6(six, 20, { payloadLength: 0, nextHeader: 59, source: address, destination: address });
  sender.ethernet(four, 20, 40, ETHERTYPE_IPV4);
  sender.ethernet(six, 20, 60, ETHERTYPE_IPV6);
  // Nobody can be asked for the address of anything else.
  sender.ethernet(painted(60), 20, 60, ETHERTYPE_ARP);
  assertEquals([waiting.map(([, destination]) => destination), link.frames.length], [["10.0.2.15", "fd00::15"], 0]);
  sender.destinationMac = GUEST_MAC;
  for (const [frame] of waiting) sender.resume(frame);
  const sent = link.frames.map(({ bytes }) => decodeEthernet(bytes));
  assertEquals(sent.map(({ type }) => type), [ETHERTYPE_IPV4, ETHERTYPE_IPV6]);
  assertEquals(sent.map(({ destination }) => destination), [GUEST_MAC, GUEST_MAC]);
});
