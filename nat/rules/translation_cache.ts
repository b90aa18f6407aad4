/**
 * Where the destinations of datagrams lead, remembered.
 *
 * A TCP flow is translated once, at its SYN; datagrams come without one, and each may go elsewhere. So that one costs neither a look
 * through all rules nor an object, the last answers are kept, refusals too, in a table with one place for each hash of address and port.
 * Another destination with the same hash takes the place over, so a guest that talks to thousands pays for the rules each time and makes nothing grow.
 *
 * Answers hold for one set of rules. Where a gateway's rules were replaced (`withDnsServers`) all are forgotten.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { translate, type Translation, type TranslationRules } from "./translate.ts";

const PLACE_BITS = 8;

/** Answers of `translate` for UDP over IPv4. */
export class TranslationCache {
  #rules: TranslationRules;
  #addresses = new Uint32Array(1 << PLACE_BITS);
  #ports = new Uint16Array(1 << PLACE_BITS);
  #answers: (Translation | undefined)[] = new Array(1 << PLACE_BITS);

  /** Nothing is known yet under these rules. */
  constructor(rules: TranslationRules) {
    this.#rules = rules;
  }

  /** Where a datagram to this address, as a number, and port leads under `rules`. */
  find(rules: TranslationRules, address: number, port: number): Translation {
    if (rules !== this.#rules) {
      this.#rules = rules;
      this.#answers.fill(undefined);
    }
    const place = placeOf(address, port), known = this.#answers[place];
    if (known !== undefined && this.#addresses[place] === address && this.#ports[place] === port) return known;
    const answer = translate(rules, { family: 4, protocol: PROTOCOL_UDP, address: IpAddress.fromIpv4(address), port });
    this.#addresses[place] = address;
    this.#ports[place] = port;
    this.#answers[place] = answer;
    return answer;
  }
}

function placeOf(address: number, port: number): number {
  return (Math.imul(address, 0x9e3779b1) ^ Math.imul(port, 0x85ebca77)) >>> (32 - PLACE_BITS);
}
