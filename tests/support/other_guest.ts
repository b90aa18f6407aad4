/**
 * One more guest of a gateway under test, on a link of its own: what it is asked by ARP and which SYNs it gets.
 *
 * @module
 */
import type { Guest } from "../../nat/guest.ts";
import { formatEndpoint, formatIpv4, IpAddress, MAC_BROADCAST, parseIpv4 } from "../../net/wire/address.ts";
import { ARP_REPLY, ARP_REQUEST, decodeArp } from "../../net/wire/arp.ts";
import { ethernetType, ETHERTYPE_ARP } from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { decodeTcp, TCP_SYN } from "../../net/wire/tcp.ts";
import { udpDestinationPort } from "../../net/wire/udp.ts";
import type { Nat } from "../../nat/nat.ts";
import { arpFrame } from "./frames.ts";
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

  /** It speaks from `address`, by a request for the gateway's, then a turn. */
  speak(address: string): void {
    this.#arp(ARP_REQUEST, address);
  }

  /** It answers an ARP request for `address`, then a turn. */
  answer(address: string): void {
    this.#arp(ARP_REPLY, address);
  }

  /** Its link ends, then a turn. */
  leave(): void {
    this.#script.nat.detach(this.guest);
    this.#script.host.wake();
    this.#script.host.run();
  }

  /** The addresses that it was asked for by ARP since the last call. */
  takeAsked(): string[] {
    return this.#asked.splice(0);
  }

  /** The addresses and ports to which SYNs and datagrams came since the last call. */
  takeGot(): string[] {
    return this.#got.splice(0);
  }

  #arp(operation: number, address: string): void {
    const { nat, host } = this.#script, toMac = operation === ARP_REQUEST ? MAC_BROADCAST : nat.mac;
    const arp = { operation, senderIp: parseIpv4(address), targetIp: nat.gateway };
    const bytes = arpFrame(arp, { fromMac: this.#mac, toMac });
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
    const protocol = bytes[23], to = IpAddress.fromIpv4(new DataView(bytes.buffer).getUint32(30));
    if (protocol === PROTOCOL_UDP) this.#got.push(formatEndpoint(to, udpDestinationPort(bytes, 34)));
    if (protocol !== PROTOCOL_TCP) return true;
    const { flags, destinationPort } = decodeTcp(bytes, 34, bytes.length);
    if (flags === TCP_SYN) this.#got.push(formatEndpoint(to, destinationPort));
    return true;
  }
}
