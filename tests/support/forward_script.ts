/**
 * `NatScript` with forwards: the test plays the clients of the host's ports, and the guest that they lead to.
 *
 * @module
 */
import { assert } from "@std/assert";
import { type Forward, PortForwards } from "../../forward/port_forwards.ts";
import type { TcpConfig } from "../../nat/tcp/context.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../net/wire/tcp.ts";
import { NatScript, type SegmentFields, type SentSegment } from "./nat_script.ts";
import type { ScriptUdpSocket } from "./script_datagram.ts";
import type { ScriptEndpoint, ScriptTcpSocket } from "./script_host.ts";
import type { ScriptListener } from "./script_listener.ts";

/** A gateway with forwards under test. */
export class ForwardScript extends NatScript {
  readonly forwards = new PortForwards(this.host, this.nat);
  readonly live: Forward[] = [];

  /** With these forwards, and a guest that has made itself known unless it is `silent`, by ARP or over IPv6. */
  static async start(
    specs: string | string[],
    options: { tcp?: Partial<TcpConfig>; maxFlows?: number; silent?: boolean; family?: 4 | 6 } = {},
  ): Promise<ForwardScript> {
    const script = new ForwardScript(options);
    script.live.push(...await script.forwards.add(specs));
    script.guestPort = Number(script.live[0]?.guest.split(":").at(-1));
    if (options.silent) return script;
    if (script.family === 4) script.sendArp(1);
    else script.send({ flags: TCP_RST });
    return script;
  }

  /** The listener of a forward of TCP. */
  listener(index = 0): ScriptListener {
    return this.host.listeners[index]!;
  }

  /** The socket of a forward of UDP. */
  udpSocket(index = 0): ScriptUdpSocket {
    return this.host.udpSockets.filter(({ local }) => local !== undefined)[index]!;
  }

  /** A client connects, by default one of loopback of the script's family, then a turn: its socket. */
  connect(client = this.family === 4 ? "127.0.0.1:5000" : "::1:5000", index = 0): ScriptTcpSocket {
    const socket = this.listener(index).clientConnects(endpoint(client));
    this.host.run();
    return socket;
  }

  /** The SYN that must have been sent; from now on the guest's segments answer it. */
  expectSyn(): SentSegment {
    const syn = this.expect({ flags: TCP_SYN });
    const { address, port } = endpoint(syn.from);
    this.remoteIp = address;
    this.remotePort = port;
    this.guestPort = endpoint(syn.to).port;
    this.ack = (syn.seq + 1) >>> 0;
    return syn;
  }

  /** A client connects and the guest accepts: the client's socket. */
  openByClient(client?: string, fields: SegmentFields = {}): ScriptTcpSocket {
    const socket = this.connect(client);
    this.expectSyn();
    this.send({ flags: TCP_SYN | TCP_ACK, mss: 1460, ...fields });
    this.expect({ flags: TCP_ACK, ack: this.seq });
    assert(!socket.closed);
    return socket;
  }

  /** A client sends a datagram, then a turn. */
  clientSends(payload: string | Uint8Array, client = "127.0.0.1:5000", index = 0): void {
    this.udpSocket(index).hostSends(payload, endpoint(client));
    this.host.run();
  }

  /** What the clients of a forward of UDP have received. */
  takeClients(index = 0): string[] {
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return this.udpSocket(index).sent.splice(0).map(({ bytes, to }) => `${to.address}:${to.port} ${text(bytes)}`);
  }
}

/** `ADDR:PORT` as an endpoint; an IPv6 address without brackets. */
export function endpoint(text: string): ScriptEndpoint {
  const at = text.lastIndexOf(":");
  return { address: IpAddress.parse(text.slice(0, at).replace(/^\[|\]$/g, "")), port: Number(text.slice(at + 1)) };
}
