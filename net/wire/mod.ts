/**
 * Frames as bytes: codecs of the protocols that a guest speaks, checksums, addresses and sequence numbers.
 *
 * Every codec has two doors: `checkX` and offset getters for the hot path, `decodeX` and `formatX` for people and tests.
 * All of it is pure computation and needs no permission.
 *
 * @module
 */
export * from "./address.ts";
export * from "./arp.ts";
export * from "./bytes.ts";
export * from "./checksum.ts";
export * from "./decode_error.ts";
export * from "./dhcpv4.ts";
export * from "./dns.ts";
export * from "./ethernet.ts";
export * from "./frame.ts";
export * from "./frame_text.ts";
export * from "./icmpv4.ts";
export * from "./ipv4.ts";
export * from "./ipv6.ts";
export * from "./pcap.ts";
export * from "./seq.ts";
export * from "./tcp.ts";
export * from "./udp.ts";
