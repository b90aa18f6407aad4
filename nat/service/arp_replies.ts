/**
 * Which ARP requests the gateway answers (RFC 826), and the answer.
 *
 * It also asks, about the guest itself, where a client of the host comes before the guest has spoken (`arpRequest`).
 *
 * Nothing else is on the guest's link, yet the guest believes to be in a subnet full of hosts. So the gateway's own MAC
 * address stands for every address of the subnet: packets to mapped addresses arrive then, and those to addresses that
 * are nothing are refused at once instead of waiting for ARP to give up. If the subnet is a network near the host, the
 * guest may have the host's other routes on its link too: then any host's address is answered for.
 *
 * Not answered is what must stay the guest's: its own addresses, and probes (sender 0.0.0.0) with which it asks whether
 * an address is free (RFC 5227 section 2.1.1). An answer would talk a guest out of its lease. Only addresses that
 * really are taken, those of gateway, DNS, alias and maps, are defended so. Announcements, in which sender and target
 * are the same (RFC 5227 section 2.3), expect no answer, and neither network nor broadcast address belongs to anyone.
 *
 * @module
 */
import {
  ARP_REPLY,
  ARP_REQUEST,
  type ArpMessage,
  arpOperation,
  arpSenderIp,
  arpSenderMac,
  arpTargetIp,
  encodeArp,
} from "../../net/wire/arp.ts";

/** The segment on which requests are answered. Addresses are 32-bit numbers. */
export interface ArpSegment {
  /** MAC address of the gateway, which every answer gives. */
  readonly mac: number;
  /** First address of the subnet. */
  readonly network: number;
  /** Mask of the subnet. */
  readonly mask: number;
  /** Address of the gateway. */
  readonly gateway: number;
  /** Addresses that no guest may have: gateway, DNS, the host's alias, and those that are mapped. */
  readonly taken: AddressSet;
  /** Whether other addresses are hosts near the host, those of the subnet and others. */
  readonly relaysSubnet: boolean;
}

/** A set of addresses. */
export interface AddressSet {
  /** Whether `address` is in it. */
  has(address: number): boolean;
}

const UNKNOWN = 0;
const MASK_OF_TWO = 0xfffffffe;

const REQUEST: ArpMessage = { operation: ARP_REQUEST, senderMac: 0, senderIp: 0, targetMac: 0, targetIp: 0 };
const REPLY: ArpMessage = { operation: ARP_REPLY, senderMac: 0, senderIp: 0, targetMac: 0, targetIp: 0 };

/** Whether a request by `sender` for `target` is answered. `own` has the guest's addresses. */
export function answersArp(segment: ArpSegment, own: AddressSet, sender: number, target: number): boolean {
  if (segment.taken.has(target)) return sender === UNKNOWN || isStation(segment, sender, target);
  if (own.has(target) || !isStation(segment, sender, target)) return false;
  return segment.relaysSubnet && isUnicast(target) || isStation(segment, target, UNKNOWN);
}

/**
 * Answers the message at `start`, which has passed `checkArp`: writes the reply at `into[at]` and returns its length,
 * or returns 0 if there is none. `own` is as for `answersArp`; `into` may be `bytes`. The caller has made room for
 * `ARP_LENGTH` bytes and sends the reply to the MAC address that the request came from.
 */
export function arpReply(
  segment: ArpSegment,
  own: AddressSet,
  bytes: Uint8Array,
  start: number,
  into: Uint8Array,
  at: number,
): number {
  if (arpOperation(bytes, start) !== ARP_REQUEST) return 0;
  const sender = arpSenderIp(bytes, start), target = arpTargetIp(bytes, start);
  if (!answersArp(segment, own, sender, target)) return 0;
  REPLY.senderMac = segment.mac;
  REPLY.senderIp = target;
  REPLY.targetMac = arpSenderMac(bytes, start);
  REPLY.targetIp = sender;
  return encodeArp(into, at, REPLY);
}

/**
 * Writes the gateway's request for the MAC address of `target` at `into[at]` and returns its length. It goes to
 * everyone on the link.
 */
export function arpRequest(segment: ArpSegment, target: number, into: Uint8Array, at: number): number {
  REQUEST.senderMac = segment.mac;
  REQUEST.senderIp = segment.gateway;
  REQUEST.targetIp = target;
  return encodeArp(into, at, REQUEST);
}

/** Whether `address` is one that a host of the subnet can have, and not `other`. */
function isStation({ network, mask }: ArpSegment, address: number, other: number): boolean {
  // A mask may set the sign bit: compare as unsigned.
  if ((address & mask) >>> 0 !== network || address === other) return false;
  // Of two addresses, and of one, each is a host's (RFC 3021).
  return mask >>> 0 >= MASK_OF_TWO || (address !== network && address !== ((network | ~mask) >>> 0));
}

/** Whether `address` is one that a host can have: not this network's, loopback, a group's or reserved. */
function isUnicast(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
