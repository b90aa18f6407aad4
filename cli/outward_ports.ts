/**
 * `-T` and `-U`: ports of a namespace's loopback that lead to the host's.
 *
 * The agent in the namespace listens on them (`loopback_door.ts`) and connects to the gateway's address, at the port of
 * the host. That port is open to the guest then, also without `hostLoopback`, and no other is: the guest could reach it
 * through the agent anyway.
 *
 * @module
 */
import { deadline } from "@std/async";
import { type ForwardProtocol, parsePortSpec } from "../forward/port_spec.ts";
import type { Segments } from "../nat/rules/segment.ts";
import { IpAddress } from "../net/wire/address.ts";
import type { AgentDoor } from "./loopback_door.ts";

/** How long the agent may take to listen, on a machine that is busy. */
const MOST_MS = 30_000;
const LOOPBACK_IPV4 = IpAddress.parse("127.0.0.1");
const LOOPBACK_IPV6 = IpAddress.parse("::1");
/** Each takes two descriptors of the agent. */
const MOST_PORTS = 1024;
/** What `-t` and `-u` have besides. */
const UNBOUNDED = ["all", "auto"];
const SHAPE = "it names ports of loopback, such as 5432, 5432:15432 or 8000-8009, or it is none";

/** A port of the namespace's loopback, and that of the host's. */
export interface OutwardPort {
  /** The transport. */
  readonly protocol: ForwardProtocol;
  /** The namespace's. */
  readonly port: number;
  /** The host's. */
  readonly hostPort: number;
}

/** Reads a SPEC of `-T` or `-U`. Throws as `parsePortSpec` does. */
export function parseOutward(protocol: ForwardProtocol, text: string): OutwardPort[] {
  if (/[/%]/.test(text) || text.split(",").some((item) => UNBOUNDED.includes(item))) throw new TypeError(SHAPE);
  const specs = parsePortSpec(protocol, text);
  if (specs.length > MOST_PORTS) throw new RangeError(`it names ${specs.length} ports, ${MOST_PORTS} are the most`);
  return specs.map(({ port, guestPort, guestAddress, isOptional }) => {
    if (guestAddress !== null || isOptional || port === 0 || guestPort === 0) throw new TypeError(SHAPE);
    return { protocol, port, hostPort: guestPort };
  });
}

/** As what a gateway is told: the ports of the host that are open. */
export function hostPortsOf(ports: readonly OutwardPort[]): string[] {
  return [...new Set(ports.map(({ protocol, hostPort }) => `${protocol}:${hostPort}`))];
}

/** Leads these ports outward by way of the gateway. Rejects with an `Error` that names a port that cannot be had. */
export async function leadOutward(
  door: AgentDoor,
  { ipv4, ipv6 }: Segments,
  ports: readonly OutwardPort[],
): Promise<void> {
  const { gateway } = (ipv4 ?? ipv6)!;
  const leading = Promise.all(ports.map(async ({ protocol, port, hostPort: gatewayPort }) => {
    await door.lead({ protocol, address: LOOPBACK_IPV4, port, gateway, gatewayPort });
    // A kernel without IPv6 has nobody who would come there.
    await door.lead({ protocol, address: LOOPBACK_IPV6, port, gateway, gatewayPort }).catch(() => {});
  }));
  await deadline(leading, MOST_MS).catch((error) => {
    throw error.name === "TimeoutError" ? new Error("Cannot lead ports outward: the agent does not answer") : error;
  });
}
