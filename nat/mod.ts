/**
 * What a program needs of the NAT without running a gateway: the contract with hosts, rules, what is told of flows, the
 * flow table, and the TCP endpoint. Pure: no socket, no clock, no permission.
 *
 * - **A host of your own** for `Gateway.start({ host })` implements `HostNetwork`.
 * - **Rules**: `createTranslationRules` and `translate` say where an address leads, and why not.
 * - **What happens**: `GatewayEvent` and its kinds, `FlowInfo`, `Totals`, counters and endings with what each means.
 * - **A TCP endpoint** (RFC 9293) of your own, over whatever carries segments: `TcpEndpoint` with a `TcpContext`.
 *
 * @module
 */
export { type BufferPool, COPYBREAK, LARGE_BUFFER, LARGE_PAYLOAD } from "./base/buffers.ts";
export { type Counters, createCounters, DROP_REASONS, type DropReason } from "./base/counters.ts";
export { type Logger, SILENT } from "./base/logger.ts";
export { RateLimitedLog } from "./base/rate_limited_log.ts";
export { type Timed, Timer, TimerWheel } from "./base/timers.ts";
export { createEndings, type Endings, FLOW_ENDINGS, type FlowEnding } from "./flow/endings.ts";
export * from "./flow/event_target.ts";
export * from "./flow/events.ts";
export type { FlowInfo } from "./flow/flow.ts";
export { FLOW_KEY_WORDS, FlowKey } from "./flow/flow_key.ts";
export { FlowTable } from "./flow/flow_table.ts";
export * from "./host.ts";
export * from "./rules/bindings.ts";
export * from "./rules/decide.ts";
export * from "./rules/policy.ts";
export * from "./rules/rule.ts";
export * from "./rules/rule_list.ts";
export * from "./rules/network_plan.ts";
export * from "./rules/segment.ts";
export * from "./rules/special_purpose.ts";
export * from "./rules/translate.ts";
export * from "./rules/translation_options.ts";
export * from "./rules/verdict.ts";
export {
  createTcpDrops,
  TCP_DEFAULTS,
  type TcpConfig,
  type TcpContext,
  type TcpDrops,
  type TcpEnd,
} from "./tcp/context.ts";
export type { QueueSink, TcpLower, TcpPorts, TcpUser } from "./tcp/context.ts";
export { TcpEndpoint } from "./tcp/endpoint.ts";
export * from "./tcp/transitions.ts";
