/**
 * The codecs of whole messages, which the service paths use, against a `DataView` used by hand: ARP, ICMPv4 echo, IPv6,
 * DNS. Those of the bulk path are in `wire_codec_bench.ts`.
 *
 * @module
 */
import { ARP_LENGTH, ARP_REQUEST, arpSenderIp, arpTargetIp, checkArp, decodeArp, encodeArp } from "../net/wire/arp.ts";
import { IpAddress } from "../net/wire/address.ts";
import { decodeDns, DNS_RD, encodeDnsHeader, encodeDnsQuestion } from "../net/wire/dns.ts";
import {
  checkIcmpv4,
  decodeIcmpv4,
  encodeIcmpv4Echo,
  ICMP_ECHO_REQUEST,
  icmpv4ChecksumValid,
  icmpv4Identifier,
  icmpv4Sequence,
} from "../net/wire/icmpv4.ts";
import { checkIpv6, decodeIpv6, encodeIpv6, ipv6NextHeader, ipv6PayloadLength } from "../net/wire/ipv6.ts";

const bytes = new Uint8Array(512), view = new DataView(bytes.buffer);
let sink = 0;

{
  const arp = {
    operation: ARP_REQUEST,
    senderMac: 0x525400123456,
    senderIp: 0x0a00020f,
    targetMac: 0,
    targetIp: 0x0a000202,
  };
  const at = 0, group = "ARP";
  encodeArp(bytes, at, arp);
  Deno.bench("DataView by hand, read", { group, baseline: true }, () => {
    if (view.getUint16(at) !== 1 || view.getUint16(at + 2) !== 0x0800 || view.getUint16(at + 4) !== 0x0604) return;
    sink += view.getUint32(at + 14) + view.getUint32(at + 24);
  });
  Deno.bench("check and getters", { group }, () => {
    if (checkArp(bytes, at, ARP_LENGTH)) sink += arpSenderIp(bytes, at) + arpTargetIp(bytes, at);
  });
  Deno.bench("decodeArp", { group }, () => void (sink += decodeArp(bytes, at, ARP_LENGTH).targetIp));
  Deno.bench("encodeArp", { group }, () => void (sink += encodeArp(bytes, at, arp)));
}

{
  const at = 64, end = at + 64, group = "ICMPv4 echo, 56 bytes";
  const echo = { type: ICMP_ECHO_REQUEST, identifier: 7, sequence: 1, payload: new Uint8Array(56) } as const;
  encodeIcmpv4Echo(bytes, at, echo);
  Deno.bench("DataView by hand, read with checksum", { group, baseline: true }, () => {
    let sum = 0;
    for (let i = at; i < end; i += 2) sum += view.getUint16(i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    if (sum === 0xffff) sink += view.getUint16(at + 4) + view.getUint16(at + 6);
  });
  Deno.bench("check and getters", { group }, () => {
    if (!checkIcmpv4(bytes, at, end) || !icmpv4ChecksumValid(bytes, at, end)) return;
    sink += icmpv4Identifier(bytes, at) + icmpv4Sequence(bytes, at);
  });
  Deno.bench("decodeIcmpv4", { group }, () => void (sink += decodeIcmpv4(bytes, at, end).type));
  Deno.bench("encodeIcmpv4Echo", { group }, () => void (sink += encodeIcmpv4Echo(bytes, at, echo)));
}

{
  const at = 160, end = at + 48, group = "IPv6";
  const header = {
    payloadLength: 8,
    nextHeader: 17,
    hopLimit: 64,
    source: IpAddress.parse("fd00::15"),
    destination: IpAddress.parse("fd00::2"),
  };
  encodeIpv6(bytes, at, header);
  Deno.bench("DataView by hand, read", { group, baseline: true }, () => {
    if (view.getUint8(at) >>> 4 !== 6 || view.getUint16(at + 4) > 8) return;
    sink += view.getUint16(at + 4) + view.getUint8(at + 6);
  });
  Deno.bench("check and getters", { group }, () => {
    if (checkIpv6(bytes, at, end)) sink += ipv6PayloadLength(bytes, at) + ipv6NextHeader(bytes, at);
  });
  Deno.bench("decodeIpv6", { group }, () => void (sink += decodeIpv6(bytes, at, end).hopLimit));
  Deno.bench("encodeIpv6", { group }, () => void (sink += encodeIpv6(bytes, at, header)));
}

{
  const at = 256, group = "DNS query";
  const header = { id: 7, flags: DNS_RD, questions: 1, answers: 0, authorities: 0, additionals: 0 };
  const question = { name: "www.example.test", type: 1, class: 1 };
  const encode = () => {
    const end = at + encodeDnsHeader(bytes, at, header);
    return end + encodeDnsQuestion(bytes, end, question);
  };
  const end = encode();
  Deno.bench("DataView by hand, read", { group, baseline: true }, () => {
    let i = at + 12, name = "";
    for (let length = view.getUint8(i++); length > 0; length = view.getUint8(i++)) {
      for (const labelEnd = i + length; i < labelEnd; i++) name += String.fromCharCode(view.getUint8(i));
      name += ".";
    }
    sink += view.getUint16(at) + name.length + view.getUint16(i);
  });
  Deno.bench("decodeDns", { group }, () => void (sink += decodeDns(bytes, at, end).id));
  Deno.bench("encodeDnsHeader, encodeDnsQuestion", { group }, () => void (sink += encode()));
}

if (sink === -1) throw new Error("the benchmarks were folded away");
