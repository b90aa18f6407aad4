/**
 * Where the destinations of datagrams lead, remembered.
 *
 * A TCP flow is translated once, at its SYN; datagrams come without one, and each may go elsewhere. So that one costs
 * neither a look through all rules nor an object, the last answers are kept, refusals too, in a table with one place
 * for each hash of address and port. Another destination with the same hash takes the place over, so a guest that talks
 * to thousands pays for the rules each time and makes nothing grow.
 *
 * Answers hold for one set of rules. Where a gateway's rules were replaced (`withDnsServers`), or the host's
 * addresses have changed and matter, all are forgotten.
 *
 * @module
 */
import type { FlowKey } from "../flow/flow_key.ts";
import { destinationOf, translate, type Translation, type TranslationRules } from "./translate.ts";

const PLACE_BITS = 8;
/** Words of a place: the remote address, then protocol, family and port. */
const WORDS = 5;

/** Answers of `translate` for UDP. */
export class TranslationCache {
  #rules: TranslationRules;
  #hostVersion = 0;
  #words = new Uint32Array(WORDS << PLACE_BITS);
  #answers: (Translation | undefined)[] = new Array(1 << PLACE_BITS);

  /** Nothing is known yet under these rules. */
  constructor(rules: TranslationRules) {
    this.#rules = rules;
  }

  /** Where a datagram with this key leads under `rules`, while the host's addresses are those of `hostVersion`. */
  find(rules: TranslationRules, key: FlowKey, hostVersion: number = 0): Translation {
    if (rules !== this.#rules || hostVersion !== this.#hostVersion) {
      this.#rules = rules;
      this.#hostVersion = hostVersion;
      this.#answers.fill(undefined);
    }
    const last = ((key.protocol << 24) | (key.family << 16) | key.remotePort) >>> 0, place = placeOf(key.words, last);
    const known = this.#answers[place];
    if (known !== undefined && this.#isFor(place, key.words, last)) return known;
    const answer = translate(rules, destinationOf(key));
    for (let i = 0; i < 4; i++) this.#words[place * WORDS + i] = key.words[6 + i]!;
    this.#words[place * WORDS + 4] = last;
    this.#answers[place] = answer;
    return answer;
  }

  #isFor(place: number, words: Uint32Array, last: number): boolean {
    const at = place * WORDS;
    for (let i = 0; i < 4; i++) if (this.#words[at + i] !== words[6 + i]) return false;
    return this.#words[at + 4] === last;
  }
}

function placeOf(words: Uint32Array, last: number): number {
  const address = words[9]! ^ Math.imul(words[8]! ^ Math.imul(words[7]! ^ words[6]!, 0x27d4eb2f), 0x165667b1);
  return (Math.imul(address, 0x9e3779b1) ^ Math.imul(last, 0x85ebca77)) >>> (32 - PLACE_BITS);
}
