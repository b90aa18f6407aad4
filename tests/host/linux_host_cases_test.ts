import { LinuxHost } from "../../host/linux_host.ts";
import type { HostNetwork } from "../../nat/host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { FilteredHost, PASS_ALL } from "../support/filters.ts";
import { hostCases } from "../support/host_cases.ts";
import { LoopbackWorld } from "../support/host_peers.ts";
import { requires } from "../support/requirements.ts";

hostCases("LinuxHost", () => worldOf((host) => host), { resets: true, udpErrors: true, needs: requires("ffi") });

hostCases("LinuxHost behind a filter", () => worldOf((host) => new FilteredHost(host, { judge: PASS_ALL })), {
  resets: true,
  udpErrors: true,
  needs: requires("ffi"),
});

/** Peers of a Linux host, or of what is put before it. */
function worldOf(before: (host: LinuxHost) => HostNetwork): LoopbackWorld {
  const loop = new EventLoop();
  loop.start();
  return new LoopbackWorld(before(new LinuxHost(loop)), () => loop[Symbol.asyncDispose]());
}
