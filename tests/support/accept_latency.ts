/**
 * How long a client of a forward waits until the guest hears of it: from its `connect` to the SYN on the guest's link.
 *
 * @module
 */
import { GuestStack } from "../../guest/mod.ts";
import { Gateway } from "../../mod.ts";
import type { Link } from "../../net/link/link.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { ETHERNET_HEADER_LENGTH } from "../../net/wire/ethernet.ts";
import { PROTOCOL_TCP } from "../../net/wire/ipv4.ts";
import { TCP_ACK, TCP_SYN, tcpFlags } from "../../net/wire/tcp.ts";
import { FAMILIES, forwardTo, type TestFamily } from "./families.ts";

/** A gateway with one forward to a guest that refuses every client. */
export class AcceptLatency implements AsyncDisposable {
  readonly #gateway: Gateway;
  readonly #family: TestFamily;
  readonly #stack: GuestStack;
  #synCame: () => void = () => {};

  private constructor(gateway: Gateway, family: TestFamily) {
    this.#gateway = gateway;
    this.#family = family;
    const [link, end] = memoryLinkPair();
    gateway.attach(link);
    this.#stack = new GuestStack(this.#watched(end));
  }

  /** On these host sockets, over IPv4 or this family; one client has come already, so that the guest is known. */
  static async start(host: "ffi" | "deno", family: TestFamily = FAMILIES[0]!): Promise<AcceptLatency> {
    const gateway = await Gateway.start({ host, dns: "none", forwards: [forwardTo(family, 80)] });
    const it = new AcceptLatency(gateway, family);
    await it.measure();
    return it;
  }

  /** Begins to connect, and returns what ends the connection; `syn` resolves when the guest's link has the SYN. */
  connect(): { syn: Promise<void>; end: () => Promise<void> } {
    const syn = new Promise<void>((resolve) => this.#synCame = resolve);
    const port = this.#gateway.forwards.list()[0]!.hostPort;
    const connecting = Deno.connect({ hostname: this.#family.loopback, port });
    // The guest refuses: the reset may come while the client still connects.
    const end = () => connecting.then((conn) => conn.close(), () => {});
    return { syn, end };
  }

  /** The time of one client, in milliseconds. */
  async measure(): Promise<number> {
    const began = performance.now(), { syn, end } = this.connect();
    await syn;
    const took = performance.now() - began;
    await end();
    return took;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.close();
    await this.#gateway[Symbol.asyncDispose]();
  }

  #watched(link: Link): Link {
    const start = link.start.bind(link), { version, headerLength } = this.#family;
    const protocolAt = version === 4 ? 23 : 20, tcpAt = ETHERNET_HEADER_LENGTH + headerLength;
    link.start = (receiver) =>
      start({
        flush: () => receiver.flush(),
        closed: (error) => receiver.closed(error),
        receive: (frame) => {
          const { bytes, start } = frame;
          const isTcp = bytes[start + protocolAt] === PROTOCOL_TCP;
          if (isTcp && (tcpFlags(bytes, start + tcpAt) & (TCP_SYN | TCP_ACK)) === TCP_SYN) this.#synCame();
          receiver.receive(frame);
        },
      });
    return link;
  }
}
