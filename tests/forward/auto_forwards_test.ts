import { assertEquals } from "@std/assert";
import { AutoForwards } from "../../forward/auto_forwards.ts";
import type { Listening, LoopbackDoor } from "../../forward/loopback_door.ts";
import { type ForwardProtocol, parsePortRequest } from "../../forward/port_spec.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { ForwardScript } from "../support/forward_script.ts";

/** Forwards of a scripted gateway that follow what `listens` has. */
class Script {
  readonly gateway = new ForwardScript();
  readonly warnings: string[] = [];
  readonly added: string[] = [];
  readonly opened: string[] = [];
  readonly closed: string[] = [];
  readonly auto: AutoForwards;
  listens: Listening[] = [];
  now = 0;
  /** What the door answers; it has none of its own unless told. */
  door: () => Promise<number> = () => Promise.reject(new Error("it is shut"));
  ownPort = 0;

  constructor(specs: readonly string[], hasDoor = true) {
    const name = ({ protocol, address, port }: Listening) => `${protocol} ${address} ${port}`;
    const door: LoopbackDoor = {
      open: (listening) => {
        this.opened.push(name(listening));
        return { begins: this.door(), close: () => void this.closed.push(name(listening)) };
      },
      isOwn: ({ port }) => port === this.ownPort,
    };
    this.auto = new AutoForwards({
      forwards: this.gateway.forwards,
      source: { read: () => this.listens },
      ports: specs.map((spec) => {
        const [protocol, text] = spec.split(/:(.*)/s);
        return parsePortRequest(protocol as ForwardProtocol, text!).auto!;
      }),
      door: hasDoor ? door : undefined,
      logger: { info() {}, warn: (line) => void this.warnings.push(line) },
      added: (forward) => void this.added.push(`${forward}`),
      now: () => this.now,
    });
  }

  /** Looks, and waits until what that began is done. */
  async look(...listens: string[]): Promise<string[]> {
    this.listens = listens.map((text) => {
      const [protocol, address, port] = text.split(" ");
      return { protocol: protocol as ForwardProtocol, address: IpAddress.parse(address!), port: Number(port) };
    });
    this.auto.look();
    await new Promise((resolve) => setTimeout(resolve, 0));
    return this.gateway.forwards.list().map(String);
  }
}

Deno.test("AutoForwards forwards what listens, while it listens, and nothing that is left out", async () => {
  const script = new Script(["tcp:auto,~22", "udp:[::1]/auto"]);
  assertEquals(await script.look(), []);
  const both = ["tcp 127.0.0.1:3000 -> 3000", "udp [::1]:53 -> 53"];
  assertEquals(await script.look("tcp :: 3000", "tcp 0.0.0.0 3000", "tcp 0.0.0.0 22", "udp 0.0.0.0 53"), both);
  assertEquals(await script.look("tcp :: 3000", "udp 10.0.2.15 53"), both);
  assertEquals(await script.look("udp :: 53"), both.slice(1));
  assertEquals(await script.look("tcp 0.0.0.0 3000"), both.slice(0, 1));
  assertEquals(script.added, [...both, both[0]]);
  await script.auto[Symbol.asyncDispose]();
  assertEquals(script.gateway.forwards.list(), []);
  assertEquals(script.warnings, []);
});

Deno.test("AutoForwards tells once that the host does not give a port, and tries again each second", async () => {
  const script = new Script(["tcp:auto"]), { listenErrors } = script.gateway.host;
  listenErrors.set(80, "privileged").set(81, "addressInUse");
  assertEquals(await script.look("tcp :: 80", "tcp :: 81", "tcp :: 82"), ["tcp 127.0.0.1:82 -> 82"]);
  assertEquals(script.warnings.map((line) => line.replace(/:.*; /, ": …; ")), [
    "Cannot forward tcp 127.0.0.1: …; it is tried again while somebody listens there",
    "Cannot forward tcp 127.0.0.1: …; it is tried again while somebody listens there",
  ]);
  listenErrors.delete(81);
  script.now = 999;
  assertEquals((await script.look("tcp :: 80", "tcp :: 81", "tcp :: 82")).length, 1);
  script.now = 1000;
  assertEquals(await script.look("tcp :: 80", "tcp :: 81", "tcp :: 82"), [
    "tcp 127.0.0.1:82 -> 82",
    "tcp 127.0.0.1:81 -> 81",
  ]);
  assertEquals(script.warnings.length, 2);
});

Deno.test("AutoForwards leads to loopback by the door, and never from further than the host's loopback", async () => {
  const script = new Script(["tcp:[::]/auto", "udp:auto", "tcp:192.0.2.1/auto,~3000-9999"]);
  script.door = () => Promise.resolve(40000);
  script.ownPort = 40000;
  assertEquals((await script.look("tcp ::1 3000", "tcp 0.0.0.0 40000", "tcp 127.0.0.1 80")).sort(), [
    "tcp 127.0.0.1:3000 -> 40000",
    "tcp 127.0.0.1:80 -> 40000",
    "tcp [::1]:3000 -> 40000",
    "tcp [::1]:80 -> 40000",
  ]);
  // Now it can be reached without a door.
  assertEquals(await script.look("tcp 127.0.0.1 3000", "tcp 0.0.0.0 3000"), ["tcp [::]:3000 -> 3000"]);
  assertEquals([script.opened, script.closed], [["tcp ::1 3000", "tcp 127.0.0.1 80"], [
    "tcp ::1 3000",
    "tcp 127.0.0.1 80",
  ]]);
  assertEquals(await script.look("udp 127.0.0.53 53"), ["udp 127.0.0.1:53 -> 40000"]);
});

Deno.test("AutoForwards says what it cannot reach, and takes back what a slow door opens too late", async () => {
  const none = new Script(["tcp:auto"], false);
  assertEquals(await none.look("tcp ::1 3000"), []);
  assertEquals(none.warnings, [
    "Cannot forward tcp 3000: it listens on [::1]:3000 alone, let it listen on 0.0.0.0 or [::]; it is tried again " +
    "while somebody listens there",
  ]);
  const script = new Script(["tcp:auto"]), late = Promise.withResolvers<number>();
  assertEquals(await script.look("tcp 127.0.0.1 3000"), []);
  assertEquals(script.warnings.map((line) => line.split(";")[0]), [
    "Cannot forward tcp 3000: it listens on 127.0.0.1:3000 alone, and there is no way to it: it is shut",
  ]);
  script.door = () => late.promise;
  await script.look();
  await script.look("tcp 127.0.0.1 3000");
  await script.look();
  late.resolve(40000);
  assertEquals(await script.look(), []);
  assertEquals(script.closed, ["tcp 127.0.0.1 3000", "tcp 127.0.0.1 3000"]);
});

Deno.test("AutoForwards on every address of IPv4 opens loopback of IPv4 alone, and by another interface none", async () => {
  const script = new Script(["tcp:0.0.0.0/auto,~90", "tcp:[::]%eth0/auto", "tcp:[::1]%lo/auto,~80"]);
  script.door = () => Promise.resolve(40000);
  assertEquals(await script.look("tcp 127.0.0.1 80"), ["tcp 127.0.0.1:80 -> 40000"]);
  assertEquals(await script.look("tcp 127.0.0.1 90"), ["tcp [::1]:90 by lo -> 40000"]);
  assertEquals(script.warnings, []);
});

Deno.test("AutoForwards keeps a way while somebody listens there, in whatever order they are told", async () => {
  const script = new Script(["tcp:auto"]);
  script.door = () => Promise.resolve(40000);
  await script.look("tcp ::1 80");
  await script.look("tcp 127.0.0.1 80", "tcp ::1 80");
  await script.look("tcp ::1 80", "tcp 127.0.0.1 80");
  assertEquals([script.opened, script.closed], [["tcp ::1 80"], []]);
  await script.look("tcp 127.0.0.1 80");
  assertEquals([script.opened, script.closed], [["tcp ::1 80", "tcp 127.0.0.1 80"], ["tcp ::1 80"]]);
  assertEquals(script.warnings, []);
});

Deno.test("AutoForwards leaves a port to the forward that names it, without a word", async () => {
  const script = new Script(["tcp:auto", "tcp:[::]/auto"]);
  await script.gateway.forwards.add("tcp:80:8080");
  assertEquals(await script.look("tcp :: 80", "tcp :: 81"), ["tcp 127.0.0.1:80 -> 8080", "tcp 127.0.0.1:81 -> 81"]);
  assertEquals(script.warnings, []);
});

Deno.test("AutoForwards binds a port anew only after it was given back", async () => {
  const script = new Script(["tcp:auto"]);
  await script.look("tcp :: 80");
  script.listens = [];
  script.auto.look();
  assertEquals(await script.look("tcp :: 80"), ["tcp 127.0.0.1:80 -> 80"]);
  assertEquals(script.gateway.host.listeners.map(({ closed }) => closed), [true, false]);
  assertEquals(script.warnings, []);
});

Deno.test("AutoForwards warns once of a port that fails on two addresses, and once a minute of one that comes and goes", async () => {
  const script = new Script(["tcp:auto", "tcp:127.0.0.2/auto"]);
  script.gateway.host.listenErrors.set(80, "addressInUse");
  for (script.now = 0; script.now < 60_000; script.now += 5000) {
    await script.look("tcp :: 80");
    script.now += 5000;
    await script.look("tcp :: 80");
    await script.look();
  }
  assertEquals(script.warnings.length, 2);
  script.now = 70_000;
  await script.look("tcp :: 80");
  assertEquals(script.warnings.length, 4);
});

Deno.test("AutoForwards follows 4,096 ports and no more, says so once, and takes another when one has gone", async () => {
  const script = new Script(["tcp:auto"]);
  const ports = Array.from({ length: 4150 }, (_, i) => `tcp :: ${1000 + i}`);
  assertEquals((await script.look(...ports)).length, 4096);
  assertEquals(script.warnings, ["4096 ports are forwarded because something listens there, others are not"]);
  assertEquals((await script.look(...ports.slice(1))).length, 4096);
  assertEquals((await script.look(...ports.slice(60))).length, 4090);
  assertEquals(script.warnings.length, 1);
});
