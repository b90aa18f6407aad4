import { assert, assertEquals } from "@std/assert";
import { WARN_AGAIN_MS } from "../../nat/guest_identity.ts";
import { MAX_GUEST_ADDRESSES } from "../../nat/ip/guest_addresses.ts";
import { parseIpv4, parseMac } from "../../net/wire/address.ts";
import { TCP_ACK, TCP_PSH, TCP_SYN } from "../../net/wire/tcp.ts";
import { bytesOf, GUEST_MAC, NatScript } from "../support/nat_script.ts";
import type { ScriptTcpSocket } from "../support/script_host.ts";

const ARP_REQUEST = 1, ARP_REPLY = 2, OTHER_MAC = 0x525400999999;
const ADDRESS = parseIpv4("10.0.2.15"), SECOND = parseIpv4("10.0.2.50");

/** What the host has received. */
function textOf(socket: ScriptTcpSocket): string {
  return new TextDecoder().decode(socket.received);
}

/** The drops of a gateway that are not 0. */
function drops(script: NatScript): Record<string, number> {
  return Object.fromEntries(Object.entries(script.nat.counters).filter(([, count]) => count > 0));
}

Deno.test("GuestIdentity believes the newest MAC address while a flow is open, and the flow goes on there", () => {
  const script = new NatScript(), socket = script.open();
  script.guestMac = OTHER_MAC;
  script.send({ payload: "from the new card" });
  assertEquals([script.guest.mac, textOf(socket)], [OTHER_MAC, "from the new card"]);
  script.take();
  socket.hostSends("to the new card");
  script.host.run();
  assertEquals(script.expect({ payload: bytesOf("to the new card") }).mac, OTHER_MAC);
  assertEquals([drops(script), script.warnings], [{}, []]);
  script.nat.close();
});

Deno.test("GuestIdentity asks by ARP where a guest is that does not answer for a second, once a second, and sends there", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostSends("to the new card");
  script.host.run();
  script.advance(900);
  assertEquals(script.takeAsked(), []);
  script.advance(3_000);
  const asked = script.takeAsked();
  assert(asked.length >= 1 && asked.length <= 3 && asked.every((address) => address === "10.0.2.15"), `${asked}`);
  script.take();
  script.guestMac = OTHER_MAC;
  script.sendArp(ARP_REPLY);
  assertEquals(drops(script), {});
  script.advance(5_000);
  assertEquals(script.expect({ payload: bytesOf("to the new card") }).mac, OTHER_MAC);
  script.take();
  script.ack += 15;
  script.send();
  script.takeAsked();
  script.advance(60_000);
  assertEquals([script.takeAsked(), script.state], [[], "ESTABLISHED"]);
  script.nat.close();
});

Deno.test("GuestIdentity takes every way of speaking for the newest MAC address: TCP, UDP, ARP, a probe, DHCP", () => {
  const ways: [string, (script: NatScript) => void][] = [
    ["tcp", (script) => script.send({ flags: TCP_SYN, ack: 0, port: 5 })],
    ["udp", (script) => script.sendUdp({ payload: "x", guestPort: 9, remote: "10.0.2.2:9" })],
    ["arp", (script) => script.sendArp(ARP_REQUEST)],
    ["probe", (script) => (script.guestIp = 0, script.sendArp(ARP_REQUEST, ADDRESS))],
    ["dhcp", (script) => {
      script.guestIp = 0;
      script.frame(script.datagram(new Uint8Array(300), { from: 68, port: 67, address: 0xffffffff }));
    }],
  ];
  for (const [name, speak] of ways) {
    const script = new NatScript();
    script.open();
    script.guestMac = OTHER_MAC;
    speak(script);
    assertEquals(script.guest.mac, OTHER_MAC, name);
    assertEquals(script.nat.counters.spoofedMac + script.nat.counters.spoofedAddress, 0, name);
    script.nat.close();
  }
});

Deno.test("GuestIdentity leaves frames where they go while others behind the guest's bridge say what is not taken", () => {
  const script = new NatScript();
  script.open();
  const spoil: ((frame: Uint8Array) => void)[] = [
    (frame) => frame.set([0x86, 0xdd], 12),
    (frame) => frame.set([0x88, 0xcc], 12),
    (frame) => frame.set([0x01, 0x80, 0xc2, 0, 0, 0], 0),
    (frame) => frame.set([0x44], 14),
  ];
  for (const change of spoil) {
    script.guestMac = OTHER_MAC;
    const frame = script.segment({ flags: TCP_SYN, ack: 0, port: 5 });
    change(frame);
    script.frame(frame);
    assertEquals(script.guest.mac, GUEST_MAC);
  }
  // Nor does a packet from an address that is not the guest's.
  script.guestIp = parseIpv4("192.168.1.50");
  script.send({ flags: TCP_SYN, ack: 0, port: 5 });
  assertEquals(script.guest.mac, GUEST_MAC);
  // What was not taken is forgotten with the next frame.
  script.guestIp = ADDRESS;
  script.guestMac = GUEST_MAC;
  script.send({ payload: "x" });
  assertEquals(script.guest.mac, GUEST_MAC);
  script.nat.close();
});

Deno.test("GuestIdentity takes a second address beside the first, and the flows of both go on", () => {
  const script = new NatScript(), first = script.open(), { seq, ack } = script;
  script.guestIp = SECOND;
  script.guestPort = 41000;
  const second = script.open();
  assertEquals(script.guest.address(4)?.ipv4, SECOND);
  script.send({ payload: "second" });
  const newer = [script.seq, script.ack];
  [script.seq, script.ack] = [seq, ack];
  script.guestIp = ADDRESS;
  script.guestPort = 40000;
  script.send({ payload: "first" });
  script.take();
  assertEquals([textOf(first), textOf(second), script.guest.address(4)?.ipv4], ["first", "second", ADDRESS]);
  second.hostSends("to the second");
  script.host.run();
  script.expect({ to: "10.0.2.50:41000", seq: newer[1]!, payload: bytesOf("to the second") });
  first.hostSends("to the first");
  script.host.run();
  script.expect({ to: "10.0.2.15:40000", payload: bytesOf("to the first") });
  assertEquals([drops(script), script.warnings], [{}, []]);
  script.nat.close();
  script.take();
  script.assertEmpty();
});

Deno.test("GuestIdentity serves a guest with more addresses than it remembers, from each of them", () => {
  const script = new NatScript({ maxFlows: 500 }), first = script.open(), { seq, ack } = script;
  for (let i = 16; i < 16 + 2 * MAX_GUEST_ADDRESSES; i++) {
    script.guestIp = parseIpv4(`10.0.2.${i}`);
    script.sendUdp({ payload: "x", guestPort: 9, remote: "10.0.2.2:9" });
  }
  assertEquals(script.nat.flows().length, 1 + 2 * MAX_GUEST_ADDRESSES);
  script.guestIp = ADDRESS;
  [script.seq, script.ack] = [seq, ack];
  script.send({ payload: "still here" });
  assertEquals([textOf(first), drops(script)], ["still here", {}]);
  script.nat.close();
});

Deno.test("GuestIdentity never answers ARP for an address of the guest, the older ones included", () => {
  const script = new NatScript();
  script.sendArp(ARP_REQUEST);
  script.guestIp = SECOND;
  script.sendArp(ARP_REQUEST);
  assertEquals(script.nat.counters.arpIgnored, 0);
  script.sendArp(ARP_REQUEST, ADDRESS);
  script.sendArp(ARP_REQUEST, SECOND);
  assertEquals(script.nat.counters.arpIgnored, 2);
  script.sendArp(ARP_REQUEST, parseIpv4("10.0.2.51"));
  assertEquals(script.nat.counters.arpIgnored, 2);
});

Deno.test("GuestIdentity drops a packet from an address that no guest may have, and says which and what to do", () => {
  const cases: [string, string][] = [
    [
      "192.168.1.50",
      "which is not of 10.0.2.0/24: give it an address of that network, e.g. 10.0.2.15, or " +
      "the gateway that of the guest (--subnet)",
    ],
    ["10.0.2.2", "which is the gateway's: give it another address of 10.0.2.0/24, e.g. 10.0.2.15"],
    ["10.0.2.3", "which is the DNS server's: give it another address of 10.0.2.0/24, e.g. 10.0.2.15"],
    ["10.0.2.100", "which is mapped to 127.0.0.1: give it another address of 10.0.2.0/24, e.g. 10.0.2.15"],
    ["10.0.2.0", "which is nobody's: give it another address of 10.0.2.0/24, e.g. 10.0.2.15"],
    ["10.0.2.255", "which is nobody's: give it another address of 10.0.2.0/24, e.g. 10.0.2.15"],
  ];
  for (const [address, problem] of cases) {
    for (const way of ["arp", "ip"]) {
      const script = new NatScript({ rules: { maps: ["10.0.2.100=127.0.0.1"] } });
      script.guestIp = parseIpv4(address);
      if (way === "arp") script.sendArp(ARP_REQUEST);
      else script.send({ flags: TCP_SYN, ack: 0 });
      assertEquals(drops(script), { spoofedAddress: 1 });
      assertEquals(script.warnings, [`Guest 1 on script uses ${address}, ${problem}`]);
      assertEquals([script.guest.address(4), script.take()], [null, []]);
      script.assertEmpty();
    }
  }
});

Deno.test("GuestIdentity drops a frame from the gateway's or a group's MAC address and says so", () => {
  for (const [mac, whose] of [["52:54:00:12:34:02", "the gateway's"], ["33:33:00:00:00:01", "a group's"]] as const) {
    const script = new NatScript();
    script.guestMac = parseMac(mac);
    script.send({ flags: TCP_SYN, ack: 0 });
    assertEquals([drops(script), script.guest.mac], [{ spoofedMac: 1 }, -1]);
    const line = `Guest 1 on script uses the MAC address ${mac}, which is ${whose}: give its network card another one`;
    assertEquals(script.warnings, [line]);
  }
});

Deno.test("GuestIdentity warns about a guest once a minute, however many frames it drops", () => {
  const script = new NatScript();
  const flood = () => {
    for (let i = 0; i < 100; i++) {
      script.guestIp = parseIpv4(`192.168.1.${i}`);
      script.sendArp(ARP_REQUEST);
      script.guestMac = script.nat.mac;
      script.sendArp(ARP_REQUEST);
      script.guestMac = GUEST_MAC;
    }
  };
  flood();
  script.advance(WARN_AGAIN_MS - 1);
  flood();
  assertEquals([script.nat.counters.spoofedAddress, script.nat.counters.spoofedMac], [200, 200]);
  assertEquals(script.warnings.length, 2);
  script.advance(2);
  flood();
  assertEquals(script.warnings.length, 4);
});

Deno.test("GuestIdentity says nothing about packets from 0.0.0.0, which are dropped: the guest has no address yet", () => {
  const script = new NatScript();
  script.guestIp = 0;
  script.send({ flags: TCP_SYN, ack: 0 });
  assertEquals([drops(script), script.warnings], [{ spoofedAddress: 1 }, []]);
});

Deno.test("GuestIdentity lets a segment from another address than its flow's open nothing and disturb nothing", () => {
  const script = new NatScript(), socket = script.open();
  script.guestIp = SECOND;
  script.frame(script.segment({ flags: TCP_ACK | TCP_PSH, payload: "not of this flow" }));
  assertEquals([drops(script), textOf(socket)], [{ tcpStray: 1 }, ""]);
  script.guestIp = ADDRESS;
  script.send({ payload: "of this flow" });
  assertEquals(textOf(socket), "of this flow");
  assert(!socket.wasReset);
  script.nat.close();
});
