/**
 * Which of many was used longest ago: a doubly linked list through the items themselves, so that a use, an end and the
 * answer take constant time and no memory.
 *
 * @module
 */

/** What can be in a list: in one at a time. The list alone writes the links. */
export interface Recent<T> {
  /** The next that was used later. */
  newer: T | null;
  /** The next that was used earlier. */
  older: T | null;
}

/** Items in the order of their last use. */
export class RecencyList<T extends Recent<T>> {
  #newest: T | null = null;
  #oldest: T | null = null;
  #size = 0;

  /** Count of items. */
  get size(): number {
    return this.#size;
  }

  /** The item that was used longest ago. */
  get oldest(): T | null {
    return this.#oldest;
  }

  /** Adds an item, as used now. */
  add(item: T): void {
    item.newer = null;
    item.older = this.#newest;
    if (this.#newest === null) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
    this.#size++;
  }

  /** An item of the list is used. */
  use(item: T): void {
    if (item === this.#newest) return;
    this.remove(item);
    this.add(item);
  }

  /** Removes an item of the list. */
  remove(item: T): void {
    const { newer, older } = item;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    item.newer = item.older = null;
    this.#size--;
  }
}
