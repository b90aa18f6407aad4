/**
 * How a client of the host opens a TCP flow to a guest, through a forward: the guest is asked at once.
 *
 * The host has accepted the client already, since a kernel does that by itself. SYN goes to the guest from the client's
 * own address; it is repeated with backoff and given up after `connectTimeoutMs`, by the endpoint. Until the guest's
 * SYN-ACK nothing of the client is read, so what it sends waits in the host's kernel. A guest that refuses (RST) or
 * never answers ends the flow in SYN-SENT, and the relay resets the client: at once, or after those ten seconds.
 *
 * @module
 */
import type { RelayContext } from "../flow/relay_context.ts";
import type { HostTcpSocket } from "../host.ts";
import type { TcpOpening, TcpRelay } from "./tcp_relay.ts";

/** The opening of a flow by a client of the host. */
export class TcpHostOpening implements TcpOpening {
  #context: RelayContext;
  #socket: HostTcpSocket;

  /** For the client on `socket`, which is connected. */
  constructor(context: RelayContext, socket: HostTcpSocket) {
    this.#context = context;
    this.#socket = socket;
  }

  /** Sends SYN to the guest. */
  begin(relay: TcpRelay): void {
    relay.setHost(this.#socket);
    relay.endpoint.connect(this.#context.initialSequence(relay.key));
  }

  /** Nothing is under way but what the endpoint and the relay end by themselves. */
  cancel(): void {}
}
