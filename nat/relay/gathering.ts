/**
 * Small segments of one flow put together, so that the host is called once for many of them.
 *
 * A link without offload delivers a batch of segments of an MTU each, and a call of the host's kernel for each of them
 * costs more than everything else that is done for it. So payloads of `GATHERED_LEAST` to `GATHERED_MOST` bytes are
 * copied here, and written when the turn ends, when there is no room for another, or when another flow comes: there is
 * one buffer for all flows, and no segment waits beyond its turn. Others are written at once, from where they lie,
 * behind what waits.
 *
 * @module
 */
import { copyBytes, LARGE_PAYLOAD } from "../base/buffers.ts";

/**
 * Payloads from this many bytes on are gathered: what is shorter is a request or the end of one, and the host is to
 * have it at once.
 */
export const GATHERED_LEAST = 512;
/** Payloads up to this many bytes are gathered; from there on a copy costs more than the call that it saves. */
export const GATHERED_MOST = 16384;

/** Whose bytes are gathered. */
export interface Gatherer {
  /** Takes what was gathered for it. */
  takeGathered(bytes: Uint8Array, end: number): void;
}

/** Bytes of one flow at a time. */
export class Gathering {
  readonly #bytes = new Uint8Array(LARGE_PAYLOAD);
  #end = 0;
  #owner: Gatherer | null = null;

  /**
   * Adds a copy of `bytes[start, end)`, at most `GATHERED_MOST`, for `owner`, who takes them with the next `flush` at
   * the latest.
   */
  add(owner: Gatherer, bytes: Uint8Array, start: number, end: number): void {
    this.#owner = owner;
    copyBytes(bytes, start, end, this.#bytes, this.#end);
    this.#end += end - start;
  }

  /** Whether `count` more bytes of `owner` can be added. */
  hasRoom(owner: Gatherer, count: number): boolean {
    return (this.#owner === owner || this.#owner === null) && this.#end + count <= this.#bytes.length;
  }

  /** Gives what is there to its owner. */
  flush(): void {
    const owner = this.#owner, end = this.#end;
    if (owner === null) return;
    this.#owner = null;
    this.#end = 0;
    owner.takeGathered(this.#bytes, end);
  }

  /** `flush`, where it is this owner's. */
  flushOf(owner: Gatherer): void {
    if (this.#owner === owner) this.flush();
  }
}
