import { assert, assertEquals, assertMatch } from "@std/assert";
import { formatFrame } from "../../../net/wire/frame_text.ts";
import { encodeDhcpv4 } from "../../../net/wire/dhcpv4.ts";
import { hex, noise, placed, toHex } from "../../support/packet_bytes.ts";

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

Deno.test("formatFrame shows ARP, ICMP, UDP and what it does not know by their own texts", () => {
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

const ENDS = "fd000000000000000000000000000015fd000000000000000000000000000002";

/** An IPv6 packet from fd00::15 to fd00::2 in a frame. */
function ipv6(nextHeader: number, payload: string, ends = ENDS): Uint8Array {
  const body = hex(payload), byte = (value: number, bytes: number) => value.toString(16).padStart(bytes * 2, "0");
  return hex(`${ETHERNET} 86dd 60000000 ${byte(body.length, 2)} ${byte(nextHeader, 1)} ff ${ends} ${payload}`);
}

Deno.test("formatFrame shows packets that Linux sent as tcpdump shows them", () => {
  const link = "fe80000000000000505400fffe123456", none = "0".repeat(32), head = "IP6 fd00::15 > fd00::2: ";
  const group = (last: string) => `ff02${last.padStart(28, "0")}`;
  const routers = link + group("02"), reports = link + group("16"), solicited = ENDS.slice(0, 32) + group("01ff000002");
  const answered = ENDS.slice(32) + ENDS.slice(0, 32);
  const cases = [
    [ipv6(58, "8000f4670007000161626364656667"), `${head}ICMP6, echo request, id 7, seq 1, length 15`],
    [
      ipv6(58, "8100f3670007000161626364656667", answered),
      "IP6 fd00::2 > fd00::15: ICMP6, echo reply, id 7, seq 1, length 15",
    ],
    [
      ipv6(58, "850071b5000000000101525400123456", routers),
      "IP6 fe80::5054:ff:fe12:3456 > ff02::2: ICMP6, router solicitation, length 16",
    ],
    [
      ipv6(58, "8700f8c700000000fd0000000000000000000000000000020101525400123456", solicited),
      "IP6 fd00::15 > ff02::1:ff00:2: ICMP6, neighbor solicitation, who has fd00::2, length 32",
    ],
    [
      ipv6(58, "87009cfb00000000fd0000000000000000000000000000150e01e457313cbce4", none + group("01ff000015")),
      "IP6 :: > ff02::1:ff00:15: ICMP6, neighbor solicitation, who has fd00::15, length 32",
    ],
    [
      ipv6(58, "8800c03060000000fd000000000000000000000000000002020152550a000202", answered),
      "IP6 fd00::2 > fd00::15: ICMP6, neighbor advertisement, tgt is fd00::2, length 32",
    ],
    [
      ipv6(
        0,
        "3a000502000001008f00b6b50000000204000000ff0200000000000000000001ff000015" +
          "04000000ff0200000000000000000001ff123456",
        reports,
      ),
      "IP6 fe80::5054:ff:fe12:3456 > ff02::16: HBH ICMP6, multicast listener report v2, 2 group record(s), length 48",
    ],
    [ipv6(17, "99670009000dfa36616263640a"), "IP6 fd00::15.39271 > fd00::2.9: UDP, length 5"],
    [
      ipv6(6, "842e0050aaec086b00000000a002fd20fa460000020405a00402080a62bae7f6000000000103030a"),
      "IP6 fd00::15.33838 > fd00::2.80: Flags [S], seq 2867595371, win 64800, " +
      "options [mss 1440,sackOK,wscale 10], length 0",
    ],
    [
      ipv6(44, `11000001c85f00f2 96ce00090bc0577e ${"00".repeat(1440)}`),
      `${head}frag (0|1448) 38606 > 9: UDP, length 3000`,
    ],
    [ipv6(44, `110005a9c85f00f2 ${"00".repeat(1448)}`), `${head}frag (1448|1448)`],
    [ipv6(43, "1100000000000000 000500060008ffff"), `${head}RT6 (len=0, type=0, segleft=0) 5 > 6: UDP, length 0`],
    [ipv6(60, "1100010400000000 000500060008ffff"), `${head}DSTOPT 5 > 6: UDP, length 0`],
    [ipv6(59, ""), `${head}no next header`],
    [ipv6(253, "61626364"), `${head}ip-proto-253 4`],
  ] as const;
  for (const [frame, text] of cases) assertEquals(formatFrame(frame), text);
});

Deno.test("formatFrame says what is wrong with an IPv6 packet", () => {
  const head = "IP6 fd00::15 > fd00::2: ";
  assertEquals(
    formatFrame(ipv6(60, "11009e0401020304 000500060008ffff")),
    `${head}malformed extension headers (parameter problem code 2 - octet 42), length 16`,
  );
  assertEquals(formatFrame(ipv6(60, "1105")), `${head}malformed extension headers, length 2`);
  assertEquals(
    formatFrame(ipv6(58, "8000f4680007000161626364656667")),
    `${head}ICMP6, echo request, id 7, seq 1, bad cksum, length 15`,
  );
  assertMatch(formatFrame(ipv6(58, "8700")), /^IP6 fd00::15 > fd00::2: malformed icmpv6 \(/);
  assertMatch(formatFrame(ipv6(6, "8700")), /^IP6 fd00::15 > fd00::2: malformed tcp \(/);
  assertMatch(formatFrame(ipv6(17, "0005")), /^IP6 fd00::15 > fd00::2: malformed udp \(/);
  assertMatch(
    formatFrame(ipv6(17, "02220223000affff0102")),
    /^IP6 fd00::15\.546 > fd00::2\.547: malformed dhcpv6 \(/,
  );
  assertMatch(formatFrame(ipv6(17, "02220223000cffff01000007")), /\.547: DHCPv6 Solicit, xid 0x000007$/);
  const short = formatFrame(hex(`${ETHERNET} 86dd 60000000 0001 11ff ${ENDS}`));
  assertMatch(short, /^malformed ipv6 \(.*the payload length 1 goes past the end/);
});

Deno.test("formatFrame gives one line of printable text for any bytes in an IPv6 packet", () => {
  const kinds = [0, 6, 17, 43, 44, 58, 60, 59];
  let malformed = 0;
  for (let seed = 0; seed < 4000; seed++) {
    const body = noise(seed % 120, seed), kind = kinds[seed % 8]!;
    if (seed % 3 > 0) { for (let at = 0; at + 8 <= body.length; at += 8) body.set([kinds[body[at]! % 8]!, 0], at); }
    if (kind === 58 && body.length > 1) body.set([128 + body[0]! % 16, 0]);
    const line = formatFrame(ipv6(kind, toHex(body)));
    assertMatch(line, /^[\x20-\x7e]+$/);
    if (line.includes("malformed")) malformed++;
  }
  assert(malformed > 400 && malformed < 3600, `${malformed}`);
});
