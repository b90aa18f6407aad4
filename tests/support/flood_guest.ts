/**
 * A guest that sends one kind of frame without a pause, as a program of its own: `flood_guest.ts PORT KIND TARGET`.
 *
 * It connects to the stream listener on PORT of loopback, says `floods` after the first round of frames, and goes on
 * until it is ended. TARGET is a port of the gateway. What comes back is read and forgotten.
 *
 * @module
 */
import { dnsQuery } from "./dns_messages.ts";
import { arpFrame, ask, GATEWAY_IP, GUEST_IP } from "./frames.ts";
import { framed } from "./link_peer.ts";

const FRAMES = 4000;
const GATEWAY = "10.0.2.2", DNS = "10.0.2.3";

const [portText = "", kind = "", targetText = ""] = Deno.args;
const port = Number(portText), target = Number(targetText);

/** The frame with this number; each from a port of its own. */
function frameOf(i: number): Uint8Array {
  const sourcePort = 1024 + i * 7 % 60_000, id = i;
  switch (kind) {
    case "syn":
      return ask("tcp", GATEWAY, { sourcePort, port: target });
    case "udp":
      return ask("udp", GATEWAY, { sourcePort, port: target });
    case "dns":
      return ask("udp", DNS, { sourcePort, port: 53, payload: dnsQuery(`n${i}.test A`, { id }) });
    case "dns-local":
      return ask("udp", DNS, { sourcePort, port: 53, payload: dnsQuery("host.hawser.internal A", { id }) });
    case "echo":
      return ask("icmp", GATEWAY);
    case "arp":
      return arpFrame({ operation: 1, senderIp: GUEST_IP, targetIp: GATEWAY_IP });
    default:
      throw new Error(`no kind of flood is ${kind}`);
  }
}

const conn = await Deno.connect({ hostname: "127.0.0.1", port });
const round = framed(...Array.from({ length: FRAMES }, (_, i) => frameOf(i)));

async function drain(): Promise<void> {
  const into = new Uint8Array(1 << 18);
  while (await conn.read(into) !== null);
}

async function flood(): Promise<void> {
  for (let rounds = 0;; rounds++) {
    for (let at = 0; at < round.length;) at += await conn.write(round.subarray(at));
    if (rounds === 0) console.log("floods");
  }
}

await Promise.race([drain(), flood()]);
