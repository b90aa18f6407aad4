import { assert, assertEquals, assertThrows } from "@std/assert";
import { DHCP_LEASE_FOREVER, type DhcpReply, DhcpServer, type DhcpServerOptions } from "../../../nat/service/dhcp.ts";
import type { DhcpExtras } from "../../../nat/service/dhcp_options.ts";
import { formatIpv4, formatMac, parseIpv4, parseMac } from "../../../net/wire/address.ts";
import {
  decodeBootp,
  decodeDhcpv4,
  DHCP_ACK,
  DHCP_BOOT_REPLY,
  DHCP_BOOT_REQUEST,
  DHCP_DECLINE,
  DHCP_DISCOVER,
  DHCP_INFORM,
  DHCP_NAK,
  DHCP_OFFER,
  DHCP_RELEASE,
  DHCP_REQUEST,
  type DhcpFields,
  type DhcpMessage,
  dhcpv4LengthOf,
  encodeDhcpv4,
} from "../../../net/wire/dhcpv4.ts";

const ip = parseIpv4;
const MAC = parseMac("52:54:00:12:34:56"), OTHER_MAC = parseMac("52:54:00:ab:cd:ef");
const SERVER = ip("10.0.2.2"), LEASE = ip("10.0.2.15");

const OPTIONS: DhcpServerOptions = {
  serverAddress: SERVER,
  guestAddress: LEASE,
  mask: ip("255.255.255.0"),
  router: SERVER,
  dns: ip("10.0.2.3"),
  mtu: 65520,
  leaseSeconds: 3600,
};

/** A client's message, through the codec, so that it is one that can come from a link. */
function client(messageType: number, fields: Partial<DhcpFields> = {}): DhcpMessage {
  const bytes = new Uint8Array(600);
  const message = { operation: DHCP_BOOT_REQUEST, transactionId: 0x3903f326, clientMac: MAC, messageType, ...fields };
  return decodeDhcpv4(bytes, 0, encodeDhcpv4(bytes, 0, message));
}

function ask(server: DhcpServer, messageType: number, fields: Partial<DhcpFields> = {}): DhcpReply | null {
  const message = client(messageType, fields);
  return server.answer(message, message.clientMac);
}

/** `type yiaddr`, or `none`. */
function brief(reply: DhcpReply | null): string {
  if (reply === null) return "none";
  const names: Record<number, string> = { [DHCP_OFFER]: "OFFER", [DHCP_ACK]: "ACK", [DHCP_NAK]: "NAK" };
  return `${names[reply.message.messageType]} ${formatIpv4(reply.message.yourAddress ?? 0)}`;
}

/** `mac address:port`. */
function where(reply: DhcpReply | null): string {
  const { mac, address, port } = reply!.destination;
  return `${formatMac(mac)} ${formatIpv4(address)}:${port}`;
}

const TO_ALL = "ff:ff:ff:ff:ff:ff 255.255.255.255:68";
const TO_LEASE = "52:54:00:12:34:56 10.0.2.15:68";

/** The options after the cookie, up to the end option, as hex by code. */
function optionsOf(reply: DhcpReply): Record<number, string> {
  const bytes = new Uint8Array(600).fill(0xa5);
  const length = encodeDhcpv4(bytes, 0, reply.message);
  const found: Record<number, string> = {};
  for (let i = 240; bytes[i] !== 255; i += 2 + bytes[i + 1]!) {
    assert(i < length && found[bytes[i]!] === undefined, `option ${bytes[i]} again or past the end`);
    found[bytes[i]!] = [...bytes.subarray(i + 2, i + 2 + bytes[i + 1]!)].map((b) => b.toString(16).padStart(2, "0"))
      .join("");
  }
  return found;
}

Deno.test("DhcpServer offers the address with every parameter as literal options", () => {
  const reply = ask(new DhcpServer(OPTIONS), DHCP_DISCOVER)!;
  assertEquals(optionsOf(reply), {
    53: "02",
    54: "0a000202",
    51: "00000e10",
    58: "00000708",
    59: "00000c4e",
    1: "ffffff00",
    3: "0a000202",
    6: "0a000203",
    26: "fff0",
  });
});

Deno.test("DhcpServer writes an OFFER whose fixed fields pair it with the DISCOVER", () => {
  const reply = ask(new DhcpServer(OPTIONS), DHCP_DISCOVER, { seconds: 9, broadcast: true })!;
  const bytes = new Uint8Array(600).fill(0xa5);
  const length = encodeDhcpv4(bytes, 0, reply.message);
  assertEquals(length, 300);
  const hex = [...bytes.subarray(0, 34)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  // op, htype, hlen, hops; xid; secs, flags; ciaddr; yiaddr; siaddr; giaddr; chaddr.
  assertEquals(
    hex,
    "02010600" + "3903f326" + "00008000" + "00000000" + "0a00020f" + "00000000" + "00000000" + "525400123456",
  );
});

Deno.test("DhcpServer answers a literal DISCOVER", () => {
  const bytes = new Uint8Array(300);
  bytes.set([1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
  bytes.set([0x52, 0x54, 0, 0x12, 0x34, 0x56], 28);
  bytes.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 61, 7, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 55, 3, 1, 3, 6, 255], 236);
  const reply = new DhcpServer(OPTIONS).answer(decodeDhcpv4(bytes), MAC)!;
  assertEquals([brief(reply), reply.message.transactionId, where(reply)], ["OFFER 10.0.2.15", 0xdeadbeef, TO_LEASE]);
  // RFC 6842: the client identifier comes back.
  assertEquals(optionsOf(reply)[61], "01525400123456");
});

Deno.test("DhcpServer gives back no client identifier that would make its answer too long for a client", () => {
  const server = new DhcpServer(OPTIONS);
  const bytes = new Uint8Array(70_000);
  for (const [length, comesBack] of [[255, true], [256, false], [60_000, false]] as const) {
    const fields = { operation: DHCP_BOOT_REQUEST, transactionId: 1, clientMac: MAC, messageType: DHCP_DISCOVER };
    const end = encodeDhcpv4(bytes, 0, { ...fields, clientId: new Uint8Array(length).fill(7) });
    const reply = server.answer(decodeDhcpv4(bytes, 0, end), MAC)!;
    assertEquals(reply.message.clientId?.length, comesBack ? length : undefined);
    // 576 bytes that every host takes (RFC 2131 section 2), less IP and UDP headers.
    assert(encodeDhcpv4(new Uint8Array(548), 0, reply.message) <= 548);
  }
});

Deno.test("DhcpServer offers its address whatever address the client would like", () => {
  assertEquals(
    brief(ask(new DhcpServer(OPTIONS), DHCP_DISCOVER, { requestedAddress: ip("10.0.2.77") })),
    "OFFER 10.0.2.15",
  );
});

Deno.test("DhcpServer in SELECTING acknowledges its own offer", () => {
  const server = new DhcpServer(OPTIONS);
  const reply = ask(server, DHCP_REQUEST, { serverId: SERVER, requestedAddress: LEASE })!;
  assertEquals([brief(reply), where(reply), server.ownerMac], ["ACK 10.0.2.15", TO_LEASE, MAC]);
  assertEquals(optionsOf(reply)[53], "05");
  assertEquals(reply.message.operation, DHCP_BOOT_REPLY);
});

Deno.test("DhcpServer in SELECTING is silent when another server was chosen", () => {
  const server = new DhcpServer(OPTIONS);
  ask(server, DHCP_DISCOVER);
  const request = { serverId: ip("10.0.2.9"), requestedAddress: LEASE };
  assertEquals([brief(ask(server, DHCP_REQUEST, request)), server.ownerMac], ["none", null]);
});

Deno.test("DhcpServer refuses a wrong address by broadcast in every state", () => {
  const wrong = ip("192.168.1.50");
  const states: [string, Partial<DhcpFields>][] = [
    ["SELECTING", { serverId: SERVER, requestedAddress: wrong }],
    ["INIT-REBOOT", { requestedAddress: wrong }],
    ["RENEWING, REBINDING", { clientAddress: wrong }],
  ];
  for (const [state, fields] of states) {
    const server = new DhcpServer(OPTIONS);
    const reply = ask(server, DHCP_REQUEST, fields)!;
    assertEquals([brief(reply), where(reply), server.ownerMac], ["NAK 0.0.0.0", TO_ALL, null], state);
    assertEquals(Object.keys(optionsOf(reply)), ["53", "54", "56"], state);
    assertEquals(reply.message.message, "192.168.1.50 is not to be had here");
    assertEquals(reply.message.clientAddress, 0);
  }
});

Deno.test("DhcpServer in INIT-REBOOT confirms the address that the client remembers", () => {
  const reply = ask(new DhcpServer(OPTIONS), DHCP_REQUEST, { requestedAddress: LEASE });
  assertEquals([brief(reply), where(reply)], ["ACK 10.0.2.15", TO_LEASE]);
});

Deno.test("DhcpServer in RENEWING and REBINDING answers to the client's address, also with the broadcast flag", () => {
  for (const broadcast of [false, true]) {
    const reply = ask(new DhcpServer(OPTIONS), DHCP_REQUEST, { clientAddress: LEASE, broadcast })!;
    assertEquals([brief(reply), where(reply)], ["ACK 10.0.2.15", TO_LEASE]);
    assertEquals(reply.message.clientAddress, LEASE);
  }
});

Deno.test("DhcpServer is silent to a REQUEST that names no address", () => {
  assertEquals(brief(ask(new DhcpServer(OPTIONS), DHCP_REQUEST)), "none");
  assertEquals(brief(ask(new DhcpServer(OPTIONS), DHCP_REQUEST, { serverId: SERVER })), "none");
});

Deno.test("DhcpServer sends to all where the client cannot take unicast", () => {
  const server = new DhcpServer(OPTIONS);
  const offer = ask(server, DHCP_DISCOVER, { broadcast: true })!;
  assertEquals([where(offer), offer.message.broadcast], [TO_ALL, true]);
  assertEquals(where(ask(server, DHCP_REQUEST, { broadcast: true, requestedAddress: LEASE })), TO_ALL);
});

Deno.test("DhcpServer answers through a relay, and makes it broadcast a refusal", () => {
  const server = new DhcpServer(OPTIONS);
  const relay = { relayAddress: ip("10.0.2.40") };
  const toRelay = "52:54:00:ab:cd:ef 10.0.2.40:67";
  const offer = server.answer(client(DHCP_DISCOVER, relay), OTHER_MAC)!;
  assertEquals([where(offer), offer.message.broadcast, offer.message.relayAddress], [toRelay, false, ip("10.0.2.40")]);
  const nak = server.answer(client(DHCP_REQUEST, { ...relay, clientAddress: ip("10.9.9.9") }), OTHER_MAC)!;
  assertEquals([brief(nak), where(nak), nak.message.broadcast], ["NAK 0.0.0.0", toRelay, true]);
});

Deno.test("DhcpServer answers INFORM without a lease and without an address", () => {
  const server = new DhcpServer(OPTIONS);
  const reply = ask(server, DHCP_INFORM, { clientAddress: ip("10.0.2.20"), broadcast: true })!;
  assertEquals([brief(reply), where(reply)], ["ACK 0.0.0.0", "52:54:00:12:34:56 10.0.2.20:68"]);
  assertEquals(Object.keys(optionsOf(reply)).map(Number), [1, 3, 6, 26, 53, 54]);
  assertEquals([reply.message.clientAddress, server.ownerMac], [ip("10.0.2.20"), null]);
  // A client that does not say where it is can be reached by broadcast only.
  assertEquals(where(ask(server, DHCP_INFORM)), TO_ALL);
});

Deno.test("DhcpServer gives the address to whoever asks last, another MAC included", () => {
  const server = new DhcpServer(OPTIONS);
  ask(server, DHCP_REQUEST, { serverId: SERVER, requestedAddress: LEASE });
  assertEquals(brief(ask(server, DHCP_DISCOVER, { clientMac: OTHER_MAC })), "OFFER 10.0.2.15");
  assertEquals(server.ownerMac, MAC);
  const reply = ask(server, DHCP_REQUEST, { clientMac: OTHER_MAC, serverId: SERVER, requestedAddress: LEASE });
  assertEquals([brief(reply), where(reply)], ["ACK 10.0.2.15", "52:54:00:ab:cd:ef 10.0.2.15:68"]);
  assertEquals(server.ownerMac, OTHER_MAC);
});

Deno.test("DhcpServer notes RELEASE of its owner alone, and gives the address again", () => {
  const server = new DhcpServer(OPTIONS);
  ask(server, DHCP_REQUEST, { requestedAddress: LEASE });
  const release = { clientAddress: LEASE, serverId: SERVER };
  assertEquals(brief(ask(server, DHCP_RELEASE, { ...release, clientMac: OTHER_MAC })), "none");
  ask(server, DHCP_RELEASE, { ...release, serverId: ip("10.0.2.9") });
  assertEquals(server.ownerMac, MAC);
  assertEquals(brief(ask(server, DHCP_RELEASE, release)), "none");
  assertEquals([server.ownerMac, brief(ask(server, DHCP_DISCOVER))], [null, "OFFER 10.0.2.15"]);
});

Deno.test("DhcpServer counts DECLINE and still has the one address to offer", () => {
  const server = new DhcpServer(OPTIONS);
  ask(server, DHCP_REQUEST, { requestedAddress: LEASE });
  ask(server, DHCP_DECLINE, { requestedAddress: LEASE, serverId: ip("10.0.2.9") });
  assertEquals([server.declines, server.ownerMac], [0, MAC]);
  assertEquals(brief(ask(server, DHCP_DECLINE, { requestedAddress: LEASE, serverId: SERVER })), "none");
  assertEquals([server.declines, server.ownerMac, brief(ask(server, DHCP_DISCOVER))], [1, null, "OFFER 10.0.2.15"]);
});

Deno.test("DhcpServer is silent to servers' messages, unknown types and group addresses", () => {
  const server = new DhcpServer(OPTIONS);
  for (const messageType of [DHCP_OFFER, DHCP_ACK, DHCP_NAK, 0, 9, 255]) {
    assertEquals(brief(ask(server, messageType, { requestedAddress: LEASE })), "none", `type ${messageType}`);
  }
  assertEquals(brief(ask(server, DHCP_DISCOVER, { operation: DHCP_BOOT_REPLY })), "none");
  assertEquals(brief(ask(server, DHCP_DISCOVER, { clientMac: parseMac("ff:ff:ff:ff:ff:ff") })), "none");
  assertEquals(brief(ask(server, DHCP_DISCOVER, { clientMac: parseMac("01:00:5e:00:00:01") })), "none");
});

Deno.test("DhcpServer leaves out router and DNS where there are none", () => {
  const reply = ask(new DhcpServer({ ...OPTIONS, router: null, dns: null }), DHCP_DISCOVER)!;
  assertEquals([optionsOf(reply)[3], optionsOf(reply)[6]], [undefined, undefined]);
});

Deno.test("DhcpServer leases for a day unless told, and for ever without times to renew", () => {
  const { leaseSeconds: _, ...options } = OPTIONS;
  assertEquals(optionsOf(ask(new DhcpServer(options), DHCP_DISCOVER)!)[51], "00015180");
  const forever = optionsOf(ask(new DhcpServer({ ...OPTIONS, leaseSeconds: DHCP_LEASE_FOREVER }), DHCP_DISCOVER)!);
  assertEquals([forever[51], forever[58], forever[59]], ["ffffffff", undefined, undefined]);
});

Deno.test("DhcpServer refuses an MTU or a lease that its options cannot hold", () => {
  for (const mtu of [67, 65536, 1500.5, NaN]) {
    assertThrows(() => new DhcpServer({ ...OPTIONS, mtu }), RangeError, `Cannot serve DHCP: MTU ${mtu} is not from 68`);
  }
  for (const leaseSeconds of [0, -1, 2 ** 32, 1.5, NaN]) {
    assertThrows(() => new DhcpServer({ ...OPTIONS, leaseSeconds }), RangeError, `a lease of ${leaseSeconds} s`);
  }
});

const EXTRAS: DhcpExtras = {
  bootFile: "boot.ipxe",
  serverName: "boot1",
  hostName: "vm1",
  domainName: "example.com",
  domainSearch: ["example.com", "example.net"],
};

Deno.test("DhcpServer tells what users add, in fields and as options, with the gateway as the next server", () => {
  const server = new DhcpServer({ ...OPTIONS, extras: EXTRAS });
  for (
    const [type, fields] of [[DHCP_DISCOVER, {}], [DHCP_REQUEST, { requestedAddress: LEASE }], [
      DHCP_INFORM,
      {},
    ]] as const
  ) {
    const reply = ask(server, type, fields)!, options = optionsOf(reply), { message } = reply;
    assertEquals([message.bootFile, message.serverName, message.nextServer], ["boot.ipxe", "boot1", SERVER]);
    assertEquals([options[12], options[15]], ["766d31", "6578616d706c652e636f6d"]);
    assertEquals([options[66], options[67]], ["626f6f7431", "626f6f742e69707865"]);
    assertEquals(options[119], "076578616d706c6503636f6d00076578616d706c65036e657400");
  }
  const elsewhere = new DhcpServer({ ...OPTIONS, extras: { bootFile: "x", nextServer: ip("10.0.2.9") } });
  assertEquals(ask(elsewhere, DHCP_DISCOVER)!.message.nextServer, ip("10.0.2.9"));
  const nak = ask(server, DHCP_REQUEST, { requestedAddress: ip("10.0.2.99") })!;
  assertEquals([nak.message.bootFile, optionsOf(nak)[12]], [undefined, undefined]);
});

Deno.test("DhcpServer leaves out what users add from the end until the client can take the answer", () => {
  const extras = { bootFile: "b".repeat(127), hostName: "h".repeat(60), domainName: "d.".repeat(30) + "d" };
  const server = new DhcpServer({ ...OPTIONS, extras }), clientId = new Uint8Array(200).fill(7);
  const short = ask(server, DHCP_DISCOVER, { clientId })!;
  assertEquals(dhcpv4LengthOf(short.message) <= 548, true);
  assertEquals(optionsOf(short)[67], undefined);
  assertEquals([short.message.bootFile, short.message.clientId], [extras.bootFile, clientId]);
  const large = { code: 57, data: Uint8Array.of(0x05, 0xdc) };
  const long = ask(server, DHCP_DISCOVER, { clientId, otherOptions: [large] })!;
  assertEquals([dhcpv4LengthOf(long.message) > 548, long.message.domainName], [true, extras.domainName]);
  for (const data of [Uint8Array.of(1), Uint8Array.of(0, 1)]) {
    const reply = ask(server, DHCP_DISCOVER, { clientId, otherOptions: [{ code: 57, data }] })!;
    assertEquals(dhcpv4LengthOf(reply.message) <= 548, true, "a size below the least is none");
  }
});

/** A literal request of BOOTP's: the fixed fields, and `vendor` behind them. */
function bootp(vendor: string, fields: { name?: string; ciaddr?: string } = {}): DhcpMessage {
  const bytes = new Uint8Array(236 + vendor.length / 2);
  bytes.set([1, 1, 6, 0, 0x39, 3, 0xf3, 0x26]);
  bytes.set([0x52, 0x54, 0, 0x12, 0x34, 0x56], 28);
  bytes.set(new TextEncoder().encode(fields.name ?? ""), 44);
  for (let i = 0; i < vendor.length; i += 2) bytes[236 + i / 2] = parseInt(vendor.slice(i, i + 2), 16);
  return decodeBootp(bytes);
}

Deno.test("DhcpServer answers BOOTP at once with the address, and with nothing that is DHCP's alone", () => {
  for (const vendor of ["", "00".repeat(64), "63825363ff", "638253630c03616263" + "ff"]) {
    const server = new DhcpServer({ ...OPTIONS, extras: EXTRAS }), reply = server.answer(bootp(vendor), MAC)!;
    assertEquals(where(reply), TO_LEASE, vendor);
    assertEquals([reply.message.yourAddress, reply.message.nextServer], [LEASE, SERVER]);
    assertEquals(optionsOf(reply), {
      1: "ffffff00",
      3: "0a000202",
      6: "0a000203",
      12: "766d31",
      15: "6578616d706c652e636f6d",
      26: "fff0",
    });
    const bytes = new Uint8Array(600);
    assertEquals(encodeDhcpv4(bytes, 0, reply.message), 300, "no more than such a client takes");
    assertEquals(decodeBootp(bytes, 0, 300).bootFile, "boot.ipxe");
    assertEquals(server.ownerMac, MAC);
  }
});

Deno.test("DhcpServer answers no BOOTP for another boot server, no reply, and no group address", () => {
  const server = new DhcpServer({ ...OPTIONS, extras: EXTRAS });
  assertEquals(server.answer(bootp("", { name: "boot1" }), MAC)?.message.yourAddress, LEASE);
  assertEquals(server.answer(bootp("", { name: "boot2" }), MAC), null);
  assertEquals(server.answer({ ...bootp(""), operation: DHCP_BOOT_REPLY }, MAC), null);
  assertEquals(server.answer({ ...bootp(""), clientMac: parseMac("ff:ff:ff:ff:ff:ff") }, MAC), null);
  assertEquals(new DhcpServer(OPTIONS).answer(bootp("", { name: "boot1" }), MAC), null);
});

Deno.test("DhcpServer tells the routes to a router that is not of the subnet, and keeps them before what users add", () => {
  const beyond = { ...OPTIONS, mask: 0xffffffff, router: parseIpv4("198.51.100.1") };
  // To 198.51.100.1/32 by the link, to 0.0.0.0/0 by 198.51.100.1 (RFC 3442).
  const routes = "20c6336401" + "00000000" + "00" + "c6336401";
  for (const type of [DHCP_DISCOVER, DHCP_REQUEST]) {
    const options = optionsOf(ask(new DhcpServer(beyond), type, { requestedAddress: OPTIONS.guestAddress })!);
    assertEquals([options[1], options[3], options[121]], ["ffffffff", "c6336401", routes]);
  }
  assertEquals(optionsOf(ask(new DhcpServer(OPTIONS), DHCP_DISCOVER)!)[121], undefined);
  const two = { ...OPTIONS, mask: 0xfffffffe, router: OPTIONS.guestAddress ^ 1 };
  assertEquals(optionsOf(ask(new DhcpServer(two), DHCP_DISCOVER)!)[121], undefined, "a subnet of two holds both");
  assertEquals(optionsOf(ask(new DhcpServer({ ...beyond, router: null }), DHCP_DISCOVER)!)[121], undefined);
  const extras = { bootFile: "b".repeat(120), serverName: "s".repeat(60), domainSearch: [`${"d".repeat(60)}.example`] };
  const full = optionsOf(ask(new DhcpServer({ ...beyond, extras }), DHCP_DISCOVER)!);
  assertEquals([full[121], full[66]], [routes, undefined], "what users add goes first");
});
