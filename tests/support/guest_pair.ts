/**
 * Two guests on one link: each is the other's gateway.
 *
 * @module
 */
import { GuestStack, type GuestStackOptions } from "../../guest/mod.ts";
import type { Link } from "../../net/link/link.ts";
import { type MemoryLinkOptions, memoryLinkPair } from "../../net/link/memory.ts";
import type { TestFamily } from "./families.ts";

/** Port 80 of the server, over one family. */
export function targetOver({ gateway }: TestFamily): { hostname: string; port: number } {
  return { hostname: gateway, port: 80 };
}

/** A client at 10.0.2.15 and fd00::15, and a server at 10.0.2.2 and fd00::2. */
export interface GuestPair extends AsyncDisposable {
  readonly client: GuestStack;
  readonly server: GuestStack;
  /** The server's end of the link. */
  readonly link: Link;
}

/** What a pair is made with. */
export interface GuestPairOptions extends MemoryLinkOptions {
  /** The client's. */
  readonly client?: GuestStackOptions;
  /** What the client's end of the link is put into. */
  readonly around?: (link: Link) => Link;
}

/** A pair. */
export function guestPair(options: GuestPairOptions = {}): GuestPair {
  const [left, right] = memoryLinkPair(options), around = options.around ?? ((link) => link);
  const client = new GuestStack(around(left), { mac: 0x525400000001, ...options.client });
  const server = new GuestStack(right, {
    address: "10.0.2.2",
    gateway: "10.0.2.15",
    address6: "fd00::2",
    gateway6: "fd00::15",
    mac: 0x525400000002,
  });
  return {
    client,
    server,
    link: right,
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await server.close();
    },
  };
}
