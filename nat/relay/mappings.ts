/**
 * How many mappings of UDP and ICMP echo a gateway has at once.
 *
 * At most `MAX_MAPPINGS`. Beyond, the guest that has the most gives the one up that it used longest ago; so no guest
 * loses its mappings to another that takes more.
 *
 * @module
 */
import type { FlowsContext } from "../flow/relay_context.ts";
import type { GuestSide } from "../flow/flow.ts";
import type { FlowTable } from "../flow/flow_table.ts";
import { greediest } from "../flow/quota.ts";
import type { DatagramRelay } from "./datagram_relay.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import { AUDIT_UNAVAILABLE } from "../rules/refusals.ts";
import type { FlowPermit, FlowRefusal } from "../rules/verdict.ts";
import type { Peer } from "./peers.ts";

/** Mappings of UDP and ICMP echo that may exist at once. */
export const MAX_MAPPINGS = 1024;

/** Takes a new mapping into `table` and begins it; another one makes room if it must. */
export function enterMapping<T extends DatagramRelay>(context: FlowsContext, table: FlowTable<T>, relay: T): T {
  const guests = context.guests();
  const count = guests.reduce((sum, { use }) => sum + use.mappings.size, 0);
  if (count >= MAX_MAPPINGS) {
    const sizes = guests.map((guest): [GuestSide, number] => [guest, guest.use.mappings.size]);
    greediest<GuestSide>(sizes, relay.guest).use.mappings.oldest?.abort("evicted");
  }
  context.registry.enter(table, relay);
  relay.guest.use.mappings.add(relay);
  relay.open();
  return relay;
}

/** The guest of `relay` asks a new destination, if that can be recorded. A mapping without any is gone again. */
export function addRecorded(
  { records }: FlowsContext,
  relay: DatagramRelay,
  key: FlowKey,
  permit: FlowPermit,
): Peer | FlowRefusal {
  const peer = relay.addPeer(key, relay.guest.path(key), permit);
  if (records.isAvailable) return peer;
  relay.dropPeer(peer, "auditUnavailable");
  if (relay.peers.latest === undefined) relay.abort("auditUnavailable");
  return AUDIT_UNAVAILABLE;
}
