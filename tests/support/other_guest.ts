/**
 * One more guest of a gateway under test, on a link of its own: what it is asked by ARP or
 * neighbour discovery, and which SYNs it gets.
 *
 * @module
 */
import type { Guest } from "../../nat/guest.ts";
import { formatEndpoint, formatIpv4, IpAddress, MAC_BROADCAST } from "../../net/wire/address.ts";
import { ARP_REPLY, ARP_REQUEST, decodeArp } from "../../net/wire/arp.ts";
import { ethernetType, ETHERTYPE_ARP, ETHERTYPE_IPV4 } from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import { icmpv6Type } from "../../net/wire/icmpv6.ts";
import { decodeIpv6, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import {
  NDP_HOP_LIMIT,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_SOLICITATION,
  ndpTarget,
} from "../../net/wire/ndp.ts";
import { ipv4Destination, PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { decodeTcp, TCP_SYN } from "../../net/wire/tcp.ts";
import { udpDestinationPort } from "../../net/wire/udp.ts";
import type { Nat } from "../../nat/nat.ts";
import { arpFrame, GATEWAY_IP6, icmpFrame } from "./frames.ts";
import type { ScriptHost } from "./script_host.ts";

/** The gateway under test. */
interface Script {
  readonly nat: Nat;
  readonly host: ScriptHost;
}

/** A guest that is attached to a script's gateway. */
export class OtherGuest {
  readonly guest: Guest;
  readonly #script: Script;
  readonly #mac: number;
  #asked: string[] = [];
  #got: string[] = [];

  /** On a link of its own. */
  constructor(script: Script) {
    this.#script = script;
    const send = (frame: Frame) => this.#take(frame);
    this.guest = script.nat.attach({ name: "other", mtu: 1500, offload: false, send, flush() {} });
    this.#mac = 0x525400aa0000 + this.guest.number;
  }

  /** It speaks from `address`, by a request or a solicitation for the gateway's, then a turn. */
  speak(address: string): void {
    const from = IpAddress.parse(address);
    if (from.isIpv4) this.#arp(ARP_REQUEST, from.ipv4);
    else this.#neighbour(NDP_NEIGHBOUR_SOLICITATION, from, GATEWAY_IP6);
  }

  /** It answers an ARP request or a solicitation for `address`, then a turn. */
  answer(address: string): void {
    const from = IpAddress.parse(address);
    if (from.isIpv4) this.#arp(ARP_REPLY, from.ipv4);
    else this.#neighbour(NDP_NEIGHBOUR_ADVERTISEMENT, from, from);
  }

  /** Its link ends, then a turn. */
  leave(): void {
    this.#script.nat.detach(this.guest);
    this.#script.host.wake();
    this.#script.host.run();
  }

  /** The addresses that it was asked for since the last call. */
  takeAsked(): string[] {
    return this.#asked.splice(0);
  }

  /** The addresses and ports to which SYNs and datagrams came since the last call. */
  takeGot(): string[] {
    return this.#got.splice(0);
  }

  #arp(operation: number, senderIp: number): void {
    const { nat } = this.#script, toMac = operation === ARP_REQUEST ? MAC_BROADCAST : nat.mac;
    this.#send(arpFrame({ operation, senderIp, targetIp: nat.gateway }, { fromMac: this.#mac, toMac }));
  }

  #neighbour(type: number, source: IpAddress, target: IpAddress): void {
    const rest = new Uint8Array(20);
    target.writeTo(rest, 4);
    this.#send(icmpFrame(type, 0, rest, { fromMac: this.#mac, source, destination: GATEWAY_IP6, ttl: NDP_HOP_LIMIT }));
  }

  #send(bytes: Uint8Array): void {
    const { host } = this.#script;
    this.guest.receive(new Frame().set(bytes, 0, bytes.length));
    host.wake();
    host.run();
  }

  #take(frame: Frame): boolean {
    const bytes = frame.bytes.slice(frame.start, frame.end);
    if (ethernetType(bytes, 0) === ETHERTYPE_ARP) {
      const { operation, targetIp } = decodeArp(bytes, 14, bytes.length);
      if (operation === ARP_REQUEST) this.#asked.push(formatIpv4(targetIp));
      return true;
    }
    const isIpv4 = ethernetType(bytes, 0) === ETHERTYPE_IPV4,
      { nextHeader: protocol, destination: to, at } = isIpv4
        ? { nextHeader: bytes[23]!, destination: IpAddress.fromIpv4(ipv4Destination(bytes, 14)), at: 34 }
        : { ...decodeIpv6(bytes, 14), at: 54 };
    if (protocol === PROTOCOL_ICMPV6 && icmpv6Type(bytes, at) === NDP_NEIGHBOUR_SOLICITATION) {
      this.#asked.push(`${ndpTarget(bytes, at)}`);
    }
    if (protocol === PROTOCOL_UDP) this.#got.push(formatEndpoint(to, udpDestinationPort(bytes, at)));
    if (protocol !== PROTOCOL_TCP) return true;
    const { flags, destinationPort } = decodeTcp(bytes, at, bytes.length);
    if (flags === TCP_SYN) this.#got.push(formatEndpoint(to, destinationPort));
    return true;
  }
}
