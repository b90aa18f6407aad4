/**
 * How a client of the host opens a TCP flow to a guest, through a forward: the guest is asked at once.
 *
 * The host has accepted the client already, since a kernel does that by itself. SYN goes to the guest from the client's
 * own address; it is repeated with backoff and given up after `connectTimeoutMs`, by the endpoint. Until the guest's
 * SYN-ACK nothing of the client is read, so what it sends waits in the host's kernel. A guest that refuses (RST) or
 * never answers ends the flow in SYN-SENT, and the relay resets the client: at once, or after those ten seconds. Of a
 * guest that refuses over one family, and may not over the other, the client hears nothing: its socket goes to a second
 * flow.
 *
 * @module
 */
import type { RelayContext } from "../flow/relay_context.ts";
import type { HostTcpSocket } from "../host.ts";
import type { TcpOpening, TcpRelay, TcpRetry } from "./tcp_relay.ts";

/** The opening of a flow by a client of the host. */
export class TcpHostOpening implements TcpOpening {
  #context: RelayContext;
  #socket: HostTcpSocket;
  #retry: TcpRetry;

  /** For the client on `socket`, which is connected; `retry` is for a guest that refuses. */
  constructor(context: RelayContext, socket: HostTcpSocket, retry: TcpRetry) {
    this.#context = context;
    this.#socket = socket;
    this.#retry = retry;
  }

  /** Sends SYN to the guest. */
  begin(relay: TcpRelay): void {
    relay.setHost(this.#socket);
    relay.endpoint.connect(this.#context.initialSequence(relay.key));
  }

  /** The guest may be asked again over the other family (`forwards.ts`). */
  refused(): TcpRetry | null {
    return this.#retry.isPossible() ? this.#retry : null;
  }

  /** Nothing is under way but what the endpoint and the relay end by themselves. */
  cancel(): void {}
}
