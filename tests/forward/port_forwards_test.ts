import { assertEquals, assertRejects } from "@std/assert";
import type { HostListenError } from "../../nat/host.ts";
import { ForwardScript } from "../support/forward_script.ts";

Deno.test("PortForwards.add listens on every port of its specs and tells where, in their order", async () => {
  const script = new ForwardScript();
  const forwards = await script.forwards.add(["tcp:8000-8001:90-91", "udp:[::1]/0:53", "tcp:0:10.0.2.20/22"]);
  assertEquals(forwards.map(String), [
    "tcp 127.0.0.1:8000 -> 90",
    "tcp 127.0.0.1:8001 -> 91",
    "udp [::1]:50000 -> 53",
    "tcp 127.0.0.1:50001 -> 10.0.2.20:22",
  ]);
  assertEquals(forwards.map(({ protocol, host, hostPort, guest }) => [protocol, host, hostPort, guest])[2], [
    "udp",
    "[::1]:50000",
    50000,
    "53",
  ]);
  assertEquals(script.forwards.list(), forwards);
  await script.forwards.close();
  assertEquals(script.forwards.list(), []);
  await assertRejects(() => script.forwards.add("tcp:80"), Deno.errors.BadResource, "the gateway is closed");
});

Deno.test("PortForwards.add binds nothing where one port cannot be had, and names that port and why", async () => {
  const failures: [HostListenError, new (message: string) => Error, string][] = [
    ["addressInUse", Deno.errors.AddrInUse, "port 81 of 127.0.0.1 is in use already"],
    ["privileged", Deno.errors.PermissionDenied, "port 81 is for privileged users alone here, take one from 1024 on"],
    ["addressNotAvailable", Deno.errors.AddrNotAvailable, "no interface of this host has the address 127.0.0.1"],
    ["notPermitted", Deno.errors.NotCapable, "the permission is missing, run with --allow-net=127.0.0.1:81"],
    ["exhausted", Error, "the host has no descriptor, port or memory left"],
    ["other", Error, "the host cannot listen on port 81"],
  ];
  for (const [error, kind, text] of failures) {
    const script = new ForwardScript();
    script.host.listenErrors.set(81, error);
    for (const protocol of ["tcp", "udp"]) {
      const add = () => script.forwards.add(["tcp:80", "udp:80", `${protocol}:81:8081`, "tcp:82"]);
      await assertRejects(add, kind, `Cannot forward ${protocol} 127.0.0.1:81 -> 8081: ${text}`);
    }
    assertEquals(script.host.listeners.map(({ closed }) => closed), [true, true]);
    assertEquals(script.host.udpSockets.map(({ closed }) => closed), [true, true]);
    assertEquals(script.forwards.list(), []);
    // All of it can be had again.
    await script.forwards.add(["tcp:80", "udp:80"]);
  }
});

Deno.test("PortForwards.add refuses overlaps, with each other and with what is live, before it binds anything", async () => {
  const script = new ForwardScript();
  await assertRejects(
    () => script.forwards.add(["tcp:80", "tcp:0.0.0.0/80:81"]),
    RangeError,
    "Cannot forward ports: tcp 0.0.0.0:80 -> 81 overlaps tcp 127.0.0.1:80 -> 80",
  );
  assertEquals(script.host.listeners, []);
  const [first] = await script.forwards.add("tcp:80");
  await assertRejects(() => script.forwards.add("tcp:79-81"), RangeError, "overlaps tcp 127.0.0.1:80 -> 80");
  assertEquals(script.host.listeners.length, 1);
  await first![Symbol.asyncDispose]();
  assertEquals((await script.forwards.add("tcp:79-81")).length, 3);
});

Deno.test("PortForwards.add takes forwards while others run, and each can be removed by itself", async () => {
  const script = await ForwardScript.start("tcp:80");
  const [added] = await script.forwards.add("udp:80");
  assertEquals(script.forwards.list().map(String), ["tcp 127.0.0.1:80 -> 80", "udp 127.0.0.1:80 -> 80"]);
  await script.live[0]!.remove();
  assertEquals(script.forwards.list(), [added]);
  assertEquals([script.listener().closed, script.udpSocket().closed], [true, false]);
});

Deno.test("PortForwards.add leaves out ports of all that cannot be had, and fails only if there is none", async () => {
  const script = new ForwardScript();
  script.host.listenErrors.set(81, "addressInUse").set(82, "privileged");
  const forwards = await script.forwards.add("tcp:all,~1-79,~84-65535");
  assertEquals(forwards.map(({ hostPort, isOptional }) => [hostPort, isOptional]), [[80, true], [83, true]]);
  await assertRejects(() => script.forwards.add("tcp:~1-80,~82-65535"), Deno.errors.AddrInUse, "port 81");
  assertEquals(script.forwards.list(), forwards);
});

Deno.test("PortForwards.add names the interface that is not there", async () => {
  const script = new ForwardScript();
  script.host.listenErrors.set(80, "deviceNotAvailable");
  const add = () => script.forwards.add("tcp:0.0.0.0%eth7/80");
  await assertRejects(add, Deno.errors.NotSupported, "there is no interface eth7");
});

Deno.test("PortForwards.add gives all the ports that no forward names, and fails where the host has nothing left", async () => {
  const script = new ForwardScript();
  const forwards = await script.forwards.add(["tcp:all,~1-79,~82-65535", "tcp:80:8080"]);
  assertEquals(forwards.map(String), ["tcp 127.0.0.1:81 -> 81", "tcp 127.0.0.1:80 -> 8080"]);
  for (const error of ["exhausted", "addressNotAvailable", "notPermitted", "other"] as const) {
    script.host.listenErrors.set(83, error);
    await assertRejects(() => script.forwards.add("tcp:all,~1-81,~85-65535"), Error, "Cannot forward tcp 127.0.0.1:83");
    assertEquals(script.forwards.list().length, 2);
  }
  script.host.listenErrors.set(83, "exhausted");
  await assertRejects(() => script.forwards.add("tcp:all,~1-82"), Error, "all takes a descriptor a port");
});
