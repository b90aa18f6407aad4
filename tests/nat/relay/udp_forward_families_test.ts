import { assertEquals } from "@std/assert";
import { PortForwards } from "../../../forward/port_forwards.ts";
import { formatIpv4, IpAddress } from "../../../net/wire/address.ts";
import { ARP_REPLY } from "../../../net/wire/arp.ts";
import { ETHERTYPE_ARP } from "../../../net/wire/ethernet.ts";
import { PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";
import { DatagramScript } from "../../support/datagram_script.ts";
import { endpoint } from "../../support/forward_script.ts";
import { arpFrame, echoFrame, GATEWAY_IP, icmpErrorFrame, udpFrame } from "../../support/frames.ts";
import { noise } from "../../support/packet_bytes.ts";
import type { ScriptUdpSocket } from "../../support/script_datagram.ts";
import type { TranslationOptions } from "../../../nat/rules/translation_options.ts";

const AT4 = "10.0.2.2 > 10.0.2.15", AT6 = "fd00::2 > fd00::15", PORT_UNREACHABLE = { 4: [3, 3], 6: [1, 4] } as const;
/** What Linux quotes of a packet: as much as the least MTU of each family carries. */
const QUOTED = { 4: 548, 6: 1232 };

interface Sent {
  family: 4 | 6;
  /** `source > destination`. */
  way: string;
  source: string;
  packet: Uint8Array;
  payload: Uint8Array;
}

/** A guest whose server listens on some families, and refuses as Linux does on the others. */
class Scene {
  readonly script: DatagramScript;
  /** Where the guest got datagrams, and for which addresses it was asked by ARP. */
  readonly seen: string[] = [];
  listens = "";
  /** Whether it answers ARP. */
  hasIpv4 = true;
  quotes: Record<4 | 6, number> = QUOTED;
  readonly received: Uint8Array[] = [];
  socket!: ScriptUdpSocket;

  private constructor(rules: TranslationOptions) {
    this.script = new DatagramScript({ rules });
  }

  static async start(
    spoken: readonly (4 | 6)[],
    options: { spec?: string; rules?: TranslationOptions } = {},
  ): Promise<Scene> {
    const scene = new Scene(options.rules ?? {}), { script } = scene;
    for (const family of spoken) {
      const destination = family === 4 ? "10.0.2.2" : "fd00::2", source = family === 4 ? "10.0.2.15" : "fd00::15";
      script.frame(echoFrame({ identifier: 1, sequence: 1 }, new Uint8Array(0), { source, destination }));
    }
    await new PortForwards(script.host, script.nat).add(options.spec ?? "udp:[::]/5353:53");
    scene.socket = script.host.udpSockets[0]!;
    script.frames.length = 0;
    return scene;
  }

  /** A client sends a datagram. What the guest saw of it. */
  ask(payload: Uint8Array, client: string): string[] {
    this.seen.length = 0;
    this.received.length = 0;
    this.socket.hostSends(payload, endpoint(client));
    this.script.host.run();
    while (this.script.frames.length > 0) for (const { bytes } of this.script.frames.splice(0)) this.#got(bytes);
    return [...this.seen];
  }

  end(): void {
    this.socket.close();
    this.script.assertEmptyAfterClose();
  }

  #got(bytes: Uint8Array): void {
    if (bytes[12] === ETHERTYPE_ARP >>> 8 && bytes[13] === (ETHERTYPE_ARP & 0xff)) {
      const target = new DataView(bytes.buffer, bytes.byteOffset).getUint32(38);
      this.seen.push(`? ${formatIpv4(target)}`);
      if (!this.hasIpv4) return;
      return this.script.frame(arpFrame({ operation: ARP_REPLY, senderIp: target, targetIp: GATEWAY_IP }));
    }
    const sent = read(bytes);
    if (sent === null) return;
    this.seen.push(sent.way);
    if (this.listens.includes(`${sent.family}`)) this.received.push(sent.payload);
    else this.refuse(sent);
  }

  refuse({ family, source, packet }: Sent): void {
    const [type, code] = PORT_UNREACHABLE[family], quote = packet.subarray(0, this.quotes[family]);
    const from = family === 4 ? "10.0.2.15" : "fd00::15";
    this.script.frame(icmpErrorFrame({ type, code }, quote, { source: from, destination: source }));
  }
}

/** A datagram of the gateway, not in fragments. */
function read(bytes: Uint8Array): Sent | null {
  const family = bytes[14]! >>> 4 === 4 ? 4 : 6, packet = bytes.subarray(14), at = family === 4 ? 20 : 40;
  if (packet[family === 4 ? 9 : 6] !== PROTOCOL_UDP) return null;
  const text = (from: number) =>
    family === 4
      ? `${IpAddress.fromIpv4(new DataView(packet.buffer, packet.byteOffset).getUint32(from))}`
      : `${IpAddress.fromBytes(packet.subarray(from, from + 16))}`;
  const [source, destination] = family === 4 ? [text(12), text(16)] : [text(8), text(24)];
  return { family, way: `${source} > ${destination}`, source, packet, payload: packet.subarray(at + 8) };
}

Deno.test("UdpForward tries a datagram over the guest's other family if it refuses the client's, whichever it listens on", async () => {
  const table: [string, string, string[]][] = [
    ["4 and 6", "127.0.0.1:5000", [AT4]],
    ["4 and 6", "::1:5000", [AT6]],
    ["6", "127.0.0.1:5000", [AT4, AT6]],
    ["4", "::1:5000", [AT6, AT4]],
    ["", "127.0.0.1:5000", [AT4, AT6]],
    ["", "::1:5000", [AT6, AT4]],
  ];
  for (const [listens, client, ways] of table) {
    const scene = await Scene.start([4, 6]), about = `${listens} ${client}`, payload = noise(100, 7);
    scene.listens = listens;
    assertEquals(scene.ask(payload, client), ways, about);
    assertEquals(scene.received, listens === "" ? [] : [payload], about);
    const refused = ways.length - (listens === "" ? 0 : 1), { nat } = scene.script;
    assertEquals(nat.endings.refusedByGuest, refused > 0 ? 1 : 0, about);
    assertEquals(scene.script.counted, refused === 2 ? { icmpErrorSoft: 1 } : {}, about);
    assertEquals(nat.flows().length, 1, about);
    scene.end();
  }
});

Deno.test("UdpForward goes on over the family that the guest's server has, both ways, and finds one that comes later", async () => {
  const scene = await Scene.start([4, 6]), { script } = scene, client = "127.0.0.1:5000";
  assertEquals(scene.ask(noise(8, 1), client), [AT4, AT6], "nobody listens");
  assertEquals(scene.ask(noise(8, 2), client), [AT6, AT4], "nor for the next one");
  scene.listens = "6";
  assertEquals(scene.ask(noise(8, 3), client), [AT4, AT6]);
  assertEquals(scene.received, [noise(8, 3)]);
  assertEquals(scene.ask(noise(8, 4), client), [AT6], "the way is known");
  script.frame(
    udpFrame({ source: 53, destination: 5000 }, noise(9, 5), { source: "fd00::15", destination: "fd00::2" }),
  );
  assertEquals(scene.socket.sent.map(({ bytes, to }) => [bytes, `${to.address}`]), [[noise(9, 5), "127.0.0.1"]]);
  scene.listens = "4";
  assertEquals(scene.ask(noise(8, 6), client), [AT6, AT4], "a server that begins anew over the other family");
  assertEquals(scene.received, [noise(8, 6)]);
  scene.end();
});

Deno.test("UdpForward tries the next datagram over the other family if the guest does not quote the first one whole", async () => {
  const scene = await Scene.start([4, 6]), large = noise(1400, 1);
  scene.listens = "6";
  assertEquals(scene.ask(large, "127.0.0.1:5000"), [AT4]);
  assertEquals(scene.ask(large, "127.0.0.1:5000"), [AT6]);
  assertEquals(scene.received, [large]);
  const fits = await Scene.start([4, 6]);
  fits.listens = "6";
  for (const [size, ways] of [[520, [AT4, AT6]], [521, [AT4]]] as const) {
    assertEquals(fits.ask(noise(size, 2), `127.0.0.1:${size}`), [...ways], `${size} bytes`);
  }
  const empty = await Scene.start([4, 6]);
  empty.listens = "6";
  assertEquals([empty.ask(new Uint8Array(0), "127.0.0.1:5000"), empty.received], [[AT4, AT6], [new Uint8Array(0)]]);
  for (const ended of [scene, fits, empty]) ended.end();
});

Deno.test("UdpForward stays with the one family that the guest has, or that the forward names", async () => {
  const alone: [readonly (4 | 6)[], { spec?: string; rules?: TranslationOptions }, string, string[]][] = [
    [[4], {}, "127.0.0.1:5000", [AT4]],
    [[4], {}, "::1:5000", [AT4]],
    [[6], { rules: { families: "ipv6" } }, "127.0.0.1:5000", [AT6]],
    [[4, 6], { spec: "udp:5353:10.0.2.15/53" }, "127.0.0.1:5000", [AT4]],
    [[4, 6], { spec: "udp:5353:[fd00::15]/53" }, "127.0.0.1:5000", [AT6]],
  ];
  for (const [spoken, options, client, ways] of alone) {
    const scene = await Scene.start(spoken, options);
    assertEquals(scene.ask(noise(8, 1), client), ways);
    assertEquals([scene.script.counted, scene.script.nat.flows().length], [{ icmpErrorSoft: 1 }, 1]);
    scene.end();
  }
});

Deno.test("UdpForward reaches a guest over IPv4 that has only spoken over IPv6 if it answers ARP, else over IPv6 alone", async () => {
  const scene = await Scene.start([6]);
  scene.listens = "4";
  assertEquals(scene.ask(noise(8, 1), "127.0.0.1:5000"), ["? 10.0.2.15", AT6, AT4]);
  assertEquals(scene.received, [noise(8, 1)]);
  assertEquals(scene.ask(noise(8, 2), "127.0.0.1:5001"), [AT4], "it has spoken over IPv4 now");
  const without = await Scene.start([6]);
  without.hasIpv4 = false;
  assertEquals(without.ask(noise(8, 1), "127.0.0.1:5000"), ["? 10.0.2.15", AT6]);
  assertEquals(without.ask(noise(8, 2), "127.0.0.1:5001"), [AT6], "it is asked once a second");
  without.script.host.advance(1000);
  assertEquals(without.ask(noise(8, 2), "127.0.0.1:5002"), ["? 10.0.2.15", AT6]);
  for (const ended of [scene, without]) ended.end();
});

Deno.test("UdpForward takes no notice of refusals that are about nothing it sent, or cut off, or no refusal of a port", async () => {
  const scene = await Scene.start([4, 6]), { script } = scene, sent: Sent[] = [];
  scene.refuse = (refused) => void sent.push(refused);
  scene.ask(noise(8, 1), "127.0.0.1:5000");
  const [first] = sent, to = { source: "10.0.2.15", destination: "10.0.2.2" };
  const soft: [number, number][] = [[3, 0], [3, 1], [3, 2], [3, 13], [11, 0], [12, 3]];
  for (const [type, code] of soft) script.frame(icmpErrorFrame({ type, code }, first!.packet, to));
  assertEquals(script.counted, { icmpErrorSoft: soft.length });
  const other = first!.packet.slice();
  other[21]! ^= 1;
  script.frame(icmpErrorFrame({ type: 3, code: 3 }, other, to));
  for (let length = 0; length < 28; length++) {
    script.frame(icmpErrorFrame({ type: 3, code: 3 }, first!.packet.subarray(0, length), to));
  }
  assertEquals(script.counted, { icmpErrorSoft: soft.length, icmpErrorStray: 1, icmpMalformed: 28 });
  assertEquals([script.nat.flows().length, script.nat.endings.refusedByGuest], [1, 0]);
  // A length that no datagram has: nothing is sent, and the way is another one from now on.
  const short = first!.packet.slice();
  short[25] = 7;
  script.frame(icmpErrorFrame({ type: 3, code: 3 }, short, to));
  assertEquals(script.nat.endings.refusedByGuest, 1);
  assertEquals(scene.ask(noise(8, 2), "127.0.0.1:5000"), [AT6]);
  scene.end();
});

Deno.test("UdpForward leaves a client be that has no room for another flow", async () => {
  const scene = await Scene.start([4, 6]), { nat } = scene.script;
  scene.listens = "6";
  nat.quotas.refusesClient = (_use, flows) => (flows > 0 ? "flowLimit" : null);
  assertEquals(scene.ask(noise(8, 1), "127.0.0.1:5000"), [AT4]);
  assertEquals([scene.script.counted, nat.flows().length], [{ icmpErrorSoft: 1 }, 1]);
  scene.end();
});
