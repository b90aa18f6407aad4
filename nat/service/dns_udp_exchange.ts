/**
 * A DNS query over UDP: sockets opened for it alone, so that the kernel draws their port (RFC 5452 section 9.2).
 *
 * There is one socket for each family of the resolvers. A guest that repeats itself has the resolver asked last asked
 * again. What does not come from an address that was asked is no answer, and waiting goes on.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import type { HostError, HostUdpHandler, HostUdpSocket } from "../host.ts";
import type { Target } from "../rules/translate.ts";
import { DnsExchange } from "./dns_exchange.ts";

/** A query and its UDP sockets. */
export class DnsUdpExchange extends DnsExchange implements HostUdpHandler {
  #sockets: { 4: HostUdpSocket | null; 6: HostUdpSocket | null } = { 4: null, 6: null };

  /** An answer, or something that would be one. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: { address: IpAddress; port: number }): void {
    this.heard(this.#find(from), bytes, start, end);
  }

  /** The host has learnt that a resolver does not listen. */
  hostDatagramFailed(_error: HostError, to: { address: IpAddress; port: number }): void {
    const server = this.#find(to);
    if (server !== undefined) this.serverFailed(server);
  }

  /** Sends the query to `server`. */
  protected override send(server: Target): boolean {
    const family = server.address.isIpv4 ? 4 : 6;
    const socket = this.#sockets[family] ??= this.#open(family);
    return socket?.send(this.message, 0, this.message.length, server) ?? false;
  }

  /** Closes the sockets. */
  protected override release(): void {
    this.#sockets[4]?.close();
    this.#sockets[6]?.close();
  }

  #open(family: 4 | 6): HostUdpSocket | null {
    const socket = this.context.host.openUdp(family, this);
    if (typeof socket !== "string") return socket;
    this.exhausted = true;
    return null;
  }

  #find(end: { address: IpAddress; port: number }): Target | undefined {
    return this.asked.find(({ address, port }) => port === end.port && address.equals(end.address));
  }
}
