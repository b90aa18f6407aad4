/**
 * A DHCP server with one address to give (RFC 2131, RFC 2132).
 *
 * There is one guest on a link, so there is one lease, and whoever asked last has it: a guest that reboots with another
 * MAC address, or as another client, gets the same address without waiting for the old lease to run out. The server is
 * the only one on the link and knows every address there is, so it refuses a wrong one (DHCPNAK) also where a server
 * that shares a network would stay silent.
 *
 * **DISCOVER** is answered by OFFER. **REQUEST** comes in four states of the client, told apart by what is filled in
 * (RFC 2131 section 4.3.2): with a server identifier (SELECTING), with a requested address alone (INIT-REBOOT), with
 * the client's own address alone (RENEWING, REBINDING, which differ in the packet's destination only). A REQUEST for
 * another server's offer is none of ours. Any other answer is ACK for our address and NAK for another. **INFORM** gets
 * what is not about a lease. **RELEASE** and **DECLINE** are noted; the address stays what the next one is given, there
 * being no other.
 *
 * **Where answers go** (section 4.1): to the relay where there is one; NAK by broadcast; to the client's address if it
 * has one; by broadcast if the client says that it cannot take unicast yet; else to the address that it is being given.
 *
 * The server sends every parameter it has, asked for or not, and gives a client identifier back (RFC 6842). What users
 * add (`dhcp_options.ts`) is left out from the end if an answer would be longer than its client takes: 576 bytes with
 * all headers, or what it says (RFC 2132 section 9.10). Time does not pass here: a lease that ran out is as good as
 * any.
 *
 * **A router outside of the subnet** is told with routes as well (RFC 3442): it is on the link, and all else is behind
 * it. Clients take them in place of the option for routers.
 *
 * **BOOTP** (RFC 951, RFC 1534): a request without a message type is answered at once with the same address and
 * parameters, in the 300 bytes that such a client takes. Who asks for another boot server by name gets no answer.
 *
 * @module
 */
import { formatIpv4, isGroupMac, MAC_BROADCAST } from "../../net/wire/address.ts";
import { readUint16, writeUint32 } from "../../net/wire/bytes.ts";
import {
  BOOTP,
  DHCP_ACK,
  DHCP_BOOT_REPLY,
  DHCP_BOOT_REQUEST,
  DHCP_CLIENT_PORT,
  DHCP_DECLINE,
  DHCP_DISCOVER,
  DHCP_INFORM,
  DHCP_NAK,
  DHCP_OFFER,
  DHCP_RELEASE,
  DHCP_REQUEST,
  DHCP_SERVER_PORT,
  type DhcpFields,
  type DhcpMessage,
  type DhcpOption,
  DHCPV4_MINIMUM_LENGTH,
  dhcpv4LengthOf,
} from "../../net/wire/dhcpv4.ts";
import { encodeDomainSearch } from "../../net/wire/domain_search.ts";
import type { DhcpExtras } from "./dhcp_options.ts";

/** A lease that never ends (RFC 2131 section 3.3). */
export const DHCP_LEASE_FOREVER = 0xffffffff;

const DEFAULT_LEASE_SECONDS = 86_400;
const LIMITED_BROADCAST = 0xffffffff;
/** Least MTU that the option can hold (RFC 2132 section 5.1). */
const LEAST_MTU = 68;
/** What one option holds. */
const LONGEST_CLIENT_ID = 255;
/** IPv4 and UDP headers, which the largest message that a client takes includes. */
const HEADERS = 28;
const LEAST_PACKET = 576;

const OPTION_LARGEST_PACKET = 57;
const OPTION_TFTP_SERVER_NAME = 66;
const OPTION_BOOT_FILE = 67;
const OPTION_DOMAIN_SEARCH = 119;
const OPTION_CLASSLESS_ROUTES = 121;

/** What a server gives out. Addresses are 32-bit numbers. */
export interface DhcpServerOptions {
  /** The server's own address, its identifier. */
  readonly serverAddress: number;
  /** The address to give. */
  readonly guestAddress: number;
  /** The subnet's mask. */
  readonly mask: number;
  /** The router; `null`: none is told. */
  readonly router: number | null;
  /** The DNS server; `null`: none is told. */
  readonly dns: number | null;
  /** The link's MTU, 68 to 65535. */
  readonly mtu: number;
  /** How long the address may be used, from 1 s to `DHCP_LEASE_FOREVER`. Default a day. */
  readonly leaseSeconds?: number;
  /** What else is told. Default nothing. */
  readonly extras?: DhcpExtras;
}

/** Where an answer is sent, from port 67 of the server's address. */
export interface DhcpDestination {
  /** MAC address. */
  readonly mac: number;
  /** IPv4 address. */
  readonly address: number;
  /** UDP port: the client's, or that of a relay. */
  readonly port: number;
}

/** An answer. */
export interface DhcpReply {
  /** The message, for `encodeDhcpv4`. */
  readonly message: DhcpFields;
  /** Where it goes. */
  readonly destination: DhcpDestination;
}

/** The DHCP server of one guest. */
export class DhcpServer {
  readonly #options: DhcpServerOptions;
  readonly #leaseSeconds: number;
  #ownerMac: number | null = null;
  #declines = 0;

  /** Throws a `RangeError` for an MTU or a lease that the options cannot hold. */
  constructor(options: DhcpServerOptions) {
    const { mtu, leaseSeconds = DEFAULT_LEASE_SECONDS } = options;
    if (!Number.isInteger(mtu) || mtu < LEAST_MTU || mtu > 65535) {
      throw new RangeError(`Cannot serve DHCP: MTU ${mtu} is not from ${LEAST_MTU} to 65535`);
    }
    if (!Number.isInteger(leaseSeconds) || leaseSeconds < 1 || leaseSeconds > DHCP_LEASE_FOREVER) {
      throw new RangeError(`Cannot serve DHCP: a lease of ${leaseSeconds} s is not from 1 to ${DHCP_LEASE_FOREVER}`);
    }
    this.#options = options;
    this.#leaseSeconds = leaseSeconds;
  }

  /**
   * MAC address of the client that has the address, as it named itself; `null` before the first and after a release.
   */
  get ownerMac(): number | null {
    return this.#ownerMac;
  }

  /**
   * How often a client has found the address in use (DHCPDECLINE): more than 0 means that the guest sees some conflict.
   */
  get declines(): number {
    return this.#declines;
  }

  /** Answers a message that came from `senderMac`; `null`: it has no answer. Never throws. */
  answer(message: DhcpMessage, senderMac: number): DhcpReply | null {
    if (message.operation !== DHCP_BOOT_REQUEST || isGroupMac(message.clientMac)) return null;
    switch (message.messageType) {
      case BOOTP:
        return this.#answerBootp(message, senderMac);
      case DHCP_DISCOVER:
        return this.#give(DHCP_OFFER, message, senderMac);
      case DHCP_REQUEST:
        return this.#answerRequest(message, senderMac);
      case DHCP_INFORM:
        return this.#reply({ messageType: DHCP_ACK, ...this.#parameters() }, message, senderMac);
      case DHCP_DECLINE:
        if (message.serverId === this.#options.serverAddress) this.#declines++;
        this.#forget(message);
        return null;
      case DHCP_RELEASE:
        this.#forget(message);
        return null;
      default:
        return null;
    }
  }

  #answerBootp(message: DhcpMessage, senderMac: number): DhcpReply | null {
    const { guestAddress, extras } = this.#options;
    if (message.serverName !== "" && message.serverName !== extras?.serverName) return null;
    this.#ownerMac = message.clientMac;
    const fields = { messageType: BOOTP, yourAddress: guestAddress, ...this.#parameters() };
    return this.#reply(fields, message, senderMac);
  }

  #answerRequest(message: DhcpMessage, senderMac: number): DhcpReply | null {
    const { serverAddress, guestAddress } = this.#options;
    if (message.serverId !== undefined && message.serverId !== serverAddress) return null;
    // The requested address is set in SELECTING and INIT-REBOOT, the client's own in RENEWING and REBINDING.
    const wanted = message.requestedAddress ?? message.clientAddress;
    if (wanted === 0) return null;
    if (wanted !== guestAddress) return this.#refuse(wanted, message, senderMac);
    this.#ownerMac = message.clientMac;
    return this.#give(DHCP_ACK, message, senderMac);
  }

  #give(messageType: number, message: DhcpMessage, senderMac: number): DhcpReply {
    const leaseSeconds = this.#leaseSeconds;
    const fields: Partial<DhcpFields> = {
      messageType,
      yourAddress: this.#options.guestAddress,
      leaseSeconds,
      ...this.#parameters(),
    };
    if (leaseSeconds !== DHCP_LEASE_FOREVER) {
      // The defaults of RFC 2131 section 4.4.5, said aloud.
      fields.renewalSeconds = Math.floor(leaseSeconds * 0.5);
      fields.rebindingSeconds = Math.floor(leaseSeconds * 0.875);
    }
    return this.#reply(fields, message, senderMac);
  }

  #refuse(wanted: number, message: DhcpMessage, senderMac: number): DhcpReply {
    const reason = `${formatIpv4(wanted)} is not to be had here`;
    return this.#reply({ messageType: DHCP_NAK, message: reason }, message, senderMac);
  }

  #parameters(): Partial<DhcpFields> {
    const { mask, router, dns, mtu, serverAddress, extras = {} } = this.#options;
    const { bootFile, nextServer = bootFile === undefined ? 0 : serverAddress, serverName } = extras;
    const fields: Partial<DhcpFields> = { subnetMask: mask, mtu, nextServer };
    if (router !== null) fields.routers = [router];
    if (dns !== null) fields.dnsServers = [dns];
    if (bootFile !== undefined) fields.bootFile = bootFile;
    if (serverName !== undefined) fields.serverName = serverName;
    if (extras.hostName !== undefined) fields.hostName = extras.hostName;
    if (extras.domainName !== undefined) fields.domainName = extras.domainName;
    const otherOptions = [...this.#routes(), ...otherOptionsOf(extras)];
    if (otherOptions.length > 0) fields.otherOptions = otherOptions;
    return fields;
  }

  /** The routes to a router that is not of the subnet; nothing for another. */
  #routes(): DhcpOption[] {
    const { guestAddress, mask, router } = this.#options;
    if (router === null || ((router ^ guestAddress) & mask) === 0) return [];
    const data = new Uint8Array(14);
    // To the router by itself, and to everywhere by the router.
    data[0] = 32;
    writeUint32(data, 1, router);
    writeUint32(data, 10, router);
    return [{ code: OPTION_CLASSLESS_ROUTES, data }];
  }

  /** Completes an answer with what every one has (RFC 2131 section 4.3.1, table 3), and addresses it. */
  #reply(fields: Partial<DhcpFields>, to: DhcpMessage, senderMac: number): DhcpReply {
    const messageType = fields.messageType!;
    const isNak = messageType === DHCP_NAK, isBootp = messageType === BOOTP;
    const message: DhcpFields = {
      operation: DHCP_BOOT_REPLY,
      transactionId: to.transactionId,
      clientMac: to.clientMac,
      // A relay broadcasts a NAK only if it is told to (section 4.3.2).
      broadcast: to.broadcast || (isNak && to.relayAddress !== 0),
      clientAddress: messageType === DHCP_ACK ? to.clientAddress : 0,
      relayAddress: to.relayAddress,
      ...(isBootp ? {} : { serverId: this.#options.serverAddress }),
      ...fields,
      messageType,
    };
    // A client can string an identifier together that fills its packet (RFC 3396); an answer must fit in 576 bytes.
    const { clientId } = to;
    if (!isBootp && clientId !== undefined && clientId.length <= LONGEST_CLIENT_ID) message.clientId = clientId;
    shorten(message, isBootp ? DHCPV4_MINIMUM_LENGTH : largestMessage(to));
    return { message, destination: destinationOf(message, { to, isNak, senderMac }) };
  }

  /** The address is given up by whoever names our lease. */
  #forget({ clientMac, serverId }: DhcpMessage): void {
    if (serverId === this.#options.serverAddress && clientMac === this.#ownerMac) this.#ownerMac = null;
  }
}

/** What has no field of its own. What is in a fixed field too comes last, and so is left out first. */
function otherOptionsOf({ bootFile, serverName, domainSearch }: DhcpExtras): DhcpOption[] {
  const options: DhcpOption[] = [], encoder = new TextEncoder();
  if (domainSearch !== undefined) options.push({ code: OPTION_DOMAIN_SEARCH, data: encodeDomainSearch(domainSearch) });
  if (bootFile !== undefined) options.push({ code: OPTION_BOOT_FILE, data: encoder.encode(bootFile) });
  if (serverName !== undefined) options.push({ code: OPTION_TFTP_SERVER_NAME, data: encoder.encode(serverName) });
  return options;
}

/** The longest message that the client takes. */
function largestMessage({ otherOptions }: DhcpMessage): number {
  const said = otherOptions.find(({ code, data }) => code === OPTION_LARGEST_PACKET && data.length === 2)?.data;
  return Math.max(LEAST_PACKET, said === undefined ? 0 : readUint16(said, 0)) - HEADERS;
}

/** Leaves out what users have added until the message has at most `most` bytes. */
function shorten(message: DhcpFields, most: number): void {
  while (dhcpv4LengthOf(message) > most) {
    if (message.otherOptions?.pop() !== undefined) continue;
    if (message.domainName !== undefined) delete message.domainName;
    else if (message.hostName !== undefined) delete message.hostName;
    else return;
  }
}

/** RFC 2131 section 4.1, in its order. A NAK gives no address, so it goes to all. */
function destinationOf(
  reply: DhcpFields,
  { to, isNak, senderMac }: { to: DhcpMessage; isNak: boolean; senderMac: number },
): DhcpDestination {
  if (to.relayAddress !== 0) return { mac: senderMac, address: to.relayAddress, port: DHCP_SERVER_PORT };
  if (!isNak && to.clientAddress !== 0) {
    return { mac: senderMac, address: to.clientAddress, port: DHCP_CLIENT_PORT };
  }
  const yours = reply.yourAddress ?? 0;
  if (to.broadcast || yours === 0) {
    return { mac: MAC_BROADCAST, address: LIMITED_BROADCAST, port: DHCP_CLIENT_PORT };
  }
  return { mac: to.clientMac, address: yours, port: DHCP_CLIENT_PORT };
}
