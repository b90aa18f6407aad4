/**
 * Frames as bytes: codecs of the protocols that a guest speaks, checksums, addresses and sequence numbers.
 *
 * **The contract of every codec.** A protocol `X` has two doors to the same bytes.
 *
 * - For a hot path: `checkX(bytes, start, end)` says whether the header at `start` is whole and does not contradict
 *   itself. After it the getters (`xField(bytes, start)`) cannot fail and make no object. `end` is where the enclosing
 *   layer ends: what lies behind a length field is padding.
 * - For people and tests: `decodeX(bytes, start, end)` gives an object, or throws a `DecodeError` that names the layer,
 *   the offset, and how many bytes are needed and there. `formatX` makes a line of it, as tcpdump prints it.
 * - To write: `encodeX(into, at, …)` writes at an offset of a buffer of the caller's and returns how many bytes it
 *   wrote. Checksums are set afterwards, over whatever stands in their field.
 *
 * Offsets and lengths are in bytes. Ports and IPv4 addresses are numbers; MAC addresses are numbers of 48 bits. Nothing
 * here keeps a buffer, and nothing needs a permission.
 *
 * @example A UDP datagram in an IPv4 packet, written and read again
 * ```ts
 * import { checkIpv4, encodeIpv4, formatIpv4, ipv4HeaderLength, Ipv4Header } from "@hawser/hawser/wire";
 * import { ipv4AddressSum, ipv4Source, ipv4TotalLength, parseIpv4, PROTOCOL_UDP } from "@hawser/hawser/wire";
 * import { checkUdp, encodeUdp, udpDestinationPort, udpSetChecksum } from "@hawser/hawser/wire";
 *
 * const payload = new TextEncoder().encode("hello"), packet = new Uint8Array(28 + payload.length);
 * const header = new Ipv4Header();
 * header.protocol = PROTOCOL_UDP;
 * header.source = parseIpv4("10.0.2.15");
 * header.destination = parseIpv4("10.0.2.2");
 * header.totalLength = packet.length;
 * const udp = encodeIpv4(packet, 0, header);
 * const end = udp + encodeUdp(packet, udp, 4000, 53, 8 + payload.length) + payload.length;
 * packet.set(payload, end - payload.length);
 * udpSetChecksum(packet, udp, ipv4AddressSum(header.source, header.destination));
 *
 * if (!checkIpv4(packet, 0, packet.length)) throw new Error("no IPv4");
 * const at = ipv4HeaderLength(packet, 0);
 * if (!checkUdp(packet, at, ipv4TotalLength(packet, 0))) throw new Error("no UDP");
 * console.log(formatIpv4(ipv4Source(packet, 0)), udpDestinationPort(packet, at)); // 10.0.2.15 53
 * ```
 *
 * @module
 */
export * from "./address.ts";
export * from "./arp.ts";
export * from "./checksum.ts";
export * from "./decode_error.ts";
export * from "./dhcpv4.ts";
export * from "./dhcpv6.ts";
export * from "./dns.ts";
export * from "./dns_data.ts";
export * from "./domain_search.ts";
export * from "./ethernet.ts";
export * from "./frame.ts";
export * from "./frame_text.ts";
export * from "./host_name.ts";
export * from "./http_head.ts";
export * from "./icmpv4.ts";
export * from "./icmpv6.ts";
export * from "./ipv4.ts";
export * from "./ipv6.ts";
export * from "./ipv6_extensions.ts";
export * from "./mld.ts";
export * from "./ndp.ts";
export * from "./ndp_options.ts";
export * from "./pcap.ts";
export * from "./seq.ts";
export * from "./tcp.ts";
export * from "./tls_client_hello.ts";
export * from "./udp.ts";
