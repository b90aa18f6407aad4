/**
 * The state of a gateway, pure: flows, translation, timers and the TCP endpoint, without sockets and without a clock.
 *
 * @module
 */
export * from "./arp_resolver.ts";
export * from "./buffers.ts";
export * from "./counters.ts";
export * from "./egress.ts";
export * from "./endings.ts";
export * from "./flow.ts";
export * from "./flow_key.ts";
export * from "./flow_log.ts";
export * from "./flow_table.ts";
export * from "./forwards.ts";
export * from "./frame_sender.ts";
export * from "./guest.ts";
export * from "./host.ts";
export * from "./icmp_error.ts";
export * from "./ipv4_reassembly.ts";
export * from "./logger.ts";
export * from "./nat.ts";
export * from "./policy.ts";
export * from "./rate_limited_log.ts";
export * from "./recency_list.ts";
export * from "./timers.ts";
export * from "./token_bucket.ts";
export * from "./translate.ts";
export * from "./translation_cache.ts";
export * from "./relay/datagram.ts";
export * from "./relay/datagram_flow.ts";
export * from "./relay/gathering.ts";
export * from "./relay/icmp.ts";
export * from "./relay/peers.ts";
export * from "./relay/tcp.ts";
export * from "./relay/tcp_guest_opening.ts";
export * from "./relay/tcp_host_opening.ts";
export * from "./relay/udp.ts";
export * from "./relay/udp_forward.ts";
export * from "./service/arp.ts";
export * from "./service/dhcp.ts";
export * from "./service/dns.ts";
export * from "./service/dns_cache.ts";
export * from "./service/dns_exchange.ts";
export * from "./service/dns_local.ts";
export * from "./service/dns_query.ts";
export * from "./service/echo.ts";
export * from "./service/services.ts";
export * from "./tcp/mod.ts";
