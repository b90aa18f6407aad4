/**
 * Who connects a TCP flow that a guest begins: the host, or what stands in its place or before it.
 *
 * DNS at the gateway's own address ends in the gateway. If the flow's permit says that its first bytes are looked at, a
 * `SocketFilter` with a `NameJudge` stands before the host; what that finds is told here. Every other flow is the
 * host's alone.
 *
 * @module
 */
import type { Asker, Connector, Connectors, FlowsContext, WatchedFlow } from "../flow/relay_context.ts";
import type { FlowPermit, FlowRefusal } from "../rules/verdict.ts";
import { NameJudge, type NameListener, type NameRefusal, type SaidName } from "./name_judge.ts";
import { SocketFilter } from "./socket_filter.ts";

/** What connecting needs of the gateway. */
export type ConnectorsContext = Pick<
  FlowsContext,
  "host" | "dnsFor" | "rules" | "gatekeeper" | "registry" | "timers" | "now" | "due" | "pool"
>;

/** DNS by the gateway, and everything else by the host. */
export class GatewayConnectors implements Connectors {
  #context: ConnectorsContext;

  /** Over the gateway's host and DNS. */
  constructor(context: ConnectorsContext) {
    this.#context = context;
  }

  /** Who connects the flow that `asker` begins. */
  for(asker: Asker, permit: FlowPermit, flow: WatchedFlow): Connector {
    const context = this.#context, { host: connector } = context, dns = context.dnsFor(asker.key);
    if (dns !== null) return dns.connector(asker);
    if (permit.look === "none") return connector;
    return {
      connectTcp: (target, owner) =>
        new SocketFilter(context, owner, { connector, target, judge: this.#judge(asker, permit, flow) }),
    };
  }

  #judge({ guest, key }: Asker, permit: FlowPermit, flow: WatchedFlow): NameJudge {
    const context = this.#context, { gatekeeper } = context, address = key.remoteAddress;
    const wanted = { protocol: "tcp", address, port: key.remotePort } as const;
    return new NameJudge({
      list: () => context.rules.egress,
      ruleOf: (name) => gatekeeper.ruleOf(wanted, name),
      isBound: (name) => guest.bindings.of(address, context.now()).some((binding) => binding.name === name),
      port: key.remotePort,
      look: permit.look,
      strict: gatekeeper.strict,
      reports: gatekeeper.reportOnly,
      listener: new Told(context, permit, flow),
    });
  }
}

/** Tells what the first bytes of a flow have said. */
class Told implements NameListener {
  #context: ConnectorsContext;
  #permit: FlowPermit;
  #flow: WatchedFlow;

  constructor(context: ConnectorsContext, permit: FlowPermit, flow: WatchedFlow) {
    this.#context = context;
    this.#permit = permit;
    this.#flow = flow;
  }

  nameVerified(said: SaidName): void {
    this.#flow.verified(said);
    this.#context.registry.verified(this.#flow, said);
  }

  nameRefused({ cause, name, rule, words }: NameRefusal): void {
    const { gatekeeper, registry } = this.#context, facts = name === null ? {} : { name };
    const refusal: FlowRefusal = { cause, counter: "denied", rule, names: this.#permit.names, words };
    if (gatekeeper.reportOnly) {
      registry.wouldRefuse(this.#flow.key, refusal, { flow: this.#flow.place.number, ...facts });
    } else registry.cutOff(this.#flow, refusal, facts);
  }
}
