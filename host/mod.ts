/**
 * The host's sockets: `LinuxHost` on epoll and FFI, `DenoHost` on Deno's own, and the host's resolvers.
 *
 * @module
 */
export { EventLoop, type Watch, type WatchHandler } from "../net/linux/event_loop.ts";
export type { WatchQueue } from "../net/linux/watch.ts";
export * from "./deno_host.ts";
export * from "./linux_host.ts";
export * from "./resolver.ts";
