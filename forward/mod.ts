/**
 * The host side: real sockets and ports.
 *
 * @module
 */
export * from "./deno_host.ts";
export * from "./linux_host.ts";
export * from "./resolver.ts";
