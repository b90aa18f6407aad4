/**
 * A list of domains as DHCP carries it (RFC 3397): names in the form of DNS messages, one behind the other, in which an
 * end that stands there already is a pointer to it (RFC 1035 section 4.1.4).
 *
 * @module
 */

const POINTER = 0xc000;

/** The domains as bytes. Each consists of labels of 1 to 63 ASCII characters, joined by dots. */
export function encodeDomainSearch(domains: readonly string[]): Uint8Array {
  const out: number[] = [], places = new Map<string, number>();
  for (const domain of domains) {
    const labels = domain.toLowerCase().split(".");
    let i = 0;
    for (; i < labels.length; i++) {
      const end = labels.slice(i).join("."), place = places.get(end);
      if (place !== undefined) {
        out.push((POINTER | place) >>> 8, place & 0xff);
        break;
      }
      places.set(end, out.length);
      out.push(labels[i]!.length, ...new TextEncoder().encode(labels[i]!));
    }
    if (i === labels.length) out.push(0);
  }
  return Uint8Array.from(out);
}
