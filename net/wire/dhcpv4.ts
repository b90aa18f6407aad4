/**
 * DHCP messages for IPv4 (RFC 2131) and their options (RFC 2132).
 *
 * A message is 240 fixed bytes, the magic cookie included, and options that must close with an end option; what follows
 * that is padding. Where the option overload (52) says so, the options go on in the boot file field, then in the server
 * name field (RFC 2131 section 4.1). An option that occurs again continues the earlier one (RFC 3396); so are options
 * of more than 255 bytes written.
 *
 * Both doors read the whole message, so a message that `checkDhcpv4` accepts is one that `decodeDhcpv4` decodes:
 * Ethernet as hardware, a message type, every option within its field, every known option of a length that its kind can
 * have. Options that are not known are kept as bytes. DHCP is rare enough that neither door saves on allocation.
 *
 * **BOOTP** (RFC 951, RFC 1534) is the same message without a message type: the fixed fields, and behind them nothing,
 * zeros, or the cookie and options. `decodeBootp` is the door for it; its `messageType` is `BOOTP`.
 *
 * @module
 */
import { formatIpv4, formatMac, readMac, writeMac } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";

/** The port of servers and relays. */
export const DHCP_SERVER_PORT = 67;
/** The port of clients. */
export const DHCP_CLIENT_PORT = 68;

/** The `operation` of a client's message. */
export const DHCP_BOOT_REQUEST = 1;
/** The `operation` of a server's message. */
export const DHCP_BOOT_REPLY = 2;

/** No message type: the message is BOOTP's. */
export const BOOTP: number = -1;
/** Message type: a client looks for servers. */
export const DHCP_DISCOVER = 1;
/** Message type: a server offers an address. */
export const DHCP_OFFER = 2;
/** Message type: a client accepts an offer, confirms or renews an address. */
export const DHCP_REQUEST = 3;
/** Message type: a client refuses an address that is in use. */
export const DHCP_DECLINE = 4;
/** Message type: a server commits an address. */
export const DHCP_ACK = 5;
/** Message type: a server refuses. */
export const DHCP_NAK = 6;
/** Message type: a client gives its address back. */
export const DHCP_RELEASE = 7;
/** Message type: a client that has an address asks for the rest. */
export const DHCP_INFORM = 8;

/** Bytes of the fixed fields and the magic cookie. */
export const DHCPV4_FIXED_LENGTH = 240;
/** Bytes to which messages are padded, the least a BOOTP relay must pass (RFC 1542 section 2.1). */
export const DHCPV4_MINIMUM_LENGTH = 300;

const HARDWARE_ETHERNET_LENGTH_6 = 0x0106;
const MAGIC_COOKIE = 0x63825363;
const FLAG_BROADCAST = 0x8000;

const HARDWARE = 1;
const TRANSACTION_ID = 4;
const SECONDS = 8;
const FLAGS = 10;
const CLIENT_ADDRESS = 12;
const YOUR_ADDRESS = 16;
const NEXT_SERVER = 20;
const RELAY_ADDRESS = 24;
const CLIENT_MAC = 28;
const SERVER_NAME = 44;
const BOOT_FILE = 108;
const COOKIE = 236;

const OPTION_PAD = 0;
const OPTION_SUBNET_MASK = 1;
const OPTION_ROUTERS = 3;
const OPTION_DNS_SERVERS = 6;
const OPTION_HOST_NAME = 12;
const OPTION_DOMAIN_NAME = 15;
const OPTION_MTU = 26;
const OPTION_REQUESTED_ADDRESS = 50;
const OPTION_LEASE_SECONDS = 51;
const OPTION_OVERLOAD = 52;
const OPTION_MESSAGE_TYPE = 53;
const OPTION_SERVER_ID = 54;
const OPTION_PARAMETER_LIST = 55;
const OPTION_MESSAGE = 56;
const OPTION_RENEWAL_SECONDS = 58;
const OPTION_REBINDING_SECONDS = 59;
const OPTION_CLIENT_ID = 61;
const OPTION_END = 255;

const OVERLOAD_FILE = 1;
const OVERLOAD_NAME = 2;

/** A message's fields. Addresses are 32-bit numbers, 0 where unset; an absent option is an absent property. */
export interface DhcpFields {
  /** `DHCP_BOOT_REQUEST` or `DHCP_BOOT_REPLY`. */
  operation: number;
  /** Number that pairs answers with questions. */
  transactionId: number;
  /** Hardware address of the client. */
  clientMac: number;
  /** `DHCP_DISCOVER` and so on (option 53), or `BOOTP`. */
  messageType: number;
  /** Seconds since the client began; default 0. */
  seconds?: number;
  /** Whether the client cannot take unicast yet (RFC 2131 section 4.1); default false. */
  broadcast?: boolean;
  /** The client's address where it has one, `ciaddr`; default 0. */
  clientAddress?: number;
  /** The address given, `yiaddr`; default 0. */
  yourAddress?: number;
  /** The server of the next boot step, `siaddr`; default 0. */
  nextServer?: number;
  /** The relay, `giaddr`; default 0. */
  relayAddress?: number;
  /** Boot server's name, `sname`, at most 63 bytes; default empty. */
  serverName?: string;
  /** Boot file's name, `file`, at most 127 bytes; default empty. */
  bootFile?: string;
  /** The server meant or speaking (option 54). */
  serverId?: number;
  /** The address that the client would have (option 50). */
  requestedAddress?: number;
  /** How long the address may be used, in seconds; 0xffffffff: for ever (option 51). */
  leaseSeconds?: number;
  /** When to renew, T1, in seconds (option 58). */
  renewalSeconds?: number;
  /** When to rebind, T2, in seconds (option 59). */
  rebindingSeconds?: number;
  /** Subnet mask (option 1). */
  subnetMask?: number;
  /** Routers, best first (option 3). */
  routers?: number[];
  /** DNS servers, best first (option 6). */
  dnsServers?: number[];
  /** Domain for names without dots (option 15). */
  domainName?: string;
  /** Name of the client (option 12). */
  hostName?: string;
  /** MTU of the interface (option 26). */
  mtu?: number;
  /** Numbers of the options that the client asks for (option 55). */
  parameterList?: number[];
  /** The client's own key for its lease, type byte included (option 61). */
  clientId?: Uint8Array;
  /** Why a server refuses, or a client declines (option 56). */
  message?: string;
  /** Options that have no property of their own, in order of first occurrence. */
  otherOptions?: DhcpOption[];
}

/** A message, decoded: the fixed fields are all there. */
export type DhcpMessage = DhcpFields & Required<Pick<DhcpFields, DhcpFixedField>>;

/** The fields that every message has, whether set or not. */
export type DhcpFixedField =
  | "seconds"
  | "broadcast"
  | "clientAddress"
  | "yourAddress"
  | "nextServer"
  | "relayAddress"
  | "serverName"
  | "bootFile"
  | "otherOptions";

/** An option as bytes. */
export interface DhcpOption {
  /** Its number, 1 to 254. */
  code: number;
  /** Its value. */
  data: Uint8Array;
}

/** Whether `bytes[start, end)` is a message that `decodeDhcpv4` decodes. */
export function checkDhcpv4(bytes: Uint8Array, start: number, end: number): boolean {
  return !isFlaw(parse(bytes, start, end));
}

/** `DHCP_BOOT_REQUEST` or `DHCP_BOOT_REPLY`. */
export function dhcpv4Operation(bytes: Uint8Array, offset: number): number {
  return bytes[offset]!;
}

/** Number that pairs answers with questions. */
export function dhcpv4TransactionId(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + TRANSACTION_ID);
}

/** Hardware address of the client. */
export function dhcpv4ClientMac(bytes: Uint8Array, offset: number): number {
  return readMac(bytes, offset + CLIENT_MAC);
}

/** Decodes the message in `bytes[start, end)`. What it returns holds copies. Throws a `DecodeError`. */
export function decodeDhcpv4(bytes: Uint8Array, start: number = 0, end: number = bytes.length): DhcpMessage {
  return unlessFlawed(parse(bytes, start, end), start, end);
}

/** Whether `bytes[start, end)` is a message of BOOTP's that `decodeBootp` decodes. */
export function checkBootp(bytes: Uint8Array, start: number, end: number): boolean {
  return !isFlaw(parseBootp(bytes, start, end));
}

/** Decodes the message of BOOTP's in `bytes[start, end)`. What it returns holds copies. Throws a `DecodeError`. */
export function decodeBootp(bytes: Uint8Array, start: number = 0, end: number = bytes.length): DhcpMessage {
  return unlessFlawed(parseBootp(bytes, start, end), start, end);
}

/** Bytes of a message as `encodeDhcpv4` writes it. */
export function dhcpv4LengthOf(message: DhcpFields): number {
  return Math.max(DHCPV4_FIXED_LENGTH + encodeOptions(message).length, DHCPV4_MINIMUM_LENGTH);
}

/**
 * Writes a message at `offset` and returns its length, at least 300: padded with zeros.
 *
 * Throws a `RangeError` where the array ends first, or a name is longer than its field.
 */
export function encodeDhcpv4(bytes: Uint8Array, offset: number, message: DhcpFields): number {
  const options = encodeOptions(message);
  const length = Math.max(DHCPV4_FIXED_LENGTH + options.length, DHCPV4_MINIMUM_LENGTH);
  if (offset + length > bytes.length) {
    throw new RangeError(`Cannot encode DHCP message: ${length} bytes do not fit in ${bytes.length - offset}`);
  }
  bytes.fill(0, offset, offset + length);
  bytes[offset] = message.operation;
  writeUint16(bytes, offset + HARDWARE, HARDWARE_ETHERNET_LENGTH_6);
  writeUint32(bytes, offset + TRANSACTION_ID, message.transactionId);
  writeUint16(bytes, offset + SECONDS, message.seconds ?? 0);
  writeUint16(bytes, offset + FLAGS, message.broadcast ? FLAG_BROADCAST : 0);
  writeUint32(bytes, offset + CLIENT_ADDRESS, message.clientAddress ?? 0);
  writeUint32(bytes, offset + YOUR_ADDRESS, message.yourAddress ?? 0);
  writeUint32(bytes, offset + NEXT_SERVER, message.nextServer ?? 0);
  writeUint32(bytes, offset + RELAY_ADDRESS, message.relayAddress ?? 0);
  writeMac(bytes, offset + CLIENT_MAC, message.clientMac);
  writeName(bytes.subarray(offset + SERVER_NAME, offset + BOOT_FILE), message.serverName ?? "");
  writeName(bytes.subarray(offset + BOOT_FILE, offset + COOKIE), message.bootFile ?? "");
  writeUint32(bytes, offset + COOKIE, MAGIC_COOKIE);
  bytes.set(options, offset + DHCPV4_FIXED_LENGTH);
  return length;
}

/** `DHCP Discover, xid 0x3903f326, client 52:54:00:12:34:56, your 10.0.2.15`. */
export function formatDhcpv4(message: DhcpMessage): string {
  const names = ["", "Discover", "Offer", "Request", "Decline", "ACK", "NACK", "Release", "Inform"];
  const parts = [
    message.messageType === BOOTP
      ? `BOOTP ${message.operation === DHCP_BOOT_REQUEST ? "Request" : "Reply"}`
      : `DHCP ${names[message.messageType] || `type ${message.messageType}`}`,
    `xid 0x${message.transactionId.toString(16).padStart(8, "0")}`,
    `client ${formatMac(message.clientMac)}`,
  ];
  if (message.hostName !== undefined) parts.push(`hostname ${JSON.stringify(message.hostName)}`);
  if (message.clientAddress !== 0) parts.push(`address ${formatIpv4(message.clientAddress)}`);
  if (message.requestedAddress !== undefined) parts.push(`requested ${formatIpv4(message.requestedAddress)}`);
  if (message.yourAddress !== 0) parts.push(`your ${formatIpv4(message.yourAddress)}`);
  if (message.serverId !== undefined) parts.push(`server ${formatIpv4(message.serverId)}`);
  if (message.leaseSeconds !== undefined) parts.push(`lease ${message.leaseSeconds} s`);
  if (message.message !== undefined) parts.push(JSON.stringify(message.message));
  return parts.join(", ");
}

/** Why there is no message. */
interface Flaw {
  reason: string;
  /** Bytes that the message would need. */
  needed: number;
}

function flaw(reason: string, needed: number = DHCPV4_FIXED_LENGTH): Flaw {
  return { reason, needed };
}

function isFlaw(parsed: DhcpMessage | Flaw): parsed is Flaw {
  return "reason" in parsed;
}

function unlessFlawed(parsed: DhcpMessage | Flaw, start: number, end: number): DhcpMessage {
  if (!isFlaw(parsed)) return parsed;
  const { reason, needed } = parsed;
  throw new DecodeError("dhcpv4", { offset: start, needed, actual: end - start, reason });
}

/** The message, or why there is none. */
function parse(bytes: Uint8Array, start: number, end: number): DhcpMessage | Flaw {
  if (end - start < DHCPV4_FIXED_LENGTH) return flaw("the fixed fields are cut off");
  const fixed = fixedFlaw(bytes, start);
  if (fixed !== undefined) return fixed;
  if (readUint32(bytes, start + COOKIE) !== MAGIC_COOKIE) return flaw("the magic cookie is missing");
  const message = parseOptions(bytes, start, end);
  return !isFlaw(message) && message.messageType === BOOTP ? flaw("the message type is missing") : message;
}

/** The same of BOOTP. */
function parseBootp(bytes: Uint8Array, start: number, end: number): DhcpMessage | Flaw {
  if (end - start < COOKIE) return flaw("the fixed fields are cut off", COOKIE);
  const fixed = fixedFlaw(bytes, start);
  if (fixed !== undefined) return fixed;
  const hasCookie = end - start >= DHCPV4_FIXED_LENGTH && readUint32(bytes, start + COOKIE) === MAGIC_COOKIE;
  if (!hasCookie) {
    const isEmpty = bytes.subarray(start + COOKIE, end).every((byte) => byte === 0);
    return isEmpty ? readMessage(bytes, start, 0, new Map()) : flaw("the magic cookie is missing");
  }
  const message = parseOptions(bytes, start, end);
  return !isFlaw(message) && message.messageType !== BOOTP ? flaw("there is a message type") : message;
}

function fixedFlaw(bytes: Uint8Array, start: number): Flaw | undefined {
  const operation = bytes[start]!;
  if (operation !== DHCP_BOOT_REQUEST && operation !== DHCP_BOOT_REPLY) return flaw(`the operation is ${operation}`);
  if (readUint16(bytes, start + HARDWARE) !== HARDWARE_ETHERNET_LENGTH_6) return flaw("the hardware is not Ethernet");
  return undefined;
}

/** The message with the options behind its cookie. */
function parseOptions(bytes: Uint8Array, start: number, end: number): DhcpMessage | Flaw {
  const options = new Map<number, number[]>();
  const area = collect(bytes.subarray(start + DHCPV4_FIXED_LENGTH, end), options);
  if (area !== undefined) return flaw(area.reason, DHCPV4_FIXED_LENGTH + area.needed);
  const overload = options.get(OPTION_OVERLOAD);
  const overloaded = overload?.[0] ?? 0;
  if (overload !== undefined && (overload.length !== 1 || overloaded < 1 || overloaded > 3)) {
    return flaw("the option overload is none of 1, 2, 3");
  }
  const serverName = bytes.subarray(start + SERVER_NAME, start + BOOT_FILE);
  const bootFile = bytes.subarray(start + BOOT_FILE, start + COOKIE);
  const file = (overloaded & OVERLOAD_FILE) !== 0 ? collect(bootFile, options) : undefined;
  if (file !== undefined) return flaw(`${file.reason} in the boot file field`);
  const name = (overloaded & OVERLOAD_NAME) !== 0 ? collect(serverName, options) : undefined;
  if (name !== undefined) return flaw(`${name.reason} in the server name field`);
  // An overload within an overloaded field has nothing left to say.
  options.delete(OPTION_OVERLOAD);
  return readMessage(bytes, start, overloaded, options);
}

function readMessage(
  bytes: Uint8Array,
  start: number,
  overloaded: number,
  options: Map<number, number[]>,
): DhcpMessage | Flaw {
  const serverName = bytes.subarray(start + SERVER_NAME, start + BOOT_FILE);
  const bootFile = bytes.subarray(start + BOOT_FILE, start + COOKIE);
  const type = options.get(OPTION_MESSAGE_TYPE);
  options.delete(OPTION_MESSAGE_TYPE);
  if (type !== undefined && type.length !== 1) return flaw("the message type is no single byte");
  const message: DhcpMessage = {
    operation: bytes[start]!,
    transactionId: dhcpv4TransactionId(bytes, start),
    clientMac: dhcpv4ClientMac(bytes, start),
    messageType: type?.[0] ?? BOOTP,
    seconds: readUint16(bytes, start + SECONDS),
    broadcast: (readUint16(bytes, start + FLAGS) & FLAG_BROADCAST) !== 0,
    clientAddress: readUint32(bytes, start + CLIENT_ADDRESS),
    yourAddress: readUint32(bytes, start + YOUR_ADDRESS),
    nextServer: readUint32(bytes, start + NEXT_SERVER),
    relayAddress: readUint32(bytes, start + RELAY_ADDRESS),
    serverName: (overloaded & OVERLOAD_NAME) !== 0 ? "" : text(serverName),
    bootFile: (overloaded & OVERLOAD_FILE) !== 0 ? "" : text(bootFile),
    otherOptions: [],
  };
  for (const [code, data] of options) {
    if (!assign(message, code, Uint8Array.from(data))) return flaw(`option ${code} has a length of ${data.length}`);
  }
  return message;
}

/** Adds the options of one field to those found before. A flaw's need counts from the field's beginning. */
function collect(field: Uint8Array, options: Map<number, number[]>): Flaw | undefined {
  for (let i = 0; i < field.length;) {
    const code = field[i]!;
    if (code === OPTION_END) return undefined;
    if (code === OPTION_PAD) {
      i++;
      continue;
    }
    const dataStart = i + 2, dataEnd = dataStart + (field[i + 1] ?? 0);
    if (dataEnd > field.length) return flaw(`option ${code} goes past the end`, dataEnd);
    let data = options.get(code);
    if (data === undefined) options.set(code, data = []);
    for (let at = dataStart; at < dataEnd; at++) data.push(field[at]!);
    i = dataEnd;
  }
  return flaw("the end option is missing", field.length + 1);
}

/** Gives an option its property. Returns false where its length is none that its kind can have. */
function assign(message: DhcpMessage, code: number, data: Uint8Array): boolean {
  switch (code) {
    case OPTION_SERVER_ID:
      message.serverId = readUint32(data, 0);
      return data.length === 4;
    case OPTION_REQUESTED_ADDRESS:
      message.requestedAddress = readUint32(data, 0);
      return data.length === 4;
    case OPTION_LEASE_SECONDS:
      message.leaseSeconds = readUint32(data, 0);
      return data.length === 4;
    case OPTION_RENEWAL_SECONDS:
      message.renewalSeconds = readUint32(data, 0);
      return data.length === 4;
    case OPTION_REBINDING_SECONDS:
      message.rebindingSeconds = readUint32(data, 0);
      return data.length === 4;
    case OPTION_SUBNET_MASK:
      message.subnetMask = readUint32(data, 0);
      return data.length === 4;
    case OPTION_ROUTERS:
      message.routers = addresses(data);
      return data.length >= 4 && data.length % 4 === 0;
    case OPTION_DNS_SERVERS:
      message.dnsServers = addresses(data);
      return data.length >= 4 && data.length % 4 === 0;
    case OPTION_MTU:
      message.mtu = readUint16(data, 0);
      return data.length === 2;
    case OPTION_DOMAIN_NAME:
      message.domainName = text(data);
      return data.length > 0;
    case OPTION_HOST_NAME:
      message.hostName = text(data);
      return data.length > 0;
    case OPTION_MESSAGE:
      message.message = text(data);
      return data.length > 0;
    case OPTION_PARAMETER_LIST:
      message.parameterList = Array.from(data);
      return data.length > 0;
    case OPTION_CLIENT_ID:
      message.clientId = data;
      return data.length > 0;
    default:
      message.otherOptions.push({ code, data });
      return true;
  }
}

function addresses(data: Uint8Array): number[] {
  return Array.from({ length: data.length >>> 2 }, (_, i) => readUint32(data, i * 4));
}

/** Text up to the first zero byte: some clients count the terminator in. */
function text(data: Uint8Array): string {
  const zero = data.indexOf(0);
  return new TextDecoder().decode(zero < 0 ? data : data.subarray(0, zero));
}

/** The options with their end. Kinds that only some messages may have are the caller's business. */
function encodeOptions(message: DhcpFields): Uint8Array {
  const out: number[] = [];
  if (message.messageType !== BOOTP) append(out, OPTION_MESSAGE_TYPE, [message.messageType]);
  append(out, OPTION_SERVER_ID, word(message.serverId));
  append(out, OPTION_LEASE_SECONDS, word(message.leaseSeconds));
  append(out, OPTION_RENEWAL_SECONDS, word(message.renewalSeconds));
  append(out, OPTION_REBINDING_SECONDS, word(message.rebindingSeconds));
  // The mask goes before the routers (RFC 2132 section 3.3).
  append(out, OPTION_SUBNET_MASK, word(message.subnetMask));
  append(out, OPTION_ROUTERS, message.routers?.flatMap(word));
  append(out, OPTION_DNS_SERVERS, message.dnsServers?.flatMap(word));
  append(out, OPTION_DOMAIN_NAME, characters(message.domainName));
  append(out, OPTION_HOST_NAME, characters(message.hostName));
  append(out, OPTION_MTU, message.mtu === undefined ? [] : [message.mtu >>> 8, message.mtu & 255]);
  append(out, OPTION_REQUESTED_ADDRESS, word(message.requestedAddress));
  append(out, OPTION_CLIENT_ID, message.clientId);
  append(out, OPTION_PARAMETER_LIST, message.parameterList);
  append(out, OPTION_MESSAGE, characters(message.message));
  for (const { code, data } of message.otherOptions ?? []) {
    if (data.length === 0) out.push(code, 0);
    append(out, code, data);
  }
  out.push(OPTION_END);
  return Uint8Array.from(out);
}

/** Adds an option unless it is empty, in several pieces where it is too long for one (RFC 3396 section 5). */
function append(out: number[], code: number, data: ArrayLike<number> = []): void {
  for (let from = 0; from < data.length; from += 255) {
    const length = Math.min(255, data.length - from);
    out.push(code, length);
    for (let i = from; i < from + length; i++) out.push(data[i]!);
  }
}

function word(value: number | undefined): number[] {
  return value === undefined ? [] : [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

function characters(value: string | undefined): ArrayLike<number> {
  return new TextEncoder().encode(value ?? "");
}

function writeName(field: Uint8Array, name: string): void {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= field.length) {
    throw new RangeError(`Cannot encode DHCP message: a name of ${bytes.length} bytes is over ${field.length - 1}`);
  }
  field.set(bytes);
}
