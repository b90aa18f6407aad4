/**
 * The host side: real sockets and ports.
 *
 * @module
 */
export { EventLoop, type Watch, type WatchHandler } from "../net/linux/event_loop.ts";
export type { WatchQueue } from "../net/linux/watch.ts";
export * from "./deno_host.ts";
export * from "./forwarder.ts";
export * from "./linux_host.ts";
export * from "./pump.ts";
export * from "./port_forwards.ts";
export * from "./port_spec.ts";
export * from "./resolver.ts";
export * from "./stream_endpoint.ts";
export * from "./stream_listener.ts";
