/**
 * The TCP flows of a gateway: found by key, and begun by a guest's SYN (`tcp_guest_opening.ts`) or by a client of the
 * host (`tcp_host_opening.ts`).
 *
 * A SYN is translated, and rules and limits are asked, before anything is opened. Who then connects, `Connectors`
 * says. DNS at the gateway's own address is not translated: it ends in the gateway.
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
import { destinationOf, translate } from "../rules/translate.ts";
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
    const destination = destinationOf(key), isDns = context.dnsFor(key) !== null;
    const translation = isDns ? { targets: [destination] } : translate(context.rules, destination);
    if ("refusal" in translation) return registry.refused(key, guest.use, translation.refusal, translation.rule);
    const limit = quotas.refusesFlow(guest.use, registry.count) ?? quotas.refusesNew(guest.use, context.now());
    if (limit !== null) return registry.refused(key, guest.use, limit.reason, limit.why);
    const { targets } = translation, owned = key.clone();
    const connector = context.connectors.for({ guest, key: owned, path: guest.path(owned) }, translation);
    const opening = new TcpGuestOpening(context, { connector, targets, syn: packet });
    quotas.connectBegan(guest.use);
    this.#begin(new TcpRelay(context, { guest, key: owned, hostEnd: targets[0]!, forward: null, opening }));
    return null;
  }

  /** Begins a flow for a client of the host. */
  accept({ guest, key, forward, socket, client, retry }: TcpClient): TcpRelay {
    const context = this.#context, opening = new TcpHostOpening(context, socket, retry);
    return this.#begin(new TcpRelay(context, { guest, key, hostEnd: client, forward, opening }));
  }

  #begin(relay: TcpRelay): TcpRelay {
    this.#context.registry.enter(this.#table, relay);
    this.#context.registry.opened(relay);
    relay.open();
    return relay;
  }
}
