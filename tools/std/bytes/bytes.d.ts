// Types of the byte helpers in use; `npm:deno-std` carries none.

/** Joins byte arrays into a new one. */
export function concat(buffers: readonly Uint8Array[]): Uint8Array<ArrayBuffer>;
/** Tells whether two byte arrays hold the same bytes. */
export function equals(a: Uint8Array, b: Uint8Array): boolean;
