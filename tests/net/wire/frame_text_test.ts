import { assert, assertEquals, assertMatch } from "@std/assert";
import { formatFrame } from "../../../net/wire/frame_text.ts";
import { encodeDhcpv4 } from "../../../net/wire/dhcpv4.ts";
import { hex, noise, placed } from "../../support/packet_bytes.ts";

const ETHERNET = "525400123402 525400123456";

/** An IPv4 packet from 10.0.2.15 to 10.0.2.2 in a frame, padded to the least length of Ethernet. */
function ipv4(protocol: number, payload: string, fragment = "4000"): Uint8Array {
  const bytes = hex(payload), length = (20 + bytes.length).toString(16).padStart(4, "0");
  const packet = `4500${length} 0000${fragment} 40${protocol.toString(16).padStart(2, "0")}0000 0a00020f 0a000202`;
  return hex(`${ETHERNET} 0800 ${packet} ${payload}`.replace(/\s+/g, "").padEnd(120, "0"));
}

Deno.test("formatFrame shows TCP with both ends, flags, numbers, window, options and length", () => {
  const syn = "9c400050 00000001 00000000 6002fff0 0000 0000 020405b4";
  assertEquals(
    formatFrame(ipv4(6, syn)),
    "IP 10.0.2.15.40000 > 10.0.2.2.80: Flags [S], seq 1, win 65520, options [mss 1460], length 0",
  );
  const data = "9c400050 00000002 0000000a 5018ffff 0000 0000 616263";
  assertEquals(
    formatFrame(ipv4(6, data)),
    "IP 10.0.2.15.40000 > 10.0.2.2.80: Flags [P.], seq 2, ack 10, win 65535, length 3",
  );
});

Deno.test("formatFrame shows ARP, ICMP, UDP, IPv6 and what it does not know by their own texts", () => {
  const arp = hex(`ffffffffffff 525400123456 0806 0001 0800 0604 0001 525400123456 0a00020f 000000000000 0a000202`);
  assertEquals(formatFrame(arp), "ARP, Request who-has 10.0.2.2 tell 10.0.2.15");
  assertEquals(
    formatFrame(ipv4(1, "0800f7fe 00010000")),
    "IP 10.0.2.15 > 10.0.2.2: ICMP echo request, id 1, seq 0, length 8",
  );
  assertEquals(
    formatFrame(ipv4(17, "1388 1389 000d 0000 68656c6c6f")),
    "IP 10.0.2.15.5000 > 10.0.2.2.5001: UDP, no cksum, length 5",
  );
  const ipv6 = hex(`${ETHERNET} 86dd 60000000 0000 3aff fe80${"00".repeat(13)}01 ff02${"00".repeat(13)}02`);
  assertEquals(formatFrame(ipv6), "IP6 fe80::1 > ff02::2, next-header 58, hlim 255, length 0");
  assertMatch(formatFrame(ipv4(47, "00000000")), /^IP 10\.0\.2\.15 > 10\.0\.2\.2, proto 47, /);
  assertEquals(
    formatFrame(hex(`${ETHERNET} 88cc 0000`)),
    "52:54:00:12:34:56 > 52:54:00:12:34:02, ethertype 0x88cc, length 16",
  );
});

Deno.test("formatFrame shows DHCP in both directions, and an odd payload on its ports as one that is malformed", () => {
  for (const ports of ["0044 0043", "0043 0044"]) {
    const message = new Uint8Array(300);
    encodeDhcpv4(message, 0, { operation: 1, transactionId: 7, clientMac: 0x525400123456, messageType: 1 });
    const text = Array.from(message, (byte) => byte.toString(16).padStart(2, "0")).join("");
    assertMatch(
      formatFrame(ipv4(17, `${ports} 0134 0000 ${text}`)),
      /^IP 10\.0\.2\.15\.6[78] > 10\.0\.2\.2\.6[78]: DHCP Discover, xid 0x00000007, client 52:54:00:12:34:56$/,
    );
  }
  assertMatch(
    formatFrame(ipv4(17, "0044 0043 000a 0000 0102")),
    /^IP 10\.0\.2\.15\.68 > 10\.0\.2\.2\.67: malformed dhcpv4 \(Cannot decode dhcpv4 /,
  );
});

Deno.test("formatFrame shows DNS in both directions, and an odd payload on its port as one that is malformed", () => {
  const question = "0007 0100 0001 0000 0000 0000 04 74657374 07 6578616d706c65 00 0001 0001";
  assertEquals(
    formatFrame(ipv4(17, `9c40 0035 0026 0000 ${question}`)),
    "IP 10.0.2.15.40000 > 10.0.2.2.53: DNS query 7, A? test.example.",
  );
  assertEquals(
    formatFrame(ipv4(17, `0035 9c40 0026 0000 ${question.replace("0100", "8183")}`)),
    "IP 10.0.2.15.53 > 10.0.2.2.40000: DNS answer 7 NXDOMAIN, A? test.example.",
  );
  // A name with a line break stays on its line.
  const odd = "0007 0100 0001 0000 0000 0000 02 0a0d 00 0001 0001";
  assertMatch(formatFrame(ipv4(17, `9c40 0035 001c 0000 ${odd}`)), /^IP [^\n\r]* DNS query 7, A\? [\x21-\x7e]+$/);
  assertMatch(
    formatFrame(ipv4(17, "9c40 0035 000a 0000 0102")),
    /^IP 10\.0\.2\.15\.40000 > 10\.0\.2\.2\.53: malformed dns \(/,
  );
});

Deno.test("formatFrame shows fragments as IPv4 alone, since ports stand in the first one only", () => {
  for (const fragment of ["2000", "0010"]) {
    assertMatch(formatFrame(ipv4(17, "1388 1389 0400 0000", fragment)), /^IP 10\.0\.2\.15 > 10\.0\.2\.2, proto 17, /);
  }
});

Deno.test("formatFrame says of each layer that is cut off or contradictory which one it is", () => {
  assertMatch(formatFrame(hex("5254")), /^malformed ethernet \(/);
  assertMatch(formatFrame(hex(`${ETHERNET} 0806 0001`)), /^malformed arp \(/);
  assertMatch(formatFrame(hex(`${ETHERNET} 0800 4500`)), /^malformed ipv4 \(/);
  assertMatch(formatFrame(ipv4(6, "9c400050")), /^IP 10\.0\.2\.15 > 10\.0\.2\.2: malformed tcp \(/);
  assertMatch(formatFrame(ipv4(17, "1388 1389 00ff 0000")), /^IP 10\.0\.2\.15 > 10\.0\.2\.2: malformed udp \(/);
  assertMatch(formatFrame(ipv4(1, "0800")), /^IP 10\.0\.2\.15 > 10\.0\.2\.2: malformed icmpv4 \(/);
});

Deno.test("formatFrame gives one line of printable text for any bytes, wherever they stand", () => {
  const heads = [ipv4(6, "9c400050"), ipv4(17, "0044004300fa0000"), ipv4(17, "0035003500200000"), ipv4(1, "0300")];
  let malformed = 0;
  for (let seed = 0; seed < 4000; seed++) {
    const bytes = placed(noise(seed % 400, seed)), head = heads[seed % 5];
    if (head !== undefined) bytes.set(head.subarray(0, Math.min(38, bytes.length)));
    if (bytes.length > 17 && head !== undefined) bytes.set([(bytes.length - 14) >> 8, bytes.length - 14], 16);
    const line = formatFrame(bytes);
    assertMatch(line, /^[\x20-\x7e]+$/);
    if (line.includes("malformed")) malformed++;
  }
  assert(malformed > 400 && malformed < 3600, `${malformed}`);
});
