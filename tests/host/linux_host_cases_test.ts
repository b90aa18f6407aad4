import { LinuxHost } from "../../host/linux_host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { hostCases } from "../support/host_cases.ts";
import { LoopbackWorld } from "../support/host_peers.ts";
import { requires } from "../support/requirements.ts";

hostCases(
  "LinuxHost",
  () => {
    const loop = new EventLoop();
    loop.start();
    return new LoopbackWorld(new LinuxHost(loop), () => loop[Symbol.asyncDispose]());
  },
  { resets: true, udpErrors: true, needs: requires("ffi") },
);
