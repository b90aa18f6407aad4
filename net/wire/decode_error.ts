/**
 * The error of the strict door of every codec.
 *
 * @module
 */

/** A frame that is too short or malformed: which layer, where, how much was needed and how much was there. */
export class DecodeError extends Error {
  /** The error's class name. */
  override name = "DecodeError";
  /** The layer that refused the bytes, e.g. `"tcp"`. */
  readonly layer: string;
  /** Offset in the array at which the layer's header begins. */
  readonly offset: number;
  /** Bytes the layer needs from `offset` on. */
  readonly needed: number;
  /** Bytes there are from `offset` on. */
  readonly actual: number;

  /** Builds `Cannot decode <layer> at <offset>: <reason> (needed n bytes, have m)`. */
  constructor(layer: string, where: { offset: number; needed: number; actual: number; reason: string }) {
    super(
      `Cannot decode ${layer} at offset ${where.offset}: ${where.reason} ` +
        `(needed ${where.needed} bytes, have ${where.actual})`,
    );
    this.layer = layer;
    this.offset = where.offset;
    this.needed = where.needed;
    this.actual = where.actual;
  }
}
