/**
 * How a guest opens a TCP flow: the host connects first.
 *
 * The guest's SYN waits in LISTEN while the host connects; SYN-ACK goes out only after that succeeded, so a port that
 * is refused on the host is refused to the guest. Targets are tried in order while they refuse. A connect that fails
 * otherwise, or takes longer than `connectTimeoutMs`, is told by ICMP first (RFC 1122 section 3.2.2.1), then RST, so
 * that the guest's kernel reports the true cause.
 *
 * It is the handler of the socket that connects, and passes on to the relay what comes after.
 *
 * @module
 */
import { PROTOCOL_TCP } from "../../net/wire/ipv4.ts";
import type { FlowEnding } from "../flow/endings.ts";
import type { GuestSide } from "../flow/flow.ts";
import type { Connector, RelayContext } from "../flow/relay_context.ts";
import type { HostConnectHandler, HostError } from "../host.ts";
import type { Packet } from "../ip/packet.ts";
import { Timer } from "../base/timers.ts";
import type { FlowPermit } from "../rules/verdict.ts";
import type { TcpOpening, TcpRelay } from "./tcp_relay.ts";

const NOTHING: Uint8Array = new Uint8Array(0);

/** The opening of a flow by its guest. */
export class TcpGuestOpening implements TcpOpening, HostConnectHandler {
  #context: RelayContext;
  #guest: GuestSide;
  #permit: FlowPermit;
  #connector: Connector | null = null;
  #target = 0;
  #syn: Pick<Packet, "bytes" | "transport" | "payload">;
  /** The SYN's header, which an ICMP error quotes. */
  #header = NOTHING;
  #relay!: TcpRelay;
  #connecting = true;
  #timer: Timer;

  /**
   * For the SYN `syn` of `guest`, valid until `begin` has returned. The targets of `permit` are tried in order while
   * they refuse, by whoever connects: the host, or what stands in its place or before it.
   */
  constructor(
    context: RelayContext,
    flow: { guest: GuestSide; permit: FlowPermit; syn: Pick<Packet, "bytes" | "transport" | "payload"> },
  ) {
    this.#context = context;
    this.#guest = flow.guest;
    this.#permit = flow.permit;
    this.#syn = flow.syn;
    this.#timer = new Timer(this);
  }

  /** Whose time the host's work for it takes. */
  get payer(): object | undefined {
    return this.#relay.payer;
  }

  /** Keeps the SYN and has the host connect. */
  begin(relay: TcpRelay): void {
    this.#relay = relay;
    const { guest, key, path } = relay;
    this.#connector = this.#context.connectors.for({ guest, key, path }, this.#permit, relay);
    const { bytes, transport, payload } = this.#syn;
    relay.endpoint.listen(bytes, transport);
    this.#header = bytes.slice(transport, payload);
    this.#context.timers.schedule(this.#timer, this.#context.now() + this.#context.tcp.config.connectTimeoutMs);
    this.#connect();
  }

  /** Ends waiting for the connect. */
  cancel(): void {
    if (!this.#connecting) return;
    this.#connecting = false;
    this.#header = NOTHING;
    this.#context.connectEnded(this.#guest);
    this.#context.timers.cancel(this.#timer);
  }

  /** The guest has asked, so it does not refuse. */
  refused(): null {
    return null;
  }

  /** The host is connected: the guest gets its SYN-ACK. */
  hostConnected(): void {
    this.cancel();
    this.#relay.endpoint.accept(this.#context.initialSequence(this.#relay.key));
  }

  /** The next target, or the guest learns why. */
  hostConnectFailed(error: HostError): void {
    this.#relay.setHost(null);
    if (error === "refused" && this.#target + 1 < this.#permit.targets.length) {
      this.#target++;
      return this.#connect();
    }
    this.#refuse(error);
  }

  /** The relay's. */
  hostReadable(): void {
    this.#relay.hostReadable();
  }

  /** The relay's. */
  hostWritable(): void {
    this.#relay.hostWritable();
  }

  /** The relay's. */
  hostFailed(): void {
    this.#relay.hostFailed();
  }

  /** The connect has taken too long. */
  timerFired(): void {
    this.#refuse("timedOut");
  }

  #connect(): void {
    const target = this.#permit.targets[this.#target]!;
    this.#relay.setHost(this.#connector!.connectTcp(target, this), target);
  }

  #refuse(error: HostError): void {
    this.#relay.breakOff(connectEnding(error));
    // A refusal is told by RST alone.
    if (error !== "refused") this.#relay.path.error(error, 0, PROTOCOL_TCP, this.#header);
    if (error === "exhausted") {
      this.#context.counters.hostExhausted++;
      this.#relay.warn("the host has no descriptor, port or memory left");
    }
    this.#relay.endpoint.abort();
  }
}

/** The ending of a flow whose connect failed so. */
function connectEnding(error: HostError): FlowEnding {
  switch (error) {
    case "refused":
      return "refusedByHost";
    case "reset":
      return "resetByHost";
    case "timedOut":
      return "connectTimedOut";
    case "exhausted":
      return "hostExhausted";
    case "networkUnreachable":
    case "hostUnreachable":
    case "prohibited":
    case "tooLarge":
    case "expired":
    case "other":
      return "unreachable";
  }
}
