/**
 * A warning for who denies all of one family and forgets the other.
 *
 * @module
 */
import { Cidr, IpAddress } from "../net/wire/address.ts";
import type { IpFamily } from "../nat/rules/policy.ts";
import type { RuleList } from "../nat/rules/rule_list.ts";
import type { Segments } from "../nat/rules/segment.ts";

const EVERYTHING: Record<IpFamily, Cidr> = { 4: Cidr.parse("0.0.0.0/0"), 6: Cidr.parse("::/0") };

/**
 * What to tell a user whose rules deny all of one family that guests have and leave the other one open, or null:
 * whoever writes 0.0.0.0/0, or its halves, mostly means everything.
 */
export function openFamilyWarning({ rules, isAllowList }: RuleList, segments: Segments): string | null {
  const { ipv4, ipv6 } = segments;
  if (ipv4 === null || ipv6 === null || isAllowList) return null;
  const ranges = rules.flatMap(({ host, ports, protocol }) =>
    host.kind === "network" && ports.length === 0 && protocol === null ? [host.range] : []
  );
  const isClosed = covers(ranges, EVERYTHING[4]);
  if (isClosed === covers(ranges, EVERYTHING[6])) return null;
  const [denied, open] = isClosed ? [4, 6] as const : [6, 4] as const;
  return `--deny of all of IPv${denied} leaves IPv${open} open: ` +
    `add --deny ${EVERYTHING[open]}, or give guests one family alone (-4, -6)`;
}

/** Whether `ranges` hold all of `network` together. */
function covers(ranges: readonly Cidr[], network: Cidr): boolean {
  if (ranges.some((range) => range.prefix <= network.prefix && range.contains(network.address))) return true;
  // One that is smaller holds a part alone, so only where there are two is it worth to look at both halves.
  const inside = ranges.filter((range) => network.contains(range.address));
  return inside.length > 1 && halvesOf(network).every((half) => covers(inside, half));
}

function halvesOf({ address, prefix }: Cidr): Cidr[] {
  const { w0, w1, w2, w3 } = address, bit = address.isIpv4 ? prefix + 96 : prefix;
  const words = [w0, w1, w2, w3].map((
    word,
    i,
  ) => (bit >>> 5 === i ? (word | (0x80000000 >>> (bit & 31))) >>> 0 : word));
  const upper = new IpAddress(words[0]!, words[1]!, words[2]!, words[3]!);
  return [address, upper].map((first) => new Cidr(first, prefix + 1));
}
