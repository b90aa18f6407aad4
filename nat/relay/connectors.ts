/**
 * Who connects a TCP flow that a guest begins: the host, or what stands in its place or before it.
 *
 * DNS at the gateway's own address ends in the gateway. Whoever is to look at what a guest says first stands before the
 * host as a `SocketFilter` (`socket_filter.ts`).
 *
 * @module
 */
import type { FlowPermit } from "../rules/verdict.ts";
import type { Asker, Connector, Connectors, FlowsContext, WatchedFlow } from "../flow/relay_context.ts";

/** DNS by the gateway, and everything else by the host. */
export class GatewayConnectors implements Connectors {
  #context: Pick<FlowsContext, "host" | "dnsFor">;

  /** Over the gateway's host and DNS. */
  constructor(context: Pick<FlowsContext, "host" | "dnsFor">) {
    this.#context = context;
  }

  /** Who connects the flow that `asker` begins. */
  for(asker: Asker, _permit: FlowPermit, _flow: WatchedFlow): Connector {
    return this.#context.dnsFor(asker.key)?.connector(asker) ?? this.#context.host;
  }
}
