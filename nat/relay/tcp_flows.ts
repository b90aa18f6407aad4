/**
 * The TCP flows of a gateway: found by key, and begun by a guest's SYN (`tcp_guest_opening.ts`) or by a client of the
 * host (`tcp_host_opening.ts`).
 *
 * A SYN is translated, and the gatekeeper and the limits are asked, before anything is opened. Who then connects,
 * `Connectors` says. DNS at the gateway's own address is not translated: it ends in the gateway, and no rule concerns
 * it. A flow of which no record can be written does not begin.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { FlowsContext } from "../flow/relay_context.ts";
import type { ForwardTarget, GuestSide } from "../flow/flow.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import { FlowTable } from "../flow/flow_table.ts";
import type { HostEndpoint, HostTcpSocket } from "../host.ts";
import type { Packet } from "../ip/packet.ts";
import { AUDIT_UNAVAILABLE, overLimit } from "../rules/refusals.ts";
import { destinationOf, translate } from "../rules/translate.ts";
import { type FlowPermit, type FlowRefusal, ownPermit } from "../rules/verdict.ts";
import { TcpRelay, type TcpRetry } from "./tcp_relay.ts";
import { TcpGuestOpening } from "./tcp_guest_opening.ts";
import { TcpHostOpening } from "./tcp_host_opening.ts";

/** A client of the host on its way to a guest. */
export interface TcpClient {
  /** The guest. */
  readonly guest: GuestSide;
  /** The key of its flow, which is free. */
  readonly key: FlowKey;
  /** The forward that it came to. */
  readonly forward: ForwardTarget;
  /** Its connection. */
  readonly socket: HostTcpSocket;
  /** Where it is. */
  readonly client: HostEndpoint;
  /** Another way to the guest, if it refuses this one. */
  readonly retry: TcpRetry;
}

/** The TCP flows. */
export class TcpFlows {
  #context: FlowsContext;
  #table: FlowTable<TcpRelay>;

  /** None yet. */
  constructor(context: FlowsContext) {
    this.#context = context;
    this.#table = new FlowTable(context.random());
  }

  /** The flow with this key. */
  get(key: FlowKey): TcpRelay | undefined {
    return this.#table.get(key);
  }

  /** Begins a flow for the SYN `packet`. Returns why not, or null. */
  open(guest: GuestSide, packet: Packet): DropReason | null {
    const context = this.#context, { registry, quotas } = context, { key } = packet;
    if (!context.records.isAvailable) return registry.refused(key, guest.use, AUDIT_UNAVAILABLE);
    const permit = this.#permit(guest, key);
    if ("cause" in permit) return registry.refused(key, guest.use, permit);
    const limit = quotas.refusesFlow(guest.use, registry.count) ?? quotas.refusesNew(guest.use, context.now());
    if (limit !== null) return registry.refused(key, guest.use, overLimit(limit, permit.names));
    const opening = new TcpGuestOpening(context, { guest, permit, syn: packet }), hostEnd = permit.targets[0]!;
    if (permit.wouldRefuse !== null) registry.wouldRefuse(key, permit.wouldRefuse);
    quotas.connectBegan(guest.use);
    const relay = new TcpRelay(context, { guest, key: key.clone(), hostEnd, forward: null, permit, opening });
    this.#enter(relay);
    if (!context.records.isAvailable) {
      relay.refuse("auditUnavailable");
      return registry.refused(key, guest.use, AUDIT_UNAVAILABLE);
    }
    relay.open();
    return null;
  }

  #permit(guest: GuestSide, key: FlowKey): FlowPermit | FlowRefusal {
    const context = this.#context, destination = destinationOf(key);
    if (context.dnsFor(key) !== null) return ownPermit([destination]);
    return context.gatekeeper.permit(guest, key, translate(context.rules, destination));
  }

  /** Begins a flow for a client of the host. */
  accept({ guest, key, forward, socket, client, retry }: TcpClient): TcpRelay {
    const context = this.#context, opening = new TcpHostOpening(context, socket, retry);
    const relay = new TcpRelay(context, { guest, key, hostEnd: client, forward, permit: null, opening });
    this.#enter(relay);
    relay.open();
    return relay;
  }

  #enter(relay: TcpRelay): void {
    this.#context.registry.enter(this.#table, relay);
    this.#context.registry.opened(relay);
  }
}
