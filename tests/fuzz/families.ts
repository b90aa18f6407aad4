/**
 * Scripts of IPv4 as the same over IPv6: whatever does not depend on the family has to come out the same.
 *
 * Addresses become those that stand in the same place (`10.0.2.2` becomes `fd00::2`), numbers that are counted from the
 * frame's beginning grow by what an IPv6 header is longer than one of IPv4, and what a guest says by ARP it says by a
 * neighbour solicitation. What is particular to IPv4 has no twin: those scripts are not in `BOTH_FAMILIES`.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { type CorpusEntry, readCorpus } from "./corpus.ts";

/** Names of the scripts that have a twin, from their beginning. */
export const BOTH_FAMILIES: readonly string[] = [
  "connect_limit",
  "dns",
  "flow_rate",
  "forward",
  "limits",
  "no_host",
  "quota",
  "tcp_",
  "udp",
];

/** Where a script says a transport header is: behind an Ethernet and an IPv4 header. */
const TRANSPORT = 14 + 20;
/** Bytes that an IPv6 header is longer. */
const LONGER = 20;
const PACKETS: ReadonlySet<string> = new Set(["tcp", "udp", "icmp", "ip"]);
const ADDRESSES: readonly [RegExp, string][] = [
  [/^10\.0\.2\.(\d+)$/, "fd00::$1"],
  [/^192\.0\.2\.9$/, "2001:db8:1::9"],
  [/^192\.0\.2\.(\d+)$/, "2001:db8::$1"],
  [/^127\.0\.0\.1$/, "::1"],
  [/^127\.0\.0\.2$/, "2001:db8::2"],
];

/** The scripts that have a twin, over IPv6. */
export function readTwins(): CorpusEntry[] {
  const both = readCorpus().filter(({ name }) => BOTH_FAMILIES.some((beginning) => name.startsWith(beginning)));
  return both.map(({ name, text }) => ({ name: `${name} over IPv6`, text: inIpv6(text) }));
}

/** A script over IPv6. */
export function inIpv6(text: string): string {
  return text.split("\n").map(lineInIpv6).join("\n");
}

function lineInIpv6(line: string): string {
  const [verb = "", ...rest] = line.split(" ");
  if (verb === "arp") return neighbourLine(rest);
  const words = rest.map((word) => {
    const at = word.indexOf("="), name = word.slice(0, Math.max(0, at)), value = word.slice(at + 1);
    switch (name) {
      case "to":
      case "from":
        return `${name}=${endpointInIpv6(value)}`;
      case "src":
      case "dst":
      case "at":
      case "sender":
        return `${name}=${addressInIpv6(value)}`;
      case "set":
      case "patch":
        return `${name}=${patchInIpv6(value)}`;
      case "type":
        return verb === "icmp" ? `type=${Number(value) === 8 ? 128 : 129}` : word;
      default:
        return word;
    }
  });
  const isDefault = PACKETS.has(verb) && !rest.some((word) => /^(to|dst)=/.test(word));
  return [verb, ...words, ...(isDefault ? ["to=[fd00::2]:80"] : [])].join(" ");
}

function addressInIpv6(address: string): string {
  for (const [pattern, twin] of ADDRESSES) if (pattern.test(address)) return address.replace(pattern, twin);
  return address;
}

/** An endpoint, or a port alone. One that has no twin, as the host's resolver, stays as it is. */
function endpointInIpv6(endpoint: string): string {
  const [, address = "", port] = /^([\d.]+):(\d+)$/.exec(endpoint) ?? [], twin = addressInIpv6(address);
  return twin === address ? endpoint : `[${twin}]:${port}`;
}

/** A request is a solicitation for the gateway's address, a reply an advertisement of the sender's. */
function neighbourLine(words: readonly string[]): string {
  const field = (name: string, otherwise: string) =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ?? otherwise;
  const sender = addressInIpv6(field("sender", "10.0.2.15")), isReply = field("op", "1") === "2";
  const target = isReply ? sender : addressInIpv6(field("target", "10.0.2.2"));
  const hex = `${isReply ? "60000000" : "00000000"}${hexadecimal(IpAddress.parse(target))}`;
  return `icmp type=${isReply ? 136 : 135} src=${sender} to=[fd00::2] ttl=255 hex=${hex}`;
}

function hexadecimal({ w0, w1, w2, w3 }: IpAddress): string {
  return [w0, w1, w2, w3].map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** Patches behind the IP header; others have no twin. */
function patchInIpv6(patch: string): string {
  return patch.split(",").map((one) => {
    const [at = "", bytes] = one.split(":");
    if (Number(at) < TRANSPORT) throw new SyntaxError(`Cannot write "${one}" over IPv6: it changes the IPv4 header`);
    return `${Number(at) + LONGER}:${bytes}`;
  }).join(",");
}
