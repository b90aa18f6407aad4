/**
 * The SOA record in answers that the gateway makes by itself and that have no other records: it says for how long a
 * guest may keep that there is nothing (RFC 2308 section 3).
 *
 * @module
 */
import { writeUint32 } from "../../net/wire/bytes.ts";
import { DNS_CLASS_IN, DNS_NAME_MAX, DNS_TYPE_SOA, type DnsRecordFields, encodeDnsName } from "../../net/wire/dns.ts";

/** RNAME: nobody reads mail about it. */
const MAILBOX = "nobody.invalid";

/** The SOA record of the zone whose name stands at offset `zone` of the message; it is good for `ttl` seconds. */
export function madeSoa(zone: number, ttl: number): DnsRecordFields {
  const data = new Uint8Array(DNS_NAME_MAX);
  // MNAME: the zone itself.
  data.set([0xc0 | (zone >>> 8), zone & 0xff]);
  let end = 2 + encodeDnsName(data, 2, MAILBOX);
  // Serial, refresh, retry, expire, minimum (as RFC 6303 section 3 has it).
  for (const number of [1, 3600, 1200, 604_800, ttl]) {
    writeUint32(data, end, number);
    end += 4;
  }
  return { name: zone, type: DNS_TYPE_SOA, class: DNS_CLASS_IN, ttl, data: data.subarray(0, end) };
}
