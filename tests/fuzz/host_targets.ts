/**
 * Whom the host of a script may be asked to reach for a guest: written down again, by text and prefixes, so that it
 * shares no line with the program's rules (`nat/rules/policy.ts`).
 *
 * @module
 */
import { assert } from "@std/assert";
import { Cidr, IpAddress } from "../../net/wire/address.ts";
import type { ScriptHost } from "../support/script_host.ts";

/** What no guest reaches, whatever it says: its own network, its link, groups, nobody, and these in disguise. */
const NEVER: readonly Cidr[] = [
  "0.0.0.0/8",
  "10.0.2.0/24",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/128",
  "fd00::/64",
  "fe80::/10",
  "ff00::/8",
  "fd00:ec2::254/128",
  "fd20:ce::254/128",
  "::7f00:0/104",
  "64:ff9b::7f00:0/104",
  "64:ff9b::e000:0/100",
  "64:ff9b::a9fe:0/112",
  "2002:7f00::/24",
  "2002:a00:200::/40",
].map(Cidr.parse);
/** The host's loopback. */
const LOOPBACK: readonly Cidr[] = ["127.0.0.0/8", "::1/128"].map(Cidr.parse);
/** Where the gateway and its resolver lead. */
const OWN: readonly IpAddress[] = ["127.0.0.1", "::1", "127.0.0.53"].map(IpAddress.parse);

/** Looks at everybody whom a host was asked to reach since it was asked before. */
export class HostTargets {
  readonly #host: ScriptHost;
  readonly #seen = new Map<object, number>();
  #sockets = 0;

  /** Of a host that nobody has asked. */
  constructor(host: ScriptHost) {
    this.#host = host;
  }

  /** Throws an `AssertionError` if somebody was asked whom no guest may reach. */
  check(): void {
    const { sockets, udpSockets, pingSockets } = this.#host;
    for (; this.#sockets < sockets.length; this.#sockets++) checkTarget(sockets[this.#sockets]!.target.address);
    for (const socket of udpSockets) for (const { to } of this.#fresh(socket)) checkTarget(to.address);
    for (const socket of pingSockets) for (const { to } of this.#fresh(socket)) checkTarget(to);
  }

  #fresh<T>(socket: { readonly sent: readonly T[] }): readonly T[] {
    const seen = this.#seen.get(socket) ?? 0;
    this.#seen.set(socket, socket.sent.length);
    return seen === socket.sent.length ? [] : socket.sent.slice(seen);
  }
}

function checkTarget(address: IpAddress): void {
  const isFree = !NEVER.some((network) => network.contains(address)) &&
    (!LOOPBACK.some((network) => network.contains(address)) || OWN.some((own) => own.equals(address)));
  assert(isFree, `the host was asked to reach ${address}`);
}
