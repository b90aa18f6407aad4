/**
 * Ports of the host: forwards to guests, a forwarder without a guest, and `pump` between two connections.
 *
 * @module
 */
export * from "./auto_forwards.ts";
export * from "./forwarder.ts";
export * from "./loopback_door.ts";
export * from "./port_forwards.ts";
export * from "./port_spec.ts";
export * from "./pump.ts";
export * from "./stream_endpoint.ts";
export * from "./stream_ports.ts";
