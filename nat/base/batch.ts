/**
 * A list that is filled and emptied again and again, and keeps its room.
 *
 * `length = 0` of an array frees what it had, so that the next `push` allocates anew. Once a turn that is as much as an
 * object a packet.
 *
 * @module
 */

/** Items of one turn, in order. */
export class Batch<T extends NonNullable<unknown>> {
  #items: (T | undefined)[] = [];
  #length = 0;

  /** Count of items. */
  get length(): number {
    return this.#length;
  }

  /** Adds an item. */
  push(item: T): void {
    this.#items[this.#length++] = item;
  }

  /** The item at an index below `length`. */
  at(index: number): T {
    return this.#items[index]!;
  }

  /** Whether `item` is among them. */
  includes(item: T): boolean {
    for (let i = 0; i < this.#length; i++) if (this.#items[i] === item) return true;
    return false;
  }

  /** Removes all items; none is held any longer. */
  clear(): void {
    for (let i = 0; i < this.#length; i++) this.#items[i] = undefined;
    this.#length = 0;
  }
}
