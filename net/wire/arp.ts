/**
 * Address resolution between Ethernet and IPv4 (RFC 826): the one combination of hardware and protocol that a virtual
 * link has. Others are refused by the check.
 *
 * @module
 */
import { formatIpv4, formatMac, readMac, writeMac } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";
import { ETHERTYPE_IPV4 } from "./ethernet.ts";

/** Bytes of a message. */
export const ARP_LENGTH = 28;
/** The operation that asks who has an address. */
export const ARP_REQUEST = 1;
/** The operation that answers. */
export const ARP_REPLY = 2;

const HARDWARE_ETHERNET = 1;
/** Hardware address length 6 and protocol address length 4, read as one word. */
const LENGTHS = 0x0604;

const PROTOCOL_TYPE = 2;
const ADDRESS_LENGTHS = 4;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

/** A message, decoded. Addresses are numbers. */
export interface ArpMessage {
  /** `ARP_REQUEST`, `ARP_REPLY` or another number. */
  operation: number;
  /** MAC address of the sender. */
  senderMac: number;
  /** IPv4 address of the sender; 0 in a probe (RFC 5227 section 2.1.1). */
  senderIp: number;
  /** MAC address asked for or answered to; without meaning in a request. */
  targetMac: number;
  /** IPv4 address asked for or answered to. */
  targetIp: number;
}

/** Whether `bytes[start, end)` begins with a message about Ethernet and IPv4. */
export function checkArp(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= ARP_LENGTH && readUint16(bytes, start) === HARDWARE_ETHERNET &&
    readUint16(bytes, start + PROTOCOL_TYPE) === ETHERTYPE_IPV4 &&
    readUint16(bytes, start + ADDRESS_LENGTHS) === LENGTHS;
}

/** The operation of the message at `offset`. */
export function arpOperation(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + OPERATION);
}

/** The sender's MAC address. */
export function arpSenderMac(bytes: Uint8Array, offset: number): number {
  return readMac(bytes, offset + SENDER_MAC);
}

/** The sender's IPv4 address. */
export function arpSenderIp(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + SENDER_IP);
}

/** The target's MAC address. */
export function arpTargetMac(bytes: Uint8Array, offset: number): number {
  return readMac(bytes, offset + TARGET_MAC);
}

/** The target's IPv4 address. */
export function arpTargetIp(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + TARGET_IP);
}

/** Decodes the message at the beginning of `bytes[start, end)`; what follows it is padding. Throws a `DecodeError`. */
export function decodeArp(bytes: Uint8Array, start: number = 0, end: number = bytes.length): ArpMessage {
  if (!checkArp(bytes, start, end)) {
    const actual = end - start;
    const reason = actual < ARP_LENGTH ? "the message is cut off" : "it is not about Ethernet and IPv4";
    throw new DecodeError("arp", { offset: start, needed: ARP_LENGTH, actual, reason });
  }
  return {
    operation: arpOperation(bytes, start),
    senderMac: arpSenderMac(bytes, start),
    senderIp: arpSenderIp(bytes, start),
    targetMac: arpTargetMac(bytes, start),
    targetIp: arpTargetIp(bytes, start),
  };
}

/** Writes a message at `offset` and returns 28. The caller has made room. */
export function encodeArp(bytes: Uint8Array, offset: number, message: ArpMessage): number {
  writeUint16(bytes, offset, HARDWARE_ETHERNET);
  writeUint16(bytes, offset + PROTOCOL_TYPE, ETHERTYPE_IPV4);
  writeUint16(bytes, offset + ADDRESS_LENGTHS, LENGTHS);
  writeUint16(bytes, offset + OPERATION, message.operation);
  writeMac(bytes, offset + SENDER_MAC, message.senderMac);
  writeUint32(bytes, offset + SENDER_IP, message.senderIp);
  writeMac(bytes, offset + TARGET_MAC, message.targetMac);
  writeUint32(bytes, offset + TARGET_IP, message.targetIp);
  return ARP_LENGTH;
}

/** `ARP, Request who-has 10.0.2.2 tell 10.0.2.15`, `ARP, Reply 10.0.2.2 is-at 52:55:0a:00:02:02`. */
export function formatArp(message: ArpMessage): string {
  if (message.operation === ARP_REQUEST) {
    return `ARP, Request who-has ${formatIpv4(message.targetIp)} tell ${formatIpv4(message.senderIp)}`;
  }
  if (message.operation === ARP_REPLY) {
    return `ARP, Reply ${formatIpv4(message.senderIp)} is-at ${formatMac(message.senderMac)}`;
  }
  return `ARP, operation ${message.operation}`;
}
