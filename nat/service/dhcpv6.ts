/**
 * A DHCPv6 server with one address to give (RFC 8415).
 *
 * As with DHCPv4 there is one guest on a link, so there is one lease, and whoever asks has it. Nothing about a lease is
 * kept: what a client is given depends on its message alone, so a guest that reboots has the same address again at
 * once, and messages may come in any order. The first IA_NA of a message is given the address, further ones are told
 * that there is none. IAs for temporary addresses and for prefixes are told so too.
 *
 * **SOLICIT** is answered by ADVERTISE, whose preference of 255 lets the client go on without waiting for other
 * servers, or with rapid commit by a REPLY that gives. **REQUEST**, **RENEW** and **REBIND** give: a REQUEST for an
 * address of another network is told that it is not on the link, and in RENEW and REBIND such an address, like any but
 * the one there is, is given no time. **CONFIRM** says whether the client's addresses are of this network. **RELEASE**
 * and **DECLINE** are acknowledged; an IA without our address is told that it has no binding here. The address stays
 * what the next one is given, there being no other. **INFORMATION-REQUEST** gets what is not about an address.
 *
 * **What has no answer** (section 16): a message without the identifiers that its type must have or with one that it
 * must not have, one for another server, one to our own address where only the group is right. REQUEST, RENEW, RELEASE
 * and DECLINE to our own address are told to use the group (sections 18.3.2 and following), because the server never
 * allows unicast.
 *
 * The server sends DNS servers and search list whether asked for or not. With an address it gives a client's name back
 * if the client asks for that (RFC 4704 section 6), and says that it enters nothing in DNS. An answer fits in the least
 * MTU of IPv6, so it never comes in fragments: domains of the search list are left out from the end. What is still too
 * long, a message with dozens of IAs, has no answer.
 *
 * @module
 */
import { type Cidr, type IpAddress, writeMac } from "../../net/wire/address.ts";
import { writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import {
  DHCPV6_ADVERTISE,
  DHCPV6_CONFIRM,
  DHCPV6_DECLINE,
  DHCPV6_FQDN_NO_UPDATE,
  DHCPV6_FQDN_OVERRIDE,
  DHCPV6_FQDN_SERVER,
  DHCPV6_INFORMATION_REQUEST,
  DHCPV6_NO_ADDRS_AVAIL,
  DHCPV6_NO_BINDING,
  DHCPV6_NO_PREFIX_AVAIL,
  DHCPV6_NOT_ON_LINK,
  DHCPV6_OPTION_FQDN,
  DHCPV6_OPTION_IA_PD,
  DHCPV6_OPTION_IA_TA,
  DHCPV6_REBIND,
  DHCPV6_RELEASE,
  DHCPV6_RENEW,
  DHCPV6_REPLY,
  DHCPV6_REQUEST,
  DHCPV6_SOLICIT,
  DHCPV6_SUCCESS,
  DHCPV6_USE_MULTICAST,
  type Dhcpv6Address,
  type Dhcpv6Association,
  type Dhcpv6Fields,
  dhcpv6LengthOf,
  type Dhcpv6Message,
  type Dhcpv6Option,
} from "../../net/wire/dhcpv6.ts";

/** The preference that ends a client's wait for other servers (RFC 8415 section 18.2.1). */
const TAKE_AT_ONCE = 255;
const DEFAULT_LEASE_SECONDS = 86_400;
const FOREVER = 0xffffffff;
/** What a packet of the least MTU holds behind the headers of IPv6 and UDP. */
const LONGEST_ANSWER = 1280 - 48;
const DUID_LINK_LAYER = 3;
const HARDWARE_ETHERNET = 1;
const OPTION_STATUS = 13;

/** What a server gives out. */
export interface Dhcpv6ServerOptions {
  /** The gateway's MAC address, of which the server's DUID is made. */
  readonly mac: number;
  /** The network in which addresses are on the link. */
  readonly subnet: Cidr;
  /** The address to give. */
  readonly guestAddress: IpAddress;
  /** The DNS server; `null`: none is told. */
  readonly dns: IpAddress | null;
  /** Domains in which names without dots are looked for. Default none. */
  readonly domainSearch?: readonly string[];
  /** How long the address may be used, from 1 s to 0xffffffff, for ever. Default a day. */
  readonly leaseSeconds?: number;
}

/** The DHCPv6 server of one guest. */
export class Dhcpv6Server {
  readonly #options: Dhcpv6ServerOptions;
  readonly #duid: Uint8Array;
  readonly #leaseSeconds: number;

  /** Throws a `RangeError` for a lease that the option cannot hold. */
  constructor(options: Dhcpv6ServerOptions) {
    const { mac, leaseSeconds = DEFAULT_LEASE_SECONDS } = options;
    if (!Number.isInteger(leaseSeconds) || leaseSeconds < 1 || leaseSeconds > FOREVER) {
      throw new RangeError(`Cannot serve DHCPv6: a lease of ${leaseSeconds} s is not from 1 to ${FOREVER}`);
    }
    this.#options = options;
    this.#leaseSeconds = leaseSeconds;
    this.#duid = new Uint8Array(10);
    writeUint16(this.#duid, 0, DUID_LINK_LAYER);
    writeUint16(this.#duid, 2, HARDWARE_ETHERNET);
    writeMac(this.#duid, 4, mac);
  }

  /**
   * Answers a message; `null`: it has no answer. `isUnicast` says whether it came to an address of the gateway rather
   * than to the group of all servers. Never throws.
   */
  answer(message: Dhcpv6Message, isUnicast: boolean): Dhcpv6Fields | null {
    if (!this.#isValid(message)) return null;
    switch (message.messageType) {
      case DHCPV6_SOLICIT:
        if (isUnicast) return null;
        return message.rapidCommit
          ? this.#give(message, { messageType: DHCPV6_REPLY, rapidCommit: true })
          : this.#give(message, { messageType: DHCPV6_ADVERTISE, preference: TAKE_AT_ONCE });
      case DHCPV6_CONFIRM:
        return isUnicast ? null : this.#confirm(message);
      case DHCPV6_REBIND:
        return isUnicast ? null : this.#give(message, { messageType: DHCPV6_REPLY });
      case DHCPV6_INFORMATION_REQUEST:
        return isUnicast ? null : this.#fit(message, { messageType: DHCPV6_REPLY, ...this.#parameters() });
      case DHCPV6_REQUEST:
      case DHCPV6_RENEW:
        return isUnicast ? this.#refuseUnicast(message) : this.#give(message, { messageType: DHCPV6_REPLY });
      case DHCPV6_RELEASE:
      case DHCPV6_DECLINE:
        return isUnicast ? this.#refuseUnicast(message) : this.#takeBack(message);
      default:
        return null;
    }
  }

  /** RFC 8415 sections 16.2 to 16.12: which identifiers each type must have. */
  #isValid({ messageType, clientId, serverId, associations, otherOptions }: Dhcpv6Message): boolean {
    const isOurs = serverId !== undefined && isSame(serverId, this.#duid);
    switch (messageType) {
      case DHCPV6_SOLICIT:
      case DHCPV6_CONFIRM:
      case DHCPV6_REBIND:
        return clientId !== undefined && serverId === undefined;
      case DHCPV6_REQUEST:
      case DHCPV6_RENEW:
      case DHCPV6_RELEASE:
      case DHCPV6_DECLINE:
        return clientId !== undefined && isOurs;
      case DHCPV6_INFORMATION_REQUEST:
        return (serverId === undefined || isOurs) && associations.length === 0 && !otherOptions.some(isOtherIa);
      default:
        return false;
    }
  }

  #give(to: Dhcpv6Message, fields: Partial<Dhcpv6Fields>): Dhcpv6Fields | null {
    const isAsked = to.messageType === DHCPV6_REQUEST;
    const keepsTime = to.messageType === DHCPV6_RENEW || to.messageType === DHCPV6_REBIND;
    let isGiven = false;
    const associations = to.associations.map((one): Dhcpv6Association => {
      if (isAsked && !one.addresses.every(({ address }) => this.#isOnLink(address))) {
        return without(one, DHCPV6_NOT_ON_LINK, "not of this network");
      }
      if (isGiven) return without(one, DHCPV6_NO_ADDRS_AVAIL, "there is one address, and another IA has it");
      isGiven = true;
      const gone = keepsTime ? one.addresses.filter((old) => !this.#isOurs(old)).map(ended) : [];
      return { ...this.#lease(one.iaid), addresses: [this.#address(), ...gone] };
    });
    const otherOptions = to.otherOptions.filter(isOtherIa).map(refusedIa);
    return this.#fit(to, {
      ...fields,
      associations,
      ...this.#parameters(),
      ...this.#nameOf(to),
      ...(otherOptions.length > 0 && { otherOptions }),
    });
  }

  #confirm(to: Dhcpv6Message): Dhcpv6Fields | null {
    const addresses = to.associations.flatMap((one) => one.addresses);
    if (addresses.length === 0) return null;
    const status = addresses.every(({ address }) => this.#isOnLink(address))
      ? { code: DHCPV6_SUCCESS, message: "all addresses are of this network" }
      : { code: DHCPV6_NOT_ON_LINK, message: "not of this network" };
    return this.#fit(to, { messageType: DHCPV6_REPLY, status });
  }

  #takeBack(to: Dhcpv6Message): Dhcpv6Fields | null {
    const strangers = to.associations.filter(({ addresses }) => !addresses.some((one) => this.#isOurs(one)));
    return this.#fit(to, {
      messageType: DHCPV6_REPLY,
      status: { code: DHCPV6_SUCCESS, message: "" },
      associations: strangers.map((one) => without(one, DHCPV6_NO_BINDING, "not given here")),
    });
  }

  #refuseUnicast(to: Dhcpv6Message): Dhcpv6Fields | null {
    const status = { code: DHCPV6_USE_MULTICAST, message: "send to ff02::1:2" };
    return this.#fit(to, { messageType: DHCPV6_REPLY, status });
  }

  #parameters(): Partial<Dhcpv6Fields> {
    const { dns, domainSearch = [] } = this.#options;
    return {
      ...(dns !== null && { dnsServers: [dns] }),
      ...(domainSearch.length > 0 && { domainSearch: [...domainSearch] }),
    };
  }

  /** The client's name, where the client may have it back. */
  #nameOf({ fqdn, requestedOptions }: Dhcpv6Message): Partial<Dhcpv6Fields> {
    if (fqdn === undefined || !requestedOptions?.includes(DHCPV6_OPTION_FQDN)) return {};
    const overrides = (fqdn.flags & DHCPV6_FQDN_SERVER) !== 0 ? DHCPV6_FQDN_OVERRIDE : 0;
    return { fqdn: { flags: DHCPV6_FQDN_NO_UPDATE | overrides, name: fqdn.name } };
  }

  /** Completes an answer with what every one has; null if it is too long. */
  #fit({ transactionId, clientId }: Dhcpv6Message, fields: Partial<Dhcpv6Fields>): Dhcpv6Fields | null {
    const message: Dhcpv6Fields = {
      messageType: DHCPV6_REPLY,
      transactionId,
      serverId: this.#duid,
      ...(clientId !== undefined && { clientId }),
      ...fields,
    };
    while (dhcpv6LengthOf(message) > LONGEST_ANSWER) {
      if (message.domainSearch === undefined) return null;
      if (message.domainSearch.length > 1) message.domainSearch.pop();
      else delete message.domainSearch;
    }
    return message;
  }

  /** An IA that has the address. */
  #lease(iaid: number): Pick<Dhcpv6Association, "iaid" | "renewalSeconds" | "rebindingSeconds"> {
    const seconds = this.#leaseSeconds, isForever = seconds === FOREVER;
    // The fractions that RFC 8415 section 21.4 recommends.
    return {
      iaid,
      renewalSeconds: isForever ? FOREVER : Math.floor(seconds * 0.5),
      rebindingSeconds: isForever ? FOREVER : Math.floor(seconds * 0.8),
    };
  }

  #address(): Dhcpv6Address {
    const seconds = this.#leaseSeconds;
    return { address: this.#options.guestAddress, preferredSeconds: seconds, validSeconds: seconds };
  }

  #isOurs({ address }: Dhcpv6Address): boolean {
    return address.equals(this.#options.guestAddress);
  }

  #isOnLink(address: IpAddress): boolean {
    return this.#options.subnet.contains(address);
  }
}

/** The address that an answer gives; null if it gives none. */
export function dhcpv6Lease({ messageType, associations = [] }: Dhcpv6Fields): IpAddress | null {
  if (messageType !== DHCPV6_REPLY) return null;
  const given = associations.flatMap(({ addresses }) => addresses).find(({ validSeconds }) => validSeconds > 0);
  return given?.address ?? null;
}

/** An IA that has nothing. */
function without({ iaid }: Dhcpv6Association, code: number, message: string): Dhcpv6Association {
  return { iaid, renewalSeconds: 0, rebindingSeconds: 0, addresses: [], status: { code, message } };
}

/** An address that may be used no longer. */
function ended({ address }: Dhcpv6Address): Dhcpv6Address {
  return { address, preferredSeconds: 0, validSeconds: 0 };
}

/** Whether it is an IA of a kind of which there is nothing to give. */
function isOtherIa({ code, data }: Dhcpv6Option): boolean {
  return code === DHCPV6_OPTION_IA_TA && data.length >= 4 || code === DHCPV6_OPTION_IA_PD && data.length >= 12;
}

/** The same IA with a status that says so: of its fixed fields the identifier is kept, the times are 0. */
function refusedIa({ code, data }: Dhcpv6Option): Dhcpv6Option {
  const isPrefix = code === DHCPV6_OPTION_IA_PD, fixed = isPrefix ? 12 : 4, out = new Uint8Array(fixed + 6);
  out.set(data.subarray(0, 4));
  writeUint32(out, fixed, OPTION_STATUS << 16 | 2);
  writeUint16(out, fixed + 4, isPrefix ? DHCPV6_NO_PREFIX_AVAIL : DHCPV6_NO_ADDRS_AVAIL);
  return { code, data: out };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
