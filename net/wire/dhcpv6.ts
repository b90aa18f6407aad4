/**
 * DHCP messages for IPv6 between a client and a server (RFC 8415) and the options that an address and names need: DNS
 * servers and search list (RFC 3646), the client's name (RFC 4704).
 *
 * A message is a type, a transaction number of 24 bits, and options up to its end. There is neither padding nor an end
 * option, so a message that is cut off between two options is whole, and one that is cut off anywhere else is not.
 * Options hold options: an IA_NA (3) holds addresses (5), and both hold a status (13).
 *
 * Both doors read the whole message, as those of DHCPv4 do: `checkDhcpv6` accepts what `decodeDhcpv6` decodes. Every
 * option must end within what holds it, every known option must have a length that its kind can have and occur once,
 * IA_NAs and addresses excepted. Names are never compressed (RFC 8415 section 10). Options that are not known are kept
 * as bytes. Messages of relays (types 12 and 13) have another form and are refused.
 *
 * @module
 */
import { IpAddress } from "./address.ts";
import { readUint16, readUint32, writeUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";
import { DNS_NAME_MAX, encodeDnsName, readDnsName } from "./dns.ts";

/** The port of servers and relays. */
export const DHCPV6_SERVER_PORT = 547;
/** The port of clients. */
export const DHCPV6_CLIENT_PORT = 546;

/** Message type: a client looks for servers. */
export const DHCPV6_SOLICIT = 1;
/** Message type: a server says what it would give. */
export const DHCPV6_ADVERTISE = 2;
/** Message type: a client asks for what was advertised. */
export const DHCPV6_REQUEST = 3;
/** Message type: a client asks whether its addresses still suit the link. */
export const DHCPV6_CONFIRM = 4;
/** Message type: a client asks its server for more time. */
export const DHCPV6_RENEW = 5;
/** Message type: a client asks any server for more time. */
export const DHCPV6_REBIND = 6;
/** Message type: a server gives, or says what is wrong. */
export const DHCPV6_REPLY = 7;
/** Message type: a client gives addresses back. */
export const DHCPV6_RELEASE = 8;
/** Message type: a client has found addresses in use. */
export const DHCPV6_DECLINE = 9;
/** Message type: a client that needs no address asks for the rest. */
export const DHCPV6_INFORMATION_REQUEST = 11;

/** Status: it is done. */
export const DHCPV6_SUCCESS = 0;
/** Status: there is no address for this IA. */
export const DHCPV6_NO_ADDRS_AVAIL = 2;
/** Status: the server knows nothing of this IA. */
export const DHCPV6_NO_BINDING = 3;
/** Status: an address is none of this link. */
export const DHCPV6_NOT_ON_LINK = 4;
/** Status: the client must send to the group of all servers. */
export const DHCPV6_USE_MULTICAST = 5;
/** Status: there is no prefix for this IA. */
export const DHCPV6_NO_PREFIX_AVAIL = 6;

/** Option: an IA for temporary addresses. */
export const DHCPV6_OPTION_IA_TA = 4;
/** Option: an IA for delegated prefixes. */
export const DHCPV6_OPTION_IA_PD = 25;
/** Option: the client's name. */
export const DHCPV6_OPTION_FQDN = 39;

/** Flag of `Dhcpv6Fqdn`: the server is to enter the name's address in DNS, or has. */
export const DHCPV6_FQDN_SERVER = 1;
/** Flag of `Dhcpv6Fqdn`: the server does otherwise than `DHCPV6_FQDN_SERVER` of the client said. */
export const DHCPV6_FQDN_OVERRIDE = 2;
/** Flag of `Dhcpv6Fqdn`: the server is not to enter anything in DNS, or has not. */
export const DHCPV6_FQDN_NO_UPDATE = 4;

const HEADER_LENGTH = 4;
const OPTION_HEADER_LENGTH = 4;
const IA_NA_FIXED = 12;
const IA_ADDRESS_FIXED = 24;
const RELAY_FORWARD = 12;
const RELAY_REPLY = 13;
/** The least and the most bytes of a DUID, its type included (RFC 8415 section 11.1). */
const DUID_LEAST = 3;
const DUID_MOST = 130;

const OPTION_CLIENT_ID = 1;
const OPTION_SERVER_ID = 2;
const OPTION_IA_NA = 3;
const OPTION_IA_ADDRESS = 5;
const OPTION_REQUEST = 6;
const OPTION_PREFERENCE = 7;
const OPTION_STATUS = 13;
const OPTION_RAPID_COMMIT = 14;
const OPTION_DNS_SERVERS = 23;
const OPTION_DOMAIN_SEARCH = 24;

const TYPE_NAMES = [
  "",
  "Solicit",
  "Advertise",
  "Request",
  "Confirm",
  "Renew",
  "Rebind",
  "Reply",
  "Release",
  "Decline",
  "Reconfigure",
  "Information-request",
];

/** How something went (option 13). */
export interface Dhcpv6Status {
  /** `DHCPV6_SUCCESS` and so on. */
  code: number;
  /** The same for people; may be empty. */
  message: string;
}

/** An address and how long it may be used (option 5). */
export interface Dhcpv6Address {
  /** The address. */
  address: IpAddress;
  /** For how many seconds it is preferred; 0xffffffff: for ever. */
  preferredSeconds: number;
  /** For how many seconds it may be used; 0: no longer. */
  validSeconds: number;
  /** What the server says about it. */
  status?: Dhcpv6Status;
}

/** An association of a client's interface with addresses (option 3). */
export interface Dhcpv6Association {
  /** The number that the client tells it by. */
  iaid: number;
  /** T1, after how many seconds to renew; 0: as the client likes. */
  renewalSeconds: number;
  /** T2, after how many seconds to rebind; 0: as the client likes. */
  rebindingSeconds: number;
  /** Its addresses. */
  addresses: Dhcpv6Address[];
  /** What the server says about it. */
  status?: Dhcpv6Status;
}

/** The client's name (option 39). */
export interface Dhcpv6Fqdn {
  /** `DHCPV6_FQDN_SERVER` and so on. */
  flags: number;
  /** The name as `readDnsName` has it; with a dot at its end if it is whole, without one if a domain is to follow. */
  name: string;
}

/** A message's fields; an absent option is an absent property. */
export interface Dhcpv6Fields {
  /** `DHCPV6_SOLICIT` and so on. */
  messageType: number;
  /** Number of 24 bits that pairs answers with questions. */
  transactionId: number;
  /** DUID of the client (option 1). */
  clientId?: Uint8Array;
  /** DUID of the server (option 2). */
  serverId?: Uint8Array;
  /** Associations with addresses (option 3). */
  associations?: Dhcpv6Association[];
  /** Numbers of the options that the client asks for (option 6). */
  requestedOptions?: number[];
  /** How much the server would be taken, 255: at once (option 7). */
  preference?: number;
  /** How all of it went (option 13). */
  status?: Dhcpv6Status;
  /** Whether a REPLY may follow a SOLICIT, or follows one (option 14). Never false. */
  rapidCommit?: boolean;
  /** DNS servers, best first (option 23). */
  dnsServers?: IpAddress[];
  /** Domains in which names without dots are looked for (option 24). */
  domainSearch?: string[];
  /** The client's name (option 39). */
  fqdn?: Dhcpv6Fqdn;
  /** Options that have no property of their own, in order. */
  otherOptions?: Dhcpv6Option[];
}

/** A message, decoded. */
export type Dhcpv6Message = Dhcpv6Fields & Required<Pick<Dhcpv6Fields, "associations" | "otherOptions">>;

/** An option as bytes. */
export interface Dhcpv6Option {
  /** Its number, 1 to 65535. */
  code: number;
  /** Its value. */
  data: Uint8Array;
}

/** Whether `bytes[start, end)` is a message that `decodeDhcpv6` decodes. */
export function checkDhcpv6(bytes: Uint8Array, start: number, end: number): boolean {
  return !isFlaw(parse(bytes, start, end));
}

/** `DHCPV6_SOLICIT` and so on. */
export function dhcpv6MessageType(bytes: Uint8Array, offset: number): number {
  return bytes[offset]!;
}

/** Number that pairs answers with questions. */
export function dhcpv6TransactionId(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset) & 0xffffff;
}

/** Decodes the message in `bytes[start, end)`. What it returns holds copies. Throws a `DecodeError`. */
export function decodeDhcpv6(bytes: Uint8Array, start: number = 0, end: number = bytes.length): Dhcpv6Message {
  const parsed = parse(bytes, start, end);
  if (!isFlaw(parsed)) return parsed;
  const { reason, needed } = parsed;
  throw new DecodeError("dhcpv6", { offset: start, needed: needed - start, actual: end - start, reason });
}

/** Bytes of a message as `encodeDhcpv6` writes it. */
export function dhcpv6LengthOf(message: Dhcpv6Fields): number {
  return HEADER_LENGTH + encodeOptions(message).length;
}

/**
 * Writes a message at `offset` and returns its length.
 *
 * Throws a `RangeError` if the array ends first, an option is longer than 65535 bytes, or a name is none.
 */
export function encodeDhcpv6(bytes: Uint8Array, offset: number, message: Dhcpv6Fields): number {
  const options = encodeOptions(message), length = HEADER_LENGTH + options.length;
  if (offset + length > bytes.length) {
    throw new RangeError(`Cannot encode DHCPv6 message: ${length} bytes do not fit in ${bytes.length - offset}`);
  }
  writeUint32(bytes, offset, message.transactionId);
  bytes[offset] = message.messageType;
  bytes.set(options, offset + HEADER_LENGTH);
  return length;
}

/** `DHCPv6 Solicit, xid 0x8dc83d, client 00030001525400123456, IA_NA 1193046 fd00::15, name vm1`. */
export function formatDhcpv6(message: Dhcpv6Message): string {
  const { messageType, transactionId, clientId, serverId, associations, status, dnsServers, fqdn } = message;
  const parts = [
    `DHCPv6 ${TYPE_NAMES[messageType] || `type ${messageType}`}`,
    `xid 0x${transactionId.toString(16).padStart(6, "0")}`,
  ];
  if (clientId !== undefined) parts.push(`client ${hexadecimal(clientId)}`);
  if (serverId !== undefined) parts.push(`server ${hexadecimal(serverId)}`);
  if (message.rapidCommit) parts.push("rapid commit");
  for (const { iaid, addresses, status } of associations) {
    const told = addresses.map((one) => `${one.address} ${one.validSeconds} s${statusText(one.status)}`);
    parts.push([`IA_NA ${iaid}`, ...told].join(" ") + statusText(status));
  }
  if (dnsServers !== undefined) parts.push(`DNS ${dnsServers.join(" ")}`);
  if (fqdn !== undefined) parts.push(`name ${fqdn.name}`);
  if (status !== undefined) parts.push(statusText(status).trimStart());
  return parts.join(", ");
}

function statusText(status: Dhcpv6Status | undefined): string {
  if (status === undefined) return "";
  return ` status ${status.code}${status.message === "" ? "" : ` ${JSON.stringify(status.message)}`}`;
}

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Why there is no message. */
interface Flaw {
  reason: string;
  /** Offset in the array to which the message would have to reach. */
  needed: number;
}

function isFlaw(value: object): value is Flaw {
  return "reason" in value;
}

/** An option where it lies. */
interface Place {
  code: number;
  start: number;
  end: number;
}

function parse(bytes: Uint8Array, start: number, end: number): Dhcpv6Message | Flaw {
  if (end - start < HEADER_LENGTH) return { reason: "the header is cut off", needed: start + HEADER_LENGTH };
  const messageType = dhcpv6MessageType(bytes, start);
  if (messageType === RELAY_FORWARD || messageType === RELAY_REPLY) {
    return { reason: "it is a relay's message", needed: end + 1 };
  }
  const places = options(bytes, start + HEADER_LENGTH, end);
  if (isFlaw(places)) return places;
  const message: Dhcpv6Message = {
    messageType,
    transactionId: dhcpv6TransactionId(bytes, start),
    associations: [],
    otherOptions: [],
  };
  const seen = new Set<number>();
  for (const place of places) {
    const { code } = place;
    if (code !== OPTION_IA_NA && isKnown(code)) {
      if (seen.has(code)) return { reason: `option ${code} occurs twice`, needed: end + 1 };
      seen.add(code);
    }
    const flaw = assign(message, bytes, place);
    if (flaw !== undefined) return flaw;
  }
  return message;
}

/** Where the options in `bytes[start, end)` lie. */
function options(bytes: Uint8Array, start: number, end: number): Place[] | Flaw {
  const places: Place[] = [];
  for (let at = start; at < end;) {
    const data = at + OPTION_HEADER_LENGTH;
    if (data > end) return { reason: "the head of an option is cut off", needed: data };
    const code = readUint16(bytes, at), next = data + readUint16(bytes, at + 2);
    if (next > end) return { reason: `option ${code} goes past the end`, needed: next };
    places.push({ code, start: data, end: next });
    at = next;
  }
  return places;
}

function isKnown(code: number): boolean {
  return code >= OPTION_CLIENT_ID && code <= OPTION_PREFERENCE && code !== DHCPV6_OPTION_IA_TA ||
    code === OPTION_STATUS || code === OPTION_RAPID_COMMIT || code === OPTION_DNS_SERVERS ||
    code === OPTION_DOMAIN_SEARCH || code === DHCPV6_OPTION_FQDN;
}

/** Gives an option its property. Returns what is wrong with it, if anything is. */
function assign(message: Dhcpv6Message, bytes: Uint8Array, place: Place): Flaw | undefined {
  const { code, start, end } = place, length = end - start;
  const unless = (isRight: boolean): Flaw | undefined =>
    isRight ? undefined : { reason: `option ${code} has a length of ${length}`, needed: end + 1 };
  switch (code) {
    case OPTION_CLIENT_ID:
      message.clientId = bytes.slice(start, end);
      return unless(length >= DUID_LEAST && length <= DUID_MOST);
    case OPTION_SERVER_ID:
      message.serverId = bytes.slice(start, end);
      return unless(length >= DUID_LEAST && length <= DUID_MOST);
    case OPTION_IA_NA: {
      const association = readAssociation(bytes, place);
      if (isFlaw(association)) return association;
      message.associations.push(association);
      return undefined;
    }
    case OPTION_IA_ADDRESS:
      return { reason: "an address is outside an IA", needed: end + 1 };
    case OPTION_REQUEST:
      message.requestedOptions = Array.from({ length: length >>> 1 }, (_, i) => readUint16(bytes, start + 2 * i));
      return unless(length % 2 === 0);
    case OPTION_PREFERENCE:
      message.preference = bytes[start]!;
      return unless(length === 1);
    case OPTION_STATUS:
      message.status = readStatus(bytes, place);
      return unless(length >= 2);
    case OPTION_RAPID_COMMIT:
      message.rapidCommit = true;
      return unless(length === 0);
    case OPTION_DNS_SERVERS:
      message.dnsServers = Array.from({ length: length >>> 4 }, (_, i) => readAddress(bytes, start + 16 * i));
      return unless(length >= 16 && length % 16 === 0);
    case OPTION_DOMAIN_SEARCH: {
      const domains = readDomains(bytes, place);
      if (domains === null) return { reason: "a domain is malformed", needed: end + 1 };
      message.domainSearch = domains;
      return undefined;
    }
    case DHCPV6_OPTION_FQDN: {
      const name = length === 0 ? null : readPartialName(bytes.subarray(start + 1, end));
      if (name === null) return { reason: "the client's name is malformed", needed: end + 1 };
      message.fqdn = { flags: bytes[start]!, name };
      return undefined;
    }
    default:
      message.otherOptions.push({ code, data: bytes.slice(start, end) });
      return undefined;
  }
}

function readAssociation(bytes: Uint8Array, { start, end }: Place): Dhcpv6Association | Flaw {
  if (end - start < IA_NA_FIXED) return { reason: `an IA has a length of ${end - start}`, needed: end + 1 };
  const places = options(bytes, start + IA_NA_FIXED, end);
  if (isFlaw(places)) return { ...places, reason: `${places.reason} in an IA` };
  const association: Dhcpv6Association = {
    iaid: readUint32(bytes, start),
    renewalSeconds: readUint32(bytes, start + 4),
    rebindingSeconds: readUint32(bytes, start + 8),
    addresses: [],
  };
  for (const place of places) {
    const flaw = place.code === OPTION_STATUS ? assignStatus(association, bytes, place) : undefined;
    if (flaw !== undefined) return flaw;
    if (place.code !== OPTION_IA_ADDRESS) continue;
    const address = readIaAddress(bytes, place);
    if (isFlaw(address)) return address;
    association.addresses.push(address);
  }
  return association;
}

function readIaAddress(bytes: Uint8Array, { start, end }: Place): Dhcpv6Address | Flaw {
  if (end - start < IA_ADDRESS_FIXED) {
    return { reason: `an address has a length of ${end - start}`, needed: end + 1 };
  }
  const places = options(bytes, start + IA_ADDRESS_FIXED, end);
  if (isFlaw(places)) return { ...places, reason: `${places.reason} in an address` };
  const address: Dhcpv6Address = {
    address: readAddress(bytes, start),
    preferredSeconds: readUint32(bytes, start + 16),
    validSeconds: readUint32(bytes, start + 20),
  };
  for (const place of places) {
    const flaw = place.code === OPTION_STATUS ? assignStatus(address, bytes, place) : undefined;
    if (flaw !== undefined) return flaw;
  }
  return address;
}

function assignStatus(to: { status?: Dhcpv6Status }, bytes: Uint8Array, place: Place): Flaw | undefined {
  if (to.status !== undefined || place.end - place.start < 2) {
    return { reason: "a status is cut off or occurs twice", needed: place.end + 1 };
  }
  to.status = readStatus(bytes, place);
  return undefined;
}

function readStatus(bytes: Uint8Array, { start, end }: Place): Dhcpv6Status {
  return { code: readUint16(bytes, start), message: new TextDecoder().decode(bytes.subarray(start + 2, end)) };
}

function readAddress(bytes: Uint8Array, at: number): IpAddress {
  return IpAddress.fromBytes(bytes.subarray(at, at + 16));
}

/** The names of a search list, without the dot at their end; null if one is malformed. */
function readDomains(bytes: Uint8Array, { start, end }: Place): string[] | null {
  const domains: string[] = [];
  for (let at = start; at < end; at = nameEnd(bytes, at)) {
    // Nothing lies before a name that begins its message, so a pointer leads nowhere.
    const name = readDnsName(bytes, { start: at, at, end });
    if (name === null) return null;
    domains.push(name === "." ? name : name.slice(0, -1));
  }
  return domains;
}

/** A name whose end may be missing (RFC 4704 section 4.2); null if it is malformed. */
function readPartialName(data: Uint8Array): string | null {
  const ended = new Uint8Array(data.length + 1);
  ended.set(data);
  const name = readDnsName(ended, { start: 0, at: 0, end: ended.length });
  if (name === null) return null;
  const length = nameEnd(ended, 0);
  if (length === data.length) return name;
  return length === ended.length ? name.slice(0, -1) : null;
}

/** Offset after the name at `at`, which is well-formed. */
function nameEnd(bytes: Uint8Array, at: number): number {
  while (bytes[at] !== 0) at += bytes[at]! + 1;
  return at + 1;
}

/** All options of a message. Which of them a type may have is the caller's business. */
function encodeOptions(message: Dhcpv6Fields): number[] {
  const { clientId, serverId, associations = [], requestedOptions, preference, status, dnsServers } = message;
  const { domainSearch, fqdn, otherOptions = [] } = message, out: number[] = [];
  if (clientId !== undefined) append(out, OPTION_CLIENT_ID, clientId);
  if (serverId !== undefined) append(out, OPTION_SERVER_ID, serverId);
  if (message.rapidCommit) append(out, OPTION_RAPID_COMMIT, []);
  if (preference !== undefined) append(out, OPTION_PREFERENCE, [preference]);
  for (const association of associations) append(out, OPTION_IA_NA, associationBytes(association));
  if (requestedOptions !== undefined) append(out, OPTION_REQUEST, requestedOptions.flatMap(short));
  appendStatus(out, status);
  if (dnsServers !== undefined) append(out, OPTION_DNS_SERVERS, dnsServers.flatMap(addressBytes));
  if (domainSearch !== undefined) append(out, OPTION_DOMAIN_SEARCH, domainSearch.flatMap(nameBytes));
  if (fqdn !== undefined) {
    const name = nameBytes(fqdn.name);
    append(out, DHCPV6_OPTION_FQDN, [fqdn.flags, ...(fqdn.name.endsWith(".") ? name : name.slice(0, -1))]);
  }
  for (const { code, data } of otherOptions) append(out, code, data);
  return out;
}

function associationBytes({ iaid, renewalSeconds, rebindingSeconds, addresses, status }: Dhcpv6Association): number[] {
  const out = [...word(iaid), ...word(renewalSeconds), ...word(rebindingSeconds)];
  for (const { address, preferredSeconds, validSeconds, status } of addresses) {
    const data = [...addressBytes(address), ...word(preferredSeconds), ...word(validSeconds)];
    appendStatus(data, status);
    append(out, OPTION_IA_ADDRESS, data);
  }
  appendStatus(out, status);
  return out;
}

function appendStatus(out: number[], status: Dhcpv6Status | undefined): void {
  if (status === undefined) return;
  append(out, OPTION_STATUS, [...short(status.code), ...new TextEncoder().encode(status.message)]);
}

function append(out: number[], code: number, data: ArrayLike<number>): void {
  if (data.length > 0xffff) {
    throw new RangeError(`Cannot encode DHCPv6 message: option ${code} has ${data.length} bytes, over 65535`);
  }
  out.push(...short(code), ...short(data.length));
  for (let i = 0; i < data.length; i++) out.push(data[i]!);
}

function short(value: number): number[] {
  return [(value >>> 8) & 255, value & 255];
}

function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

function addressBytes({ w0, w1, w2, w3 }: IpAddress): number[] {
  return [w0, w1, w2, w3].flatMap(word);
}

function nameBytes(name: string): number[] {
  const bytes = new Uint8Array(DNS_NAME_MAX);
  return Array.from(bytes.subarray(0, encodeDnsName(bytes, 0, name)));
}
