/**
 * Keeps guests off the host's own addresses (`--no-host`), as these change.
 *
 * What a guest asks for is looked at when it is translated (`translate.ts`). A mapping of UDP or echo remembers what it
 * has asked, and the host may get such an address later. So a version of the host's addresses stands beside what is
 * remembered: if it is an old one, the address is looked at once more. The version itself is looked at once a turn.
 *
 * @module
 */
import type { HostAddresses } from "../host.ts";
import type { Target } from "./translate.ts";

/** Something remembered about where a guest may go. */
export interface Guarded {
  /** Where that leads on the host. */
  readonly target: Target;
  /** For which version of the host's addresses that was last looked at. */
  hostVersion: number;
}

/** Looks after the host's addresses for one gateway. */
export class HostGuard {
  #addresses: HostAddresses | null;
  #now: () => number;
  #lookedAt = NaN;
  #version = 0;

  /** For `addresses`, of which guests may reach none; null: they may reach all. */
  constructor(addresses: HostAddresses | null, now: () => number) {
    this.#addresses = addresses;
    this.#now = now;
  }

  /** A number that is another one after the host's addresses have changed. */
  get version(): number {
    const now = this.#now();
    if (this.#addresses === null || now === this.#lookedAt) return this.#version;
    this.#lookedAt = now;
    return this.#version = this.#addresses.version();
  }

  /** Whether a guest may still go where it went before. */
  permits(known: Guarded): boolean {
    if (this.#addresses === null) return true;
    const version = this.version;
    if (known.hostVersion === version) return true;
    if (this.#addresses.has(known.target.address)) return false;
    known.hostVersion = version;
    return true;
  }
}
