/**
 * The ICMP echo flows of a gateway: one mapping for each identifier of a guest (`echo_relay.ts`).
 *
 * If the host has no ping sockets for this user, that is said once in the log and every request is dropped.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { FlowsContext } from "../flow/relay_context.ts";
import type { GuestSide } from "../flow/flow.ts";
import { FlowKey } from "../flow/flow_key.ts";
import { FlowTable } from "../flow/flow_table.ts";
import type { Packet } from "../ip/packet.ts";
import { familyOf } from "../rules/policy.ts";
import { destinationOf, translate } from "../rules/translate.ts";
import { EchoRelay } from "./echo_relay.ts";
import { enterMapping } from "./mappings.ts";
import { refuseDatagram } from "./udp_flows.ts";

/** The echo flows. */
export class EchoFlows {
  #context: FlowsContext;
  #mappings: FlowTable<EchoRelay>;
  #key = new FlowKey();
  /** Whether the host has no ping sockets, which was then said in the log. */
  #pingless = false;

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
    const translation = translate(context.rules, destinationOf(key));
    if ("refusal" in translation) return refuseDatagram(context, guest, key, translation);
    const target = translation.targets[0]!;
    // A ping socket asks over its own family, and replies look like the request.
    if (familyOf(target.address) !== key.family) return "icmpNotRelayed";
    const relay = known ?? this.#open(guest, key);
    return typeof relay === "string" ? relay : relay.send(packet, relay.peers.add(key, guest.path(key), target));
  }

  #open(guest: GuestSide, key: FlowKey): EchoRelay | DropReason {
    const context = this.#context;
    if (this.#pingless) return "icmpNotRelayed";
    const limit = context.quotas.refusesNew(guest.use, context.now());
    if (limit !== null) return context.registry.refused(key, guest.use, limit.reason, limit.why);
    const relay = new EchoRelay(context, { guest, key: this.#key.clone() });
    const socket = context.host.openPing?.(relay) ?? "other";
    if (typeof socket !== "string") {
      relay.use(socket);
      return enterMapping(context, this.#mappings, relay);
    }
    if (socket === "exhausted") return "hostExhausted";
    this.#pingless = true;
    context.logger.warn(
      `Echo requests beyond the gateway are dropped: the host (${context.host.name}) has no ping socket for this user`,
    );
    return "icmpNotRelayed";
  }
}
