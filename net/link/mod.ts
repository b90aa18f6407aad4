/**
 * What carries frames between a guest and the gateway.
 *
 * @module
 */
export type { TurnShare, TurnShares } from "../linux/turn_shares.ts";
export * from "./clock.ts";
export * from "./datagram_listener.ts";
export * from "./impair_spec.ts";
export * from "./link.ts";
export * from "./listener.ts";
export * from "./lossy.ts";
export * from "./memory.ts";
export * from "./packet_listener.ts";
export * from "./pcap_link.ts";
export * from "./stream.ts";
export * from "./stream_listener.ts";
export * from "./tap.ts";
export * from "./trace.ts";
export * from "./virtual_clock.ts";
export * from "./websocket.ts";
