/**
 * A gateway on the host of `host_network_test.ts`, in a program of its own, with a guest's kernel in a namespace: it
 * starts with the options in the first word and does what the test asks (`program.ts`). The guest's interface is there
 * and up, without an address of IPv4.
 *
 * @module
 */
import { Gateway, type GatewayOptions } from "../../mod.ts";
import { tapLink } from "../../net/link/tap.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { readHostConnection } from "../../net/linux/host_network.ts";
import { TapGuest } from "../support/tap_guest.ts";
import { answerCalls } from "./program.ts";

const options: GatewayOptions = JSON.parse(Deno.args[0]!), loop = EventLoop.shared(), warnings: string[] = [];
const logger = { debug() {}, info() {}, warn: (line: string) => void warnings.push(line), error() {} };
await using guest = await TapGuest.start();
await using gateway = await Gateway.start({ host: "ffi", dns: "none", logger, ...options });
gateway.attach(tapLink({ loop, fd: guest.takeTun(), name: "eth0", mtu: 1500 }));
await guest.run("exec 9>&-; ip link set lo up; ip link set eth0 mtu 1500 up");

await answerCalls({
  /** A line of bash in the guest, and what it wrote. */
  guest: (line: string) => guest.run(line),
  /** How the host is connected. */
  connection: () => readHostConnection() as never,
  /** What was warned of so far. */
  warnings: () => warnings,
  /** The gateway's counters. */
  counters: () => ({ ...gateway.counters() }),
});
await loop[Symbol.asyncDispose]();
