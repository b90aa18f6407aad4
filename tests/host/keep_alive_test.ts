import { assertEquals } from "@std/assert";
import { DenoHost } from "../../host/deno_host.ts";
import { LinuxHost } from "../../host/linux_host.ts";
import type { HostNetwork } from "../../nat/host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { HostCase } from "../support/host_cases.ts";
import { LoopbackWorld } from "../support/host_peers.ts";
import { requires } from "../support/requirements.ts";

const linux = requires("linux"), ffi = requires("linux", "ffi");

/** Which of the kernel's TCP sockets on loopback have a timer of keep-alive (proc(5): timer 02). */
async function asking(): Promise<Set<string>> {
  // Deno itself may not read this file without every permission.
  const { stdout } = await new Deno.Command("cat", { args: ["/proc/net/tcp"] }).output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n").map((line) => line.trim().split(/\s+/));
  const isAsking = (fields: string[]) => fields[1]!.startsWith("0100007F") && fields[5]!.startsWith("02:");
  return new Set(lines.filter(isAsking).map((fields) => `${fields[1]} ${fields[2]}`));
}

async function assertAsks(host: HostNetwork): Promise<void> {
  const before = await asking(), test = new HostCase(new LoopbackWorld(host));
  const [owner, peer] = await test.pair();
  assertEquals((await asking()).difference(before).size, 1);
  owner.close();
  peer.close();
}

Deno.test({
  name: `LinuxHost has the kernel ask a silent peer whether it is there${ffi.reason}`,
  ignore: ffi.ignore,
  fn: async () => {
    await using loop = new EventLoop();
    loop.start();
    await using host = new LinuxHost(loop);
    await assertAsks(host);
  },
});

Deno.test({
  name: `DenoHost has the kernel ask a silent peer whether it is there${linux.reason}`,
  ignore: linux.ignore,
  fn: async () => {
    await using host = new DenoHost();
    await assertAsks(host);
  },
});
