/**
 * The TCP endpoint (RFC 9293).
 *
 * @module
 */
export * from "./congestion.ts";
export * from "./context.ts";
export * from "./deadlines.ts";
export * from "./endpoint.ts";
export * from "./handshake.ts";
export * from "./output.ts";
export * from "./reassembly.ts";
export * from "./receive_side.ts";
export * from "./records.ts";
export * from "./recovery.ts";
export * from "./rtt.ts";
export * from "./scoreboard.ts";
export * from "./send_side.ts";
export * from "./silence.ts";
export * from "./stray.ts";
export * from "./transitions.ts";
export * from "./transmitter.ts";
