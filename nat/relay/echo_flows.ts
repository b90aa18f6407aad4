/**
 * The ICMP echo flows of a gateway: one mapping for each identifier of a guest (`echo_relay.ts`).
 *
 * If the host has no ping sockets of a family for this user, that is said once in the log and every request that leads
 * to an address of that family is dropped.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { FlowsContext } from "../flow/relay_context.ts";
import type { GuestSide } from "../flow/flow.ts";
import { FlowKey } from "../flow/flow_key.ts";
import { FlowTable } from "../flow/flow_table.ts";
import type { Packet } from "../ip/packet.ts";
import { familyOf, type IpFamily } from "../rules/policy.ts";
import { AUDIT_UNAVAILABLE, overLimit } from "../rules/refusals.ts";
import { destinationOf, translate } from "../rules/translate.ts";
import { EchoRelay } from "./echo_relay.ts";
import { addRecorded, enterMapping } from "./mappings.ts";
import { refuseDatagram } from "./udp_flows.ts";

/** The echo flows. */
export class EchoFlows {
  #context: FlowsContext;
  #mappings: FlowTable<EchoRelay>;
  #key = new FlowKey();
  /** Families of which the host has no ping sockets, which was then said in the log. */
  #pingless = new Set<IpFamily>();

  /** None yet. */
  constructor(context: FlowsContext) {
    this.#context = context;
    this.#mappings = new FlowTable(context.random());
  }

  /** Whether a reply with this key was sent to the guest. */
  hasSent(key: FlowKey): boolean {
    return this.#mappings.get(this.#key.setMapping(key))?.peers.has(key) ?? false;
  }

  /** Sends an echo request of a guest. Returns why not, or null. */
  send(guest: GuestSide, packet: Packet): DropReason | null {
    const context = this.#context, { key } = packet;
    const known = this.#mappings.get(this.#key.setMapping(key)), peer = known?.peers.ask(key);
    if (known !== undefined && peer !== undefined && context.hostGuard.permits(peer)) return known.send(packet, peer);
    const { registry } = context;
    if (!context.records.isAvailable) return registry.refused(key, guest.use, AUDIT_UNAVAILABLE);
    const permit = context.gatekeeper.permit(guest, key, translate(context.rules, destinationOf(key)));
    if ("cause" in permit) return refuseDatagram(context, guest, key, permit);
    const family = familyOf(permit.targets[0]!.address);
    if (this.#pingless.has(family)) return "icmpNotRelayed";
    const limit = known === undefined ? context.quotas.refusesNew(guest.use, context.now()) : null;
    if (limit !== null) return registry.refused(key, guest.use, overLimit(limit, permit.names));
    const relay = known ?? new EchoRelay(context, { guest, key: this.#key.clone() });
    const error = relay.openSocket(family);
    if (error !== null) return error === "exhausted" ? "hostExhausted" : this.#hasNone(family);
    if (known === undefined) enterMapping(context, this.#mappings, relay);
    const added = addRecorded(context, relay, key, permit);
    return "cause" in added ? registry.refused(key, guest.use, added) : relay.send(packet, added);
  }

  #hasNone(family: IpFamily): DropReason {
    const { logger, host } = this.#context;
    this.#pingless.add(family);
    logger.warn(
      `Echo requests to IPv${family} beyond the gateway are dropped: ` +
        `the host (${host.name}) has no ping socket of IPv${family} for this user`,
    );
    return "icmpNotRelayed";
  }
}
