/**
 * From flow key to flow, without an object or a string per look-up.
 *
 * **Rows.** Keys lie in one `Uint32Array`, a row of eleven words each: the ten of the key and its hash. The value of a
 * row is in an ordinary array beside it. A row that was given up keeps the number of the next free one where its hash
 * was.
 *
 * **Index.** A power of two of slots, each 0 or a row's number plus one, probed linearly from the slot that the hash
 * names. A look-up compares hashes first and then all ten words, so that equal hashes never confuse two flows. Deleting
 * shifts the rest of the chain back into the gap instead of leaving a marker, so chains are as long as their keys make
 * them, however many flows have come and gone.
 *
 * **Hash.** A guest chooses ports and addresses, so the hash begins with a random seed and every word passes two
 * multiplications before the next one is added: what a difference in one word becomes depends on the seed, and the next
 * word cannot be chosen to cancel it. This makes long chains improbable, not impossible for someone who learns the
 * seed; the flow limit bounds what that would cost.
 *
 * **Size.** The index doubles when three quarters of it are taken, and is cut to four slots a flow when it has more
 * than sixteen, so that a storm of flows leaves nothing large behind. Each rebuild is paid for by the insertions or
 * deletions between two of them.
 *
 * @module
 */
import { FLOW_KEY_WORDS, FlowKey } from "./flow_key.ts";

const HASH = FLOW_KEY_WORDS;
const ROW_WORDS = FLOW_KEY_WORDS + 1;
const LEAST_SLOTS = 64;

/** The hash of a key's ten words under a seed: an unsigned 32-bit number. */
export function hashFlowKey(words: Uint32Array, seed: number): number {
  let hash = seed | 0;
  for (let i = 0; i < FLOW_KEY_WORDS; i++) {
    hash = Math.imul(hash ^ words[i]!, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77);
    hash ^= hash >>> 13;
  }
  hash = Math.imul(hash, 0xc2b2ae3d);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Flows by key. */
export class FlowTable<T extends NonNullable<unknown>> {
  #seed: number;
  #index = new Int32Array(LEAST_SLOTS);
  #rows = new Uint32Array(rowsFor(LEAST_SLOTS) * ROW_WORDS);
  #values: (T | undefined)[] = [];
  /** Row to use next plus one; 0: the row after the last. */
  #free = 0;
  #size = 0;

  /** An empty table. `seed` is a random 32-bit number, drawn anew for each table. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Count of flows. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of keys and index: what the table itself keeps. */
  get byteLength(): number {
    return this.#index.byteLength + this.#rows.byteLength;
  }

  /** The flow with this key. */
  get(key: FlowKey): T | undefined {
    const slot = this.#find(key.words, hashFlowKey(key.words, this.#seed));
    return slot < 0 ? undefined : this.#values[this.#index[slot]! - 1];
  }

  /** Whether there is a flow with this key. */
  has(key: FlowKey): boolean {
    return this.#find(key.words, hashFlowKey(key.words, this.#seed)) >= 0;
  }

  /**
   * Adds a flow; the key is copied. Throws an `Error` where the key is taken: a flow that is merely replaced would be
   * lost with its sockets, so whoever replaces one deletes it first.
   */
  set(key: FlowKey, value: T): void {
    const words = key.words, hash = hashFlowKey(words, this.#seed);
    if (this.#find(words, hash) >= 0) throw new Error(`Cannot add flow ${key}: its key is taken`);
    if (this.#size >= rowsFor(this.#index.length)) this.#resize(this.#index.length * 2);
    const row = this.#takeRow();
    const rows = this.#rows, at = row * ROW_WORDS;
    for (let i = 0; i < FLOW_KEY_WORDS; i++) rows[at + i] = words[i]!;
    rows[at + HASH] = hash;
    this.#values[row] = value;
    this.#place(row, hash);
    this.#size++;
  }

  /** Removes the flow with this key and returns it. */
  delete(key: FlowKey): T | undefined {
    const slot = this.#find(key.words, hashFlowKey(key.words, this.#seed));
    if (slot < 0) return undefined;
    const row = this.#index[slot]! - 1, value = this.#values[row];
    this.#vacate(slot);
    this.#values[row] = undefined;
    this.#rows[row * ROW_WORDS + HASH] = this.#free;
    this.#free = row + 1;
    this.#size--;
    const slots = this.#index.length;
    if (slots > LEAST_SLOTS && this.#size * 16 < slots) this.#resize(Math.max(slots >>> 2, LEAST_SLOTS));
    return value;
  }

  /** Removes every flow. */
  clear(): void {
    this.#index = new Int32Array(LEAST_SLOTS);
    this.#rows = new Uint32Array(rowsFor(LEAST_SLOTS) * ROW_WORDS);
    this.#values = [];
    this.#free = 0;
    this.#size = 0;
  }

  /**
   * The flows that there are when iteration begins, less those that are deleted before their turn. Flows may be added
   * and deleted meanwhile. It copies the keys: for display and for taking a guest's leave, not for every packet.
   */
  *values(): Generator<T, void, undefined> {
    for (const [, value] of this.#snapshot(new FlowKey())) yield value;
  }

  /** The same as `values`, each with a key of its own. */
  *entries(): Generator<[FlowKey, T], void, undefined> {
    for (const [key, value] of this.#snapshot(new FlowKey())) yield [key.clone(), value];
  }

  /** Walks copies of the rows, since a deletion may move rows; yields `key` filled with each one's words. */
  *#snapshot(key: FlowKey): Generator<[FlowKey, T], void, undefined> {
    const values = this.#values.slice();
    const rows = this.#rows.slice(0, values.length * ROW_WORDS);
    for (let row = 0; row < values.length; row++) {
      const value = values[row];
      if (value !== undefined && this.get(key.copyFrom(rows, row * ROW_WORDS)) === value) yield [key, value];
    }
  }

  /** The slot that holds the key, or -1. */
  #find(words: Uint32Array, hash: number): number {
    const index = this.#index, rows = this.#rows, mask = index.length - 1;
    for (let slot = hash & mask;; slot = (slot + 1) & mask) {
      const row = index[slot]!;
      if (row === 0) return -1;
      const at = (row - 1) * ROW_WORDS;
      if (rows[at + HASH] === hash && sameWords(rows, at, words)) return slot;
    }
  }

  #place(row: number, hash: number): void {
    const index = this.#index, mask = index.length - 1;
    let slot = hash & mask;
    while (index[slot] !== 0) slot = (slot + 1) & mask;
    index[slot] = row + 1;
  }

  /** Empties a slot and shifts back every later one of the chain that the gap would cut off from its hash. */
  #vacate(gap: number): void {
    const index = this.#index, rows = this.#rows, mask = index.length - 1;
    for (let slot = (gap + 1) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const home = rows[(index[slot]! - 1) * ROW_WORDS + HASH]! & mask;
      // Distances are taken around the ring: the chain may cross the end of the index.
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        index[gap] = index[slot]!;
        gap = slot;
      }
    }
    index[gap] = 0;
  }

  #takeRow(): number {
    if (this.#free === 0) return this.#values.length;
    const row = this.#free - 1;
    this.#free = this.#rows[row * ROW_WORDS + HASH]!;
    return row;
  }

  /** Builds index and rows anew, the rows without gaps. */
  #resize(slots: number): void {
    const oldRows = this.#rows, oldValues = this.#values;
    this.#index = new Int32Array(slots);
    this.#rows = new Uint32Array(rowsFor(slots) * ROW_WORDS);
    this.#values = [];
    this.#free = 0;
    for (let from = 0; from < oldValues.length; from++) {
      const value = oldValues[from];
      if (value === undefined) continue;
      const row = this.#values.length, at = row * ROW_WORDS, old = from * ROW_WORDS;
      for (let i = 0; i < ROW_WORDS; i++) this.#rows[at + i] = oldRows[old + i]!;
      this.#values.push(value);
      this.#place(row, this.#rows[at + HASH]!);
    }
  }
}

/** Rows that an index of this size may hold: three quarters. */
function rowsFor(slots: number): number {
  return (slots >>> 2) * 3;
}

function sameWords(rows: Uint32Array, at: number, words: Uint32Array): boolean {
  for (let i = 0; i < FLOW_KEY_WORDS; i++) if (rows[at + i] !== words[i]) return false;
  return true;
}
