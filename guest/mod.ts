/**
 * A guest inside this program, for tests of one's own and demonstrations: TCP and UDP over a `Link`, without a kernel.
 *
 * @module
 */
export { type GuestAddressOptions } from "./addresses.ts";
export * from "./conn.ts";
export * from "./tcp_listener.ts";
export * from "./stack.ts";
export { type GuestDatagram, type GuestUdpParts, GuestUdpSocket } from "./udp_socket.ts";
