/**
 * How long a client of a forward waits until the guest hears of it: from its `connect` to the SYN on the guest's link.
 *
 * @module
 */
import { GuestStack } from "../../guest/mod.ts";
import { Gateway } from "../../mod.ts";
import type { Link } from "../../net/link/link.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { PROTOCOL_TCP } from "../../net/wire/ipv4.ts";
import { TCP_ACK, TCP_SYN, tcpFlags } from "../../net/wire/tcp.ts";

const PROTOCOL_AT = 23, TCP_AT = 34;

/** A gateway with one forward to a guest that refuses every client. */
export class AcceptLatency implements AsyncDisposable {
  readonly #gateway: Gateway;
  readonly #stack: GuestStack;
  #synCame: () => void = () => {};

  private constructor(gateway: Gateway) {
    this.#gateway = gateway;
    const [link, end] = memoryLinkPair();
    gateway.attach(link);
    this.#stack = new GuestStack(this.#watched(end));
  }

  /** On these host sockets; one client has come already, so that the guest is known. */
  static async start(host: "ffi" | "deno"): Promise<AcceptLatency> {
    const it = new AcceptLatency(await Gateway.start({ host, dns: "none", forwards: ["tcp:0:80"] }));
    await it.measure();
    return it;
  }

  /** Begins to connect, and returns what ends the connection; `syn` resolves when the guest's link has the SYN. */
  connect(): { syn: Promise<void>; end: () => Promise<void> } {
    const syn = new Promise<void>((resolve) => this.#synCame = resolve);
    const port = this.#gateway.forwards.list()[0]!.hostPort;
    const connecting = Deno.connect({ hostname: "127.0.0.1", port });
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
    const start = link.start.bind(link);
    link.start = (receiver) =>
      start({
        flush: () => receiver.flush(),
        closed: (error) => receiver.closed(error),
        receive: (frame) => {
          const { bytes, start } = frame;
          const isTcp = bytes[start + PROTOCOL_AT] === PROTOCOL_TCP;
          if (isTcp && (tcpFlags(bytes, start + TCP_AT) & (TCP_SYN | TCP_ACK)) === TCP_SYN) this.#synCame();
          receiver.receive(frame);
        },
      });
    return link;
  }
}
