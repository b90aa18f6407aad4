/**
 * Ports of the host's loopback to which the gateway's address leads in any case. Other ports and `hostLoopback` are
 * another matter, see `translate.ts`.
 *
 * @module
 */
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";

const MOST = 65535;

/** A port of the host's loopback. */
export interface HostPort {
  /** Protocol number. */
  readonly protocol: number;
  /** The port. */
  readonly port: number;
}

/** The ports that are open. They may change while flows go on, which do not end by that. */
export class HostPorts {
  readonly #open = new Set<number>();
  readonly #problem: string | null;

  /** None yet. `problem`: why none can ever be. */
  constructor(problem: string | null = null) {
    this.#problem = problem;
  }

  /** Opens `tcp:PORT` or `udp:PORT`. Throws a `TypeError` or `RangeError` if that cannot be. */
  open(port: string): void {
    this.#open.add(keyOf(this.#parse(port)));
  }

  /** Closes it to new flows. Throws as `open` does. */
  close(port: string): void {
    this.#open.delete(keyOf(this.#parse(port)));
  }

  /** Whether it is open. */
  isOpen(port: HostPort): boolean {
    return this.#open.size > 0 && this.#open.has(keyOf(port));
  }

  #parse(text: string): HostPort {
    try {
      if (this.#problem !== null) throw new RangeError(this.#problem);
      return parseHostPort(text);
    } catch (error) {
      const message = `Cannot use host port ${text}: ${(error as Error).message}`;
      throw error instanceof RangeError ? new RangeError(message) : new TypeError(message);
    }
  }
}

/** Reads `tcp:PORT` or `udp:PORT`. Throws a `TypeError` or `RangeError` that says what is wrong alone. */
function parseHostPort(text: string): HostPort {
  const [, protocol, digits] = /^(tcp|udp):(\d{1,5})$/.exec(text) ?? [], port = Number(digits);
  if (protocol === undefined) throw new TypeError("it is tcp:PORT or udp:PORT, such as tcp:5432");
  if (port < 1 || port > MOST) throw new RangeError(`its port is a whole number from 1 to ${MOST}`);
  return { protocol: protocol === "tcp" ? PROTOCOL_TCP : PROTOCOL_UDP, port };
}

function keyOf({ protocol, port }: HostPort): number {
  return protocol << 16 | port;
}
