/**
 * Why frames and packets were dropped or refused, by name.
 *
 * Everything a guest sends either has its effect or moves exactly one of these. Nothing is dropped silently.
 *
 * @module
 */

/** Every reason, with what it means. */
export const DROP_REASONS = {
  /** A frame shorter than an Ethernet header, or than the length in it. */
  frameTooShort: "frame shorter than an Ethernet header, or than the length in it",
  /** A frame longer than the link's MTU allows, and not filled by one IP packet. */
  frameTooLong: "frame longer than the link's MTU allows, and not filled by one IP packet",
  /** A frame of a VLAN (802.1Q with a VID, 802.1ad), or tagged and neither IP nor ARP. */
  vlan: "frame of a VLAN",
  /** An EtherType that is neither IPv4, IPv6 nor ARP. */
  etherTypeUnknown: "EtherType that is neither IPv4, IPv6 nor ARP",
  /** A frame to another unicast address than the gateway's, or to a group. */
  notForGateway: "frame to another station or to a group",
  /** A frame from the gateway's own MAC address, or from that of a group. */
  spoofedMac: "frame from the gateway's own MAC address or a group's",
  /** A packet from an address that no guest may have: not of the subnet, or taken there. */
  spoofedAddress: "packet from an address outside the subnet, or one that is taken there",
  /** ARP that is truncated or not for Ethernet and IPv4. */
  arpMalformed: "ARP truncated or not for Ethernet and IPv4",
  /** ARP that asks for nothing the gateway answers. */
  arpIgnored: "ARP that asks for nothing the gateway answers",
  /** An IPv4 header that is truncated or contradicts itself. */
  ipv4Malformed: "IPv4 header truncated or contradictory",
  /** A wrong IPv4 header checksum. */
  ipv4Checksum: "wrong IPv4 header checksum",
  /** A packet whose time to live ends at the gateway; answered by ICMP, which is how traceroute finds it. */
  ttlExceeded: "packet whose time to live ends at the gateway",
  /** A fragment of something else than UDP and ICMP. */
  ipv4Fragment: "IPv4 fragment of something else than UDP and ICMP",
  /**
   * A fragment that is empty, or whose length is no multiple of 8 though others follow; of IPv6 also one with headers
   * that are not followed, or the first without all of them.
   */
  fragmentMalformed: "fragment that is empty, of a length that none has, or with flawed headers",
  /** A fragment, not the last, that is shorter than any router makes one. */
  fragmentTiny: "fragment shorter than any router makes one",
  /** A fragment that reaches past the longest packet. */
  fragmentTooLong: "fragment that reaches past the longest packet",
  /** A fragment that overlaps or contradicts another: its datagram is refused. */
  fragmentOverlap: "fragment that overlaps or contradicts another of its datagram",
  /** A fragment that had come before. */
  fragmentRepeated: "fragment that had come before",
  /** A datagram in fragments that had to make room, or a fragment for which there was none. */
  fragmentLimit: "fragment or incomplete datagram beyond the bounds of reassembly",
  /** A datagram that was not whole in time. */
  fragmentTimeout: "datagram in fragments that was not whole in time",
  /** A packet of IPv4 or ARP while IPv4 is switched off. */
  ipv4Disabled: "IPv4 or ARP, which is switched off",
  /** A packet of IPv6 while IPv6 is switched off, or on a link with an MTU below 1280, which carries none. */
  ipv6Disabled: "IPv6, which is switched off or the link's MTU too small for",
  /** An IPv6 header that is truncated or contradicts itself. */
  ipv6Malformed: "IPv6 header truncated or contradictory",
  /** An IPv6 packet from or to an IPv4-mapped address. */
  ipv6Mapped: "IPv6 packet from or to an IPv4-mapped address",
  /** IPv6 extension headers that are cut off, too many or not followed: a routing header, an unknown option. */
  ipv6ExtensionRefused: "IPv6 extension headers that are cut off, too many or not followed",
  /** A fragment of TCP over IPv6. */
  ipv6Fragment: "IPv6 fragment of TCP",
  /** A message of neighbour discovery that is truncated, contradicts itself, or comes in fragments. */
  ndpMalformed: "neighbour discovery truncated, contradictory or in fragments",
  /** A message of neighbour discovery with a hop limit other than 255: it is not of this link. */
  ndpHopLimit: "neighbour discovery with a hop limit other than 255",
  /** A router advertisement or a redirect of the guest. */
  ndpNotBelieved: "router advertisement or redirect of the guest",
  /** A message of neighbour discovery that asks for nothing the gateway answers. */
  ndpIgnored: "neighbour discovery that asks for nothing the gateway answers",
  /** A message of multicast listener discovery, which tells a router what it does not need to know here. */
  mldReport: "multicast listener discovery",
  /** A message of multicast listener discovery that is truncated or contradicts itself. */
  mldMalformed: "multicast listener discovery truncated or contradictory",
  /** An IP protocol other than TCP, UDP and ICMP. */
  protocolNotRelayed: "IP protocol other than TCP, UDP and ICMP",
  /** ICMP truncated. */
  icmpMalformed: "ICMP truncated",
  /** A wrong ICMP checksum. */
  icmpChecksum: "wrong ICMP checksum",
  /**
   * ICMP other than an echo request or an error, or an echo request to an address for which the host has no ping
   * socket.
   */
  icmpNotRelayed: "ICMP that is not relayed, or for which the host has no socket",
  /** An ICMP error about a packet that the guest was not sent. */
  icmpErrorStray: "ICMP error about a packet that the guest was not sent",
  /** An ICMP error that changes nothing: a flow outlives what may pass (RFC 4787 REQ-12, RFC 5461). */
  icmpErrorSoft: "ICMP error of the guest that changes nothing",
  /** An echo request that the host did not take, or that came back with an error that the guest cannot be told. */
  echoNotSent: "echo request that the host did not take",
  /** An echo reply from an address the guest has not asked. */
  echoUnasked: "echo reply to the guest from an address it has not asked",
  /** DHCP truncated or contradictory. */
  dhcpMalformed: "DHCP truncated or contradictory",
  /** A DHCP message that has no answer. */
  dhcpIgnored: "DHCP message that has no answer",
  /** A UDP header that is truncated or contradicts itself. */
  udpMalformed: "UDP header truncated or contradictory",
  /** A wrong UDP checksum. */
  udpChecksum: "wrong UDP checksum",
  /** A datagram over IPv6 without a checksum. */
  udpWithoutChecksum: "datagram over IPv6 without a checksum",
  /** A datagram that the host did not take, or that came back with an error that the guest cannot be told. */
  udpNotSent: "datagram that the host did not take",
  /** A datagram from an address the guest has not asked. */
  udpUnasked: "datagram to the guest from an address it has not asked",
  /** A datagram to the guest larger than IPv4 carries: it came over IPv6. */
  udpTooLarge: "datagram to the guest larger than IPv4 carries",
  /** A message to the DNS address that is no query, or truncated. */
  dnsMalformed: "message to the DNS address that is no DNS query",
  /**
   * A DNS message that is an operation other than a standard query (NOTIFY, UPDATE, STATUS), or the transfer of a zone.
   */
  dnsNotQuery: "DNS message that is no standard query but NOTIFY, UPDATE, the transfer of a zone or the like",
  /** A DNS query beyond the bound of those under way. */
  dnsPendingLimit: "DNS query beyond the bound of those under way",
  /** A DNS query that no resolver answered; the guest got SERVFAIL. */
  dnsUnanswered: "DNS query that no resolver answered",
  /** A datagram that is not the answer to the DNS query under way: another source, id or question. */
  dnsMismatched: "datagram that is not the answer to the DNS query under way",
  /** A TCP header that is truncated or contradicts itself. */
  tcpMalformed: "TCP header truncated or contradictory",
  /** A wrong TCP checksum. */
  tcpChecksum: "wrong TCP checksum",
  /** A segment with nothing new in it. */
  tcpRepeated: "TCP segment with nothing new in it",
  /** A segment outside the window, or not wanted in the connection's state. */
  tcpUnacceptable: "TCP segment outside the window or not wanted in the connection's state",
  /** A RST in the window but not exactly expected (RFC 5961 section 3). */
  tcpResetChallenged: "TCP RST in the window but not exactly expected, challenged",
  /** A SYN for a connection that is synchronized (RFC 5961 section 4). */
  tcpSynChallenged: "TCP SYN for an open connection, challenged",
  /** An ACK for what was never sent, or much too old (RFC 5961 section 5). */
  tcpAckUnacceptable: "TCP ACK for what was never sent, or much too old",
  /** A segment with neither ACK nor RST nor SYN. */
  tcpWithoutAck: "TCP segment with neither ACK nor RST nor SYN",
  /** Data after the guest's FIN. */
  tcpAfterFin: "TCP data after FIN",
  /** A segment out of order that would be one gap too many to keep. */
  tcpTooManyGaps: "TCP segment out of order, with more gaps than are kept",
  /** Bytes of a segment that were not kept because the gateway's buffers are full; the guest sends them again. */
  memoryLimit: "TCP bytes not kept because the gateway's buffers are full",
  /** A segment of no known connection; answered with RST unless it is one. */
  tcpStray: "TCP segment of no known connection",
  /** A destination that is never relayed, whatever the options. */
  neverRelayed: "destination that is never relayed",
  /** A destination that a rule forbids. */
  denied: "destination that a rule forbids",
  /** A destination that is on the list by no address, and to which no answer at the DNS address led this guest. */
  nameUnbound: "destination to which no name led that the guest has asked for",
  /** The same, and the answer that led there has expired. */
  nameExpired: "destination to which a name led whose answer has expired",
  /** A flow or datagram that the program's own `decide` refused. */
  hookRefused: "destination that the program's own decision forbids",
  /** A DNS query for a name that the rules do not let be asked. */
  dnsRefused: "DNS query for a name that the rules do not let be asked",
  /** A flow, datagram or query of which no record could be written, so it did not begin. */
  auditUnavailable: "flow or query whose audit record could not be written",
  /** A flow beyond `maxFlows`. */
  flowLimit: "flow beyond the limit of flows",
  /** A flow beyond `maxNewFlows`. */
  flowRate: "flow beyond the limit of new flows a second",
  /** A connect beyond the bound of connects under way. */
  connectLimit: "connection beyond the bound of connects under way",
  /** A flow or connect of a guest beyond its share of the limit, while others share it. */
  guestShare: "flow of a guest beyond its share of the limits",
  /** A client of a forward beyond the share of flows that clients may have, since the guest keeps some for itself. */
  forwardShare: "client of a forward beyond the share of flows that clients may have",
  /** The host had no descriptor, port or memory left. */
  hostExhausted: "host out of descriptors, ports or memory",
  /** A guest that its listener turned away: too many, silent for longest, or not let in. */
  guestRefused: "guest turned away by its listener",
  /** A client of a forward without a guest, or with more than one, to go to. */
  forwardNoGuest: "client of a forward that leads to no guest, or to more than one",
  /** A client of a forward, or a datagram of one, for which no way to the loopback of the guest's namespace opened. */
  forwardNoWay: "client of a forward that has no way to the namespace's loopback",
  /** A client of a forward that came while every port it could have was taken. */
  forwardNoPort: "client of a forward for which the guest has no port left",
  /** A frame to a guest that did not answer ARP, or one too many while it was asked. */
  guestUnresolved: "frame to a guest that does not answer ARP",
  /** A frame to the guest that the link did not take. */
  linkFull: "frame to the guest that the link did not take",
} as const;

/** A reason by name. */
export type DropReason = keyof typeof DROP_REASONS;

/** What somebody forbids, the rules, the limits or the program: a guest that sent a datagram is told so by ICMP. */
const PROHIBITIONS: ReadonlySet<DropReason> = new Set<DropReason>([
  "neverRelayed",
  "denied",
  "nameUnbound",
  "nameExpired",
  "hookRefused",
  "auditUnavailable",
  "flowRate",
]);

/** Whether a packet that is dropped for this reason is answered with an ICMP error that says "prohibited". */
export function isProhibition(reason: DropReason): boolean {
  return PROHIBITIONS.has(reason);
}

/** How often each reason occurred. */
export type Counters = Record<DropReason, number>;

/** All counters at 0. */
export function createCounters(): Counters {
  return Object.fromEntries(Object.keys(DROP_REASONS).map((reason) => [reason, 0])) as Counters;
}
