/**
 * The UDP flows of a gateway: mappings of guests (`udp_relay.ts`), and clients of forwards (`udp_forward.ts`).
 *
 * A datagram of a guest is first looked up among the clients, then goes to its mapping. A destination that the mapping
 * has not asked yet is translated, and the gatekeeper is asked. DNS at the gateway's own address is answered by
 * `service/dns_service.ts`.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { FlowsContext } from "../flow/relay_context.ts";
import type { GuestSide } from "../flow/flow.ts";
import { FlowKey } from "../flow/flow_key.ts";
import { FlowTable } from "../flow/flow_table.ts";
import type { Packet } from "../ip/packet.ts";
import { isGroupAddress } from "../rules/segment.ts";
import { AUDIT_UNAVAILABLE, overLimit } from "../rules/refusals.ts";
import { TranslationCache } from "../rules/translation_cache.ts";
import type { FlowRefusal } from "../rules/verdict.ts";
import { addRecorded, enterMapping } from "./mappings.ts";
import { UdpRelay } from "./udp_relay.ts";
import type { UdpForwardFlow } from "./udp_forward.ts";

/** The UDP flows. */
export class UdpFlows {
  #context: FlowsContext;
  #mappings: FlowTable<UdpRelay>;
  #clients: FlowTable<UdpForwardFlow>;
  #translations: TranslationCache;
  #key = new FlowKey();

  /** None yet. */
  constructor(context: FlowsContext) {
    this.#context = context;
    this.#mappings = new FlowTable(context.random());
    this.#clients = new FlowTable(context.random());
    this.#translations = new TranslationCache(context.rules);
  }

  /** Whether a client of a forward has this key. */
  hasClient(key: FlowKey): boolean {
    return this.#clients.has(key);
  }

  /** A client of a forward has come, with a key that is free. */
  enterClient(flow: UdpForwardFlow): void {
    this.#context.registry.enter(this.#clients, flow);
    this.#context.registry.opened(flow);
  }

  /** Whether a datagram with this key was sent to the guest: by whom it has asked, or by a client. */
  hasSent(key: FlowKey): boolean {
    return this.#mappings.get(this.#key.setMapping(key))?.peers.has(key) || this.hasClient(key);
  }

  /**
   * The guest has nobody at the port of the packet with this key, which begins with `bytes[start, end)`. Returns
   * whether it is a datagram of a client that is tried over another family.
   */
  refused(key: FlowKey, bytes: Uint8Array, start: number, end: number): boolean {
    return this.#clients.get(key)?.refused(bytes, start, end) ?? false;
  }

  /** Sends a datagram of a guest. Returns why not, or null. */
  send(guest: GuestSide, packet: Packet): DropReason | null {
    const context = this.#context, { registry, hostGuard } = context, { key } = packet;
    const client = this.#clients.size === 0 ? undefined : this.#clients.get(key);
    if (client !== undefined) return client.answer(packet);
    const dns = context.dnsFor(key);
    if (dns !== null) {
      const owned = key.clone();
      return dns.ask(packet, { guest, key: owned, path: guest.path(owned) });
    }
    const known = this.#mappings.get(this.#key.setMapping(key)), peer = known?.peers.ask(key);
    // What was asked before was translated then.
    if (known !== undefined && peer !== undefined && hostGuard.permits(peer)) return known.send(packet, peer);
    if (!context.records.isAvailable) return registry.refused(key, guest.use, AUDIT_UNAVAILABLE);
    const translation = this.#translations.find(context.rules, key, hostGuard.version);
    const permit = context.gatekeeper.permit(guest, key, translation);
    if ("cause" in permit) return refuseDatagram(context, guest, key, permit);
    const limit = known === undefined ? context.quotas.refusesNew(guest.use, context.now()) : null;
    if (limit !== null) return registry.refused(key, guest.use, overLimit(limit, permit.names));
    const relay = known ??
      enterMapping(context, this.#mappings, new UdpRelay(context, { guest, key: this.#key.clone() }));
    const added = addRecorded(context, relay, key, permit);
    return "cause" in added ? registry.refused(key, guest.use, added) : relay.send(packet, added);
  }
}

/**
 * Refuses a datagram. Every system announces itself to its neighbours: that is no attempt to reach anything, and nobody
 * is told.
 */
export function refuseDatagram(
  { registry, rules }: FlowsContext,
  { use }: GuestSide,
  key: FlowKey,
  refusal: FlowRefusal,
): DropReason {
  return isGroupAddress(rules, key.remoteAddress) ? refusal.counter : registry.refused(key, use, refusal);
}
