import { assertEquals } from "@std/assert";
import { AutoOutward } from "../../cli/lead_outward.ts";
import { parseOutward } from "../../cli/outward_ports.ts";
import type { Listening } from "../../forward/loopback_door.ts";
import { HostPorts } from "../../nat/rules/host_ports.ts";
import { createTranslationRules } from "../../nat/rules/translation_options.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";

/** Ports that follow what the test says that the host listens on. */
class Script {
  readonly hostPorts = new HostPorts();
  readonly lines: string[] = [];
  readonly outward: AutoOutward;
  /** What is led now, with the port of the gateway. */
  readonly led: string[] = [];
  /** Ports that are taken in the namespace: of IPv4, or of IPv6 alone. */
  taken4: number[] = [];
  taken6: number[] = [];
  /** Ports of Hawser's own forwards. */
  forwarded: number[] = [];
  now = 0;
  #listens: Listening[] = [];

  constructor(specs: string[]) {
    const read = specs.map((spec) => parseOutward(...spec.split(/:(.*)/s) as ["tcp", string]));
    this.outward = new AutoOutward({
      door: {
        lead: ({ protocol, address, port, gateway, gatewayPort }) => {
          const name = `${protocol} ${address} ${port} > ${gateway} ${gatewayPort}`;
          const isTaken = (address.isIpv4 ? this.taken4 : this.taken6).includes(port);
          if (!isTaken) this.led.push(name);
          const close = () => void (this.led.includes(name) && this.led.splice(this.led.indexOf(name), 1));
          return { begins: isTaken ? Promise.reject(new Error(`${port} is taken`)) : Promise.resolve(port), close };
        },
      },
      segments: createTranslationRules(),
      gateway: { hostPorts: this.hostPorts, forwards: { covers: ({ port }) => this.forwarded.includes(port) } },
      logger: { info: (line) => this.lines.push(line), warn: (line) => this.lines.push(line), debug() {} },
      source: { read: () => this.#listens },
      auto: read.flatMap(({ auto }) => auto),
      named: read.flatMap(({ named }) => named),
      now: () => this.now,
    });
  }

  /** Looks, and waits until what that began is done: what is led of IPv4, as ports. */
  async look(...listens: string[]): Promise<string[]> {
    this.#listens = listens.map((text) => {
      const [protocol, address, port] = text.split(" ");
      return { protocol: protocol as "tcp", address: IpAddress.parse(address!), port: Number(port) };
    });
    this.outward.look();
    await this.outward.settled(1000);
    return this.led.filter((name) => name.includes(" 127.0.0.1 ")).map((name) => name.split(" ")[2]!).toSorted();
  }

  isOpen(port: number, protocol = PROTOCOL_TCP): boolean {
    return this.hostPorts.isOpen({ protocol, port });
  }
}

Deno.test("AutoOutward leads what listens on the host's loopback or on all addresses, while it listens, and no more", async () => {
  const script = new Script(["tcp:auto,~22", "udp:auto"]);
  const all = ["tcp 127.0.0.1 80", "tcp :: 81", "tcp 0.0.0.0 82", "tcp ::1 83", "tcp ::1 80"];
  const others = ["tcp 127.0.0.53 84", "tcp 192.0.2.1 85", "tcp 0.0.0.0 22"];
  assertEquals(await script.look(...all, ...others), ["80", "81", "82", "83"]);
  assertEquals(script.led.slice(0, 2), ["tcp 127.0.0.1 80 > 10.0.2.2 80", "tcp ::1 80 > 10.0.2.2 80"]);
  assertEquals([80, 84, 85, 22].map((port) => script.isOpen(port)), [true, false, false, false]);
  assertEquals(await script.look("udp 127.0.0.1 53", "tcp :: 81"), ["53", "81"]);
  assertEquals([script.isOpen(80), script.isOpen(53), script.isOpen(53, PROTOCOL_UDP)], [false, false, true]);
  script.outward.close();
  assertEquals([script.led, script.isOpen(81)], [[], false]);
});

Deno.test("AutoOutward leaves Hawser's own forwards alone, and ports that are named, which stay open", async () => {
  const script = new Script(["tcp:auto,5432:8080"]);
  script.hostPorts.open("tcp:8080");
  script.forwarded = [3000];
  assertEquals(await script.look("tcp :: 3000", "tcp :: 5432", "tcp :: 8080"), ["8080"]);
  assertEquals([3000, 5432, 8080].map((port) => script.isOpen(port)), [false, false, true]);
  assertEquals(await script.look(), []);
  assertEquals(script.isOpen(8080), true);
});

Deno.test("AutoOutward tries a port again that is taken in the namespace, tells it once, and does without IPv6", async () => {
  const script = new Script(["tcp:auto"]);
  script.taken4 = [80];
  script.taken6 = [81];
  assertEquals(await script.look("tcp :: 80", "tcp :: 81"), ["81"]);
  assertEquals([script.led, script.isOpen(80)], [["tcp 127.0.0.1 81 > 10.0.2.2 81"], false]);
  script.now = 1000;
  assertEquals(await script.look("tcp :: 80", "tcp :: 81"), ["81"]);
  script.taken4 = [];
  script.now = 1999;
  assertEquals(await script.look("tcp :: 80", "tcp :: 81"), ["81"]);
  script.now = 2000;
  assertEquals(await script.look("tcp :: 80", "tcp :: 81"), ["80", "81"]);
  assertEquals(
    script.lines,
    [
      "80 is taken; it is tried again while somebody listens on the host's",
      "Leading tcp 81 of the namespace's loopback to the host's",
      "Leading tcp 80 of the namespace's loopback to the host's",
    ].toSorted((a, b) => script.lines.indexOf(a) - script.lines.indexOf(b)),
  );
});

Deno.test("AutoOutward leads 1,024 ports and no more, and says so once", async () => {
  const script = new Script(["tcp:auto"]), listens = Array.from({ length: 1030 }, (_, i) => `tcp :: ${1000 + i}`);
  assertEquals((await script.look(...listens)).length, 1024);
  await script.look(...listens);
  assertEquals(script.lines.filter((line) => line.startsWith("1024 ports lead to the host's")).length, 1);
  assertEquals((await script.look(...listens.slice(6))).length, 1024);
});
