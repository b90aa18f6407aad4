/**
 * What a TCP endpoint or a part of one needs around it in a test.
 *
 * @module
 */
import { BufferPool, LARGE_BUFFER } from "../../nat/base/buffers.ts";
import { createTcpDrops, TCP_DEFAULTS, type TcpConfig, type TcpContext } from "../../nat/tcp/context.ts";
import { TimerWheel } from "../../nat/base/timers.ts";

/** One buffer serves every test of a file: it is used within one call. */
const SCRATCH = new Uint8Array(LARGE_BUFFER);

/** A context with a pool of its own, which holds back at `maxBufferBytes`. */
export function tcpContext(
  parts: { timers?: TimerWheel; now?: () => number; tcp?: Partial<TcpConfig>; maxBufferBytes?: number } = {},
): TcpContext {
  return {
    config: { ...TCP_DEFAULTS, ...parts.tcp },
    pool: new BufferPool(parts.maxBufferBytes),
    timers: parts.timers ?? new TimerWheel(0),
    drops: createTcpDrops(),
    scratch: SCRATCH,
    now: parts.now ?? (() => 0),
  };
}
