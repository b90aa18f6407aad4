/**
 * `-t auto` and `-u auto` of a command: ports that follow what listens in a namespace, for as long as the gateway
 * serves. It is looked again and again, since the kernel tells nobody that a socket listens.
 *
 * Only a command that asks for it loads this file.
 *
 * @module
 */
import { AutoForwards } from "../forward/auto_forwards.ts";
import type { LoopbackDoor } from "../forward/loopback_door.ts";
import type { PortForwards } from "../forward/port_forwards.ts";
import type { AutoPorts } from "../forward/port_spec.ts";
import type { Logger } from "../nat/base/logger.ts";
import type { ListeningSockets } from "../net/linux/listening_sockets.ts";
import { writeStderr } from "./log.ts";

const PERIOD_MS = 100;

/** What is followed, and what is told. */
export interface FollowOptions {
  /** The forwards of the gateway. */
  readonly forwards: PortForwards;
  /** What listens. It is disposed of at the end. */
  readonly sockets: ListeningSockets;
  /** The ports of the host that follow it. */
  readonly ports: readonly AutoPorts[];
  /** The way to the namespace's loopback, if there is one. */
  readonly door?: LoopbackDoor | undefined;
  /** Who hears of what is not forwarded. */
  readonly logger: Logger;
  /** Whether each forward is told on stderr. */
  readonly tellsForwards: boolean;
}

/** Follows from now on, until what is returned is disposed of. */
export function followListening(options: FollowOptions): AsyncDisposable {
  const { forwards, sockets, ports, door, logger, tellsForwards } = options;
  const auto = new AutoForwards({
    forwards,
    source: sockets,
    ports,
    door,
    logger,
    added: (_, shown) => {
      if (tellsForwards) writeStderr(`forwarding ${shown}\n`);
    },
    now: () => performance.now(),
  });
  logger.debug(`Ports follow what listens in the namespace, known by ${sockets.way}`);
  const looking = keepLooking(() => auto.look(), logger);
  return {
    [Symbol.asyncDispose]: async () => {
      looking[Symbol.dispose]();
      sockets[Symbol.dispose]();
      await auto[Symbol.asyncDispose]();
    },
  };
}

/** Looks at once, and again and again until what is returned is disposed of, or until that fails. */
export function keepLooking(look: () => void, logger: Pick<Logger, "warn">): Disposable {
  const tryLook = () => {
    try {
      look();
    } catch (error) {
      clearInterval(timer);
      logger.warn(`${error instanceof Error ? error.message : error}; ports are not followed any more`);
    }
  };
  const timer = setInterval(tryLook, PERIOD_MS);
  tryLook();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
