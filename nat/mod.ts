/**
 * The state of a gateway, pure: flows, translation, timers and the TCP endpoint, without sockets and without a clock.
 *
 * @module
 */
export * from "./address_owner.ts";
export * from "./ip/arp_resolver.ts";
export * from "./base/buffers.ts";
export * from "./base/counters.ts";
export * from "./rules/egress.ts";
export * from "./flow/context.ts";
export * from "./flow/endings.ts";
export * from "./flow/flow.ts";
export * from "./flow/flow_key.ts";
export * from "./flow/flow_log.ts";
export * from "./flow/flow_table.ts";
export * from "./forwards.ts";
export * from "./ip/frame_sender.ts";
export * from "./guest.ts";
export * from "./host.ts";
export * from "./ip/icmp_error.ts";
export * from "./ip/ipv4_input.ts";
export * from "./ip/ipv4_reassembly.ts";
export * from "./ip/packet.ts";
export * from "./ip/path.ts";
export * from "./base/logger.ts";
export * from "./nat.ts";
export * from "./rules/policy.ts";
export * from "./base/rate_limited_log.ts";
export * from "./base/recency_list.ts";
export * from "./base/timers.ts";
export * from "./base/token_bucket.ts";
export * from "./rules/translate.ts";
export * from "./rules/translation_cache.ts";
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
export * from "./service/dns_stream.ts";
export * from "./service/dns_tcp_exchange.ts";
export * from "./service/dns_udp_exchange.ts";
export * from "./service/echo.ts";
export * from "./service/services.ts";
export * from "./tcp/mod.ts";
