import { assertEquals } from "@std/assert";
import type { FlowKey } from "../../nat/flow/flow_key.ts";
import { fixedIpv6Routes } from "../../nat/host.ts";
import type { Path } from "../../nat/ip/path.ts";
import { IpAddress } from "../../net/wire/address.ts";
import {
  encodeTcp,
  TCP_ACK,
  TCP_RST,
  TCP_SYN,
  tcpDestinationPort,
  tcpFlags,
  TcpHeader,
  tcpSeq,
  tcpSourcePort,
} from "../../net/wire/tcp.ts";
import { ForwardScript } from "../support/forward_script.ts";
import type { ScriptTcpSocket } from "../support/script_host.ts";

/** On which families the guest's server listens, and over which it has spoken. */
interface Surroundings {
  listens: string;
  spoken: string;
}

/** A gateway whose guest answers each SYN at once, as its server and its addresses make it. */
class TwoFamilies {
  /** How the guest was asked: `client > guest`. */
  readonly asked: string[] = [];

  private constructor(readonly script: ForwardScript, readonly surroundings: Surroundings) {}

  static async start(surroundings: Surroundings, spec = "tcp:[::]/8080:80"): Promise<TwoFamilies> {
    const script = await ForwardScript.start(spec, { silent: true, maxFlows: 64 });
    Object.assign(script.nat, { ipv6Routes: fixedIpv6Routes(true) });
    const scene = new TwoFamilies(script, surroundings), addresses = { 4: "10.0.2.15", 6: "fd00::77" };
    script.guest.address = (family) =>
      surroundings.spoken.includes(`${family}`) ? IpAddress.parse(addresses[family]) : null;
    script.guest.path = (key) => scene.#path(key.clone());
    return scene;
  }

  /** A client comes; what it hears: `accepted`, `reset` or `waits`. */
  visit(client: string): { heard: string; socket: ScriptTcpSocket } {
    const socket = this.script.connect(client), { nat } = this.script;
    const isOpen = nat.flows().some(({ host, state }) => host.endsWith(":5000") && state === "ESTABLISHED");
    return { heard: socket.wasReset ? "reset" : isOpen ? "accepted" : "waits", socket };
  }

  end(): void {
    this.script.nat.close();
    this.script.assertEmpty();
  }

  #path(key: FlowKey): Path {
    return {
      family: key.family,
      maxSegmentSize: 1440,
      maxBurst: 1440,
      transmit: (bytes, start) => this.#arrived(key, bytes, start),
      udp: () => {
        this.asked.push(`${key.remoteAddress} > ${key.guestAddress}`);
        return true;
      },
      echoReply() {},
      error: () => false,
      ask() {},
    };
  }

  #arrived(key: FlowKey, bytes: Uint8Array, start: number): void {
    if (tcpFlags(bytes, start) !== TCP_SYN) return;
    this.asked.push(`${key.remoteAddress} > ${key.guestAddress}`);
    const header = new TcpHeader(), answer = new Uint8Array(64);
    header.sourcePort = tcpDestinationPort(bytes, start);
    header.destinationPort = tcpSourcePort(bytes, start);
    header.ack = (tcpSeq(bytes, start) + 1) >>> 0;
    header.window = 1000;
    header.flags = this.surroundings.listens.includes(`${key.family}`) ? TCP_SYN | TCP_ACK : TCP_RST | TCP_ACK;
    const end = encodeTcp(answer, 0, header), { nat } = this.script;
    nat.due({ endTurn: () => nat.tcpFlow(key)?.endpoint.segmentArrived(answer, 0, end) });
  }
}

const AT4 = "10.0.2.2 > 10.0.2.15", AT6 = "fd00::2 > fd00::77";

/** Where the server listens, which families the guest has spoken over, the client, what it hears, how it got there. */
const TABLE: [string, string, string, string, string[]][] = [
  ["4 and 6", "4 and 6", "127.0.0.1", "accepted", [AT4]],
  ["4 and 6", "4 and 6", "::1", "accepted", [AT6]],
  ["4", "4 and 6", "127.0.0.1", "accepted", [AT4]],
  ["4", "4 and 6", "::1", "accepted", [AT6, AT4]],
  ["6", "4 and 6", "127.0.0.1", "accepted", [AT4, AT6]],
  ["6", "4 and 6", "::1", "accepted", [AT6]],
  ["", "4 and 6", "127.0.0.1", "reset", [AT4, AT6]],
  ["", "4 and 6", "::1", "reset", [AT6, AT4]],
  ["4 and 6", "4", "::1", "accepted", [AT4]],
  ["4 and 6", "6", "127.0.0.1", "accepted", [AT6]],
  ["", "4", "::1", "reset", [AT4]],
  ["", "6", "127.0.0.1", "reset", [AT6]],
  ["6", "4", "127.0.0.1", "reset", [AT4]],
  ["4", "", "::1", "accepted", [AT4]],
];

Deno.test("Forwards try the guest's other family if it refuses the client's, before the client hears anything", async () => {
  for (const [listens, spoken, client, heard, asked] of TABLE) {
    const scene = await TwoFamilies.start({ listens, spoken }), about = `${listens}, ${spoken}, ${client}`;
    assertEquals([scene.visit(`${client}:5000`).heard, scene.asked], [heard, asked], about);
    const refused = scene.script.nat.endings.refusedByGuest;
    assertEquals(refused, asked.length - (heard === "accepted" ? 1 : 0), about);
    scene.end();
  }
});

Deno.test("Forwards carry bytes of a client whose first family was refused, and none are lost", async () => {
  const scene = await TwoFamilies.start({ listens: "6", spoken: "4 and 6" }), { script } = scene;
  const socket = script.listener().clientConnects({ address: IpAddress.parse("127.0.0.1"), port: 5000 });
  socket.hostSends("early");
  script.host.run();
  assertEquals(scene.asked, [AT4, AT6]);
  assertEquals([socket.unreadLength, socket.closed, script.nat.flows().length], [0, false, 1]);
  assertEquals(script.nat.flows()[0]!.bytesFromHost, 5);
  scene.end();
});

Deno.test("Forwards try no other family for a client that has given up, or where the flow ends otherwise", async () => {
  const scene = await TwoFamilies.start({ listens: "none", spoken: "4 and 6" }), { script } = scene;
  scene.surroundings.listens = "";
  script.guest.path = () => ({ ...silentPath, family: 4 });
  const socket = script.connect("127.0.0.1:5000");
  socket.hostResets();
  script.host.run();
  assertEquals([script.nat.flows(), script.nat.endings.refusedByGuest], [[], 0]);
  const waiting = script.connect("127.0.0.1:5001");
  script.nat.detach(script.guest);
  script.host.run();
  assertEquals(waiting.closed, true);
  scene.end();
});

const silentPath: Omit<Path, "family"> = {
  maxSegmentSize: 1440,
  maxBurst: 1440,
  transmit() {},
  udp: () => true,
  echoReply() {},
  error: () => false,
  ask() {},
};

Deno.test("Forwards ask a guest that has spoken over IPv6 alone whether it has IPv4, and try that if it refuses the client", async () => {
  const visit = async (spoken: string, answers: boolean, spec?: string) => {
    const scene = await TwoFamilies.start({ listens: "4", spoken }, spec), inquired: string[] = [];
    scene.script.guest.inquire = (address) => {
      inquired.push(`${address}`);
      if (answers) scene.surroundings.spoken += " and 4";
    };
    const { heard } = scene.visit("127.0.0.1:5000");
    scene.end();
    return [heard, inquired.join(), scene.asked.join()];
  };
  assertEquals(await visit("6", true), ["accepted", "10.0.2.15", `${AT6},${AT4}`]);
  assertEquals(await visit("6", false), ["reset", "10.0.2.15", AT6]);
  assertEquals(await visit("4 and 6", false), ["accepted", "", AT4], "there is nothing to ask");
  assertEquals(await visit("", false), ["accepted", "", AT4], "the client's SYN waits for the answer to ARP");
  assertEquals(await visit("6", true, "tcp:[::]/8080:[fd00::77]/80"), ["reset", "", AT6], "it is reached there alone");
});

Deno.test("Forwards that name an address reach that alone, over its family", async () => {
  const named: [string, string][] = [
    ["tcp:[::]/8080:[fd00::20]/80", "fd00::2 > fd00::20"],
    ["tcp:[::]/8080:10.0.2.20/80", "10.0.2.2 > 10.0.2.20"],
    ["tcp:[::]/8080:[fe80::20]/80", "fe80::2 > fe80::20"],
  ];
  for (const [spec, asked] of named) {
    for (const client of ["127.0.0.1:5000", "::1:5000"]) {
      const scene = await TwoFamilies.start({ listens: "", spoken: "4 and 6" }, spec);
      assertEquals([scene.visit(client).heard, scene.asked], ["reset", [asked]], spec);
      scene.end();
    }
  }
});

Deno.test("Forwards ask a guest that has only spoken from a link-local address whether it has that of DHCP", async () => {
  const asked = async (spec: string | string[], speaks: string, knows = speaks, later: string[] = []) => {
    const script = await ForwardScript.start(spec, { silent: true }), probed: string[] = [];
    script.guest.probe = (address) => void probed.push(`${address}`);
    script.guest.address = (family) => (family === 6 ? IpAddress.parse(knows) : null);
    script.nat.forwards.heard(script.guest, IpAddress.parse(speaks));
    await script.forwards.add(later);
    script.nat.close();
    return probed.join(" ");
  };
  assertEquals(await asked("tcp:8080:80", "fe80::77"), "fd00::15");
  assertEquals(await asked([], "fe80::77", "fe80::77", ["udp:8080:80"]), "fd00::15", "when a forward needs it");
  assertEquals(await asked("tcp:8080:80", "fd00::77"), "");
  assertEquals(await asked("tcp:8080:80", "fe80::77", "fd00::77"), "", "it has spoken from one of the subnet before");
  assertEquals(await asked("tcp:8080:[fd00::20]/80", "fe80::77"), "", "nobody needs it");
});

Deno.test("Forwards show the guest a client's own address over its own family alone", async () => {
  const seen: [string, string][] = [
    ["2001:db8::7", "2001:db8::7 > fd00::77"],
    ["192.0.2.7", "192.0.2.7 > 10.0.2.15"],
    ["fd00::9", AT6],
    ["fe80::9", AT6],
    ["::1", AT6],
    ["10.0.2.9", AT4],
  ];
  for (const [client, asked] of seen) {
    const scene = await TwoFamilies.start({ listens: "4 and 6", spoken: "4 and 6" });
    scene.visit(`${client}:5000`);
    assertEquals(scene.asked, [asked], client);
    scene.end();
  }
  const crossing = await TwoFamilies.start({ listens: "4 and 6", spoken: "4" });
  crossing.visit("2001:db8::7:5000");
  assertEquals(crossing.asked, [AT4]);
  crossing.end();
});

Deno.test("Forwards show a guest without a way beyond the gateway that alone, and NAT64 is such a way", async () => {
  const seen = async (nat64: boolean, client: string) => {
    const scene = await TwoFamilies.start({ listens: "4 and 6", spoken: "4 and 6" }), { nat } = scene.script;
    Object.assign(nat, { ipv6Routes: fixedIpv6Routes(false), rules: { ...nat.rules, nat64 } });
    scene.visit(`${client}:5000`);
    scene.end();
    return scene.asked.join();
  };
  assertEquals(await seen(false, "2001:db8::7"), AT6);
  assertEquals(await seen(true, "2001:db8::7"), "2001:db8::7 > fd00::77");
  assertEquals(await seen(false, "192.0.2.7"), "192.0.2.7 > 10.0.2.15");
});

Deno.test("Forwards of UDP go over the client's family if the guest has spoken over it, else over the other", async () => {
  const ways: [string, string, string][] = [
    ["4 and 6", "127.0.0.1:7", AT4],
    ["4 and 6", "::1:7", AT6],
    ["4", "::1:7", AT4],
    ["6", "127.0.0.1:7", AT6],
    ["", "::1:7", AT4],
  ];
  for (const [spoken, client, asked] of ways) {
    const scene = await TwoFamilies.start({ listens: "", spoken }, "udp:[::]/8080:80");
    scene.script.clientSends("hello", client);
    assertEquals(scene.asked, [asked], `${spoken} ${client}`);
    scene.end();
  }
});
