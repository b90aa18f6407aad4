/**
 * Rules about networks: the longest prefix that holds an address and has a rule for a protocol and port.
 *
 * Networks of one family lie within each other or share nothing. Sorted by their first address, the larger before the
 * smaller, each knows the smallest one around it. The last network that begins at an address or before it either holds
 * the address, or one of those around it does: a binary search, and then as many steps as networks are nested.
 *
 * @module
 */
import type { Cidr, IpAddress } from "../../net/wire/address.ts";
import { PortTable } from "./port_table.ts";
import type { Rule } from "./rule.ts";

/** Words of an address. */
const WORDS = 4;

/** Networks of both families. */
export class NetworkIndex {
  #ipv4: NetworkTree;
  #ipv6: NetworkTree;

  /** Of rules about networks, of which the earlier counts if two are about the same one. */
  constructor(rules: readonly Rule[]) {
    const networks = new Map<string, { range: Cidr; rules: Rule[] }>();
    for (const rule of rules) {
      if (rule.host.kind !== "network") continue;
      const { range } = rule.host, key = `${range}`, known = networks.get(key);
      if (known === undefined) networks.set(key, { range, rules: [rule] });
      else known.rules.push(rule);
    }
    const all = [...networks.values()];
    this.#ipv4 = new NetworkTree(all.filter(({ range }) => range.address.isIpv4));
    this.#ipv6 = new NetworkTree(all.filter(({ range }) => !range.address.isIpv4));
  }

  /** The rule of the longest prefix that holds `address` and has one for `place`, or null. */
  find(place: number, address: IpAddress): Rule | null {
    return address.isIpv4 ? this.#ipv4.find(place, address) : this.#ipv6.find(place, address);
  }

  /** Whether any network holds `address`. */
  holds(address: IpAddress): boolean {
    return (address.isIpv4 ? this.#ipv4 : this.#ipv6).holder(address) >= 0;
  }
}

/** Networks of one family. */
class NetworkTree {
  #ranges: readonly Cidr[];
  /** The words of their first addresses, `WORDS` each. */
  #words: Uint32Array;
  #tables: readonly PortTable[];
  /** The smallest network around each, -1 if there is none. */
  #around: Int32Array;

  constructor(networks: { range: Cidr; rules: readonly Rule[] }[]) {
    networks.sort((a, b) => compare(a.range.address, b.range.address) || a.range.prefix - b.range.prefix);
    this.#ranges = networks.map(({ range }) => range);
    this.#words = new Uint32Array(networks.flatMap(({ range: { address: { w0, w1, w2, w3 } } }) => [w0, w1, w2, w3]));
    this.#tables = networks.map(({ rules }) => new PortTable(rules));
    this.#around = new Int32Array(networks.length);
    for (const [i, { address }] of this.#ranges.entries()) {
      let around = i - 1;
      while (around >= 0 && !this.#ranges[around]!.contains(address)) around = this.#around[around]!;
      this.#around[i] = around;
    }
  }

  find(place: number, address: IpAddress): Rule | null {
    for (let i = this.holder(address); i >= 0; i = this.#around[i]!) {
      const rule = this.#tables[i]!.find(place);
      if (rule !== null) return rule;
    }
    return null;
  }

  /** The smallest network that holds `address`, -1 if none does. */
  holder(address: IpAddress): number {
    let low = 0, high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (this.#isAbove(middle * WORDS, address)) high = middle - 1;
      else low = middle + 1;
    }
    while (high >= 0 && !this.#ranges[high]!.contains(address)) high = this.#around[high]!;
    return high;
  }

  /** Whether the address whose words are at `at` is greater than this one. */
  #isAbove(at: number, { w0, w1, w2, w3 }: IpAddress): boolean {
    const words = this.#words;
    if (words[at] !== w0) return words[at]! > w0;
    if (words[at + 1] !== w1) return words[at + 1]! > w1;
    if (words[at + 2] !== w2) return words[at + 2]! > w2;
    return words[at + 3]! > w3;
  }
}

function compare(a: IpAddress, b: IpAddress): number {
  return a.w0 - b.w0 || a.w1 - b.w1 || a.w2 - b.w2 || a.w3 - b.w3;
}
