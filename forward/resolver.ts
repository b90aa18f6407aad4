/**
 * The host's resolver, for the gateway's DNS address.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";

/** Where resolvers are named on Unix (resolv.conf(5)). */
export const RESOLV_CONF = "/etc/resolv.conf";

/** The first resolver named in the text of a resolv.conf whose address can be used, or null. Zones of link-local addresses cannot. */
export function firstResolver(text: string): IpAddress | null {
  for (const line of text.split("\n")) {
    const [keyword, value] = line.trim().split(/\s+/);
    if (keyword !== "nameserver" || value === undefined) continue;
    try {
      return IpAddress.parse(value);
    } catch {
      continue;
    }
  }
  return null;
}

/** The host's first resolver, or null where the host names none or may not be asked. */
export function hostResolver(path: string = RESOLV_CONF): IpAddress | null {
  try {
    return firstResolver(Deno.readTextFileSync(path));
  } catch {
    return null;
  }
}
