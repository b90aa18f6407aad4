/**
 * The agent: a second Hawser inside a namespace, which relays between loopback there and the guest's interface. Nobody
 * outside of a namespace can connect to its loopback, or listen there.
 *
 * It knows nothing but relays. Its standard input says which are wanted and its standard output answers, a line each:
 *
 * - `open ID tcp|udp ADDRESS PORT TO_ADDRESSES TO_PORT PEERS`: listens on ADDRESS, `*` for every one, and leads
 *   clients to the first of TO_ADDRESSES. If that refuses a TCP client, it tries the next. PEERS are the addresses that
 *   may come, or `*`. There are commas between addresses. The answer is `opened ID`, or `failed ID WHY`, where WHY
 *   begins with `in-use` if somebody has that port.
 * - `close ID`: listens no more. The answer is `closed ID`. Connections of TCP go on.
 * - `finish ID`: the answer, `finished ID`, comes when every connection has passed on all that was said on loopback.
 *
 * When its standard input ends it ends, with all of its connections. It has no permission but for the network, and no
 * more rights than whoever runs in that namespace: its safety is that there is nothing to be had from it. The other
 * side, which does not believe it a word, is `loopback_door.ts`.
 *
 * @module
 */
import { Forwarder, type Side } from "../forward/forwarder.ts";
import { IpAddress } from "../net/wire/address.ts";
import { keepOnly } from "./permissions.ts";

const ANY = "*";
/** Every address: of both families, or of IPv4 where there is no other. */
const EVERYWHERE = ["::", "0.0.0.0"];

/** Something that listens and relays. */
interface Relay {
  /** Listens no more. */
  close(): Promise<void>;
  /** Resolves when all that was said on loopback is passed on. */
  drained(): Promise<void>;
}

interface Wanted {
  readonly hostname: string;
  readonly port: number;
  /** In the order to try. */
  readonly targets: readonly { readonly hostname: string; readonly port: number }[];
  /** Which side of it is on loopback. */
  readonly loopback: Side;
  /** Whether a client from this address may come. */
  admits(hostname: string): boolean;
}

/** The relays of one agent. */
export class LoopbackAgent implements AsyncDisposable {
  readonly #say: (line: string) => void;
  readonly #relays = new Map<string, Promise<Relay>>();
  /** Those that may still have connections. */
  readonly #busy = new Set<Relay>();

  /** `say` sends an answer. */
  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** Does what a line says. Resolves when that is answered. Lines of another form are passed over. */
  async hear(line: string): Promise<void> {
    const [verb, id = "", ...words] = line.split(" ");
    if (verb === "open") await this.#open(id, words);
    else if (verb === "close") await this.#close(id);
    else if (verb === "finish") await this.#finish(id);
  }

  /** Ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#relays.keys()].map((id) => this.#close(id)));
  }

  async #open(id: string, [protocol, hostname = "", port, toHostnames = "", toPort, peers = ANY]: string[]) {
    const admitted = peers === ANY ? undefined : peers.split(",").map((text) => IpAddress.parse(text));
    const wanted: Wanted = {
      hostname,
      loopback: hostname === ANY ? "target" : "client",
      port: Number(port),
      targets: toHostnames.split(",").map((hostname) => ({ hostname, port: Number(toPort) })),
      admits: (from: string) => {
        const address = admitted && IpAddress.tryParse(from);
        return admitted === undefined || admitted.some((peer) => address?.equals(peer));
      },
    };
    const relay = openRelay(protocol === "udp" ? openUdp : openTcp, wanted);
    this.#relays.set(id, relay);
    try {
      this.#busy.add(await relay);
      this.#say(`opened ${id}`);
    } catch (error) {
      this.#relays.delete(id);
      const why = (error as Error).message.replaceAll(/\s+/g, " ");
      this.#say(`failed ${id} ${isInUse(error) ? `in-use ${why}` : why}`);
    }
  }

  async #finish(id: string): Promise<void> {
    await Promise.all([...this.#busy].map((relay) => relay.drained()));
    this.#say(`finished ${id}`);
  }

  async #close(id: string): Promise<void> {
    const relay = this.#relays.get(id);
    this.#relays.delete(id);
    await relay?.then(async (relay) => {
      await relay.close();
      void relay.drained().then(() => this.#busy.delete(relay));
    }, () => {});
    this.#say(`closed ${id}`);
  }
}

async function openRelay(open: (wanted: Wanted) => Promise<Relay>, wanted: Wanted): Promise<Relay> {
  if (wanted.hostname !== ANY) return await open(wanted);
  const [first, second] = EVERYWHERE.map((hostname) => ({ ...wanted, hostname }));
  try {
    return await open(first!);
  } catch (error) {
    if (isInUse(error)) throw error;
    return await open(second!);
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Deno.errors.AddrInUse || (error as { readonly code?: string }).code === "EADDRINUSE";
}

async function openTcp({ hostname, port, targets, admits, loopback }: Wanted): Promise<Relay> {
  const forwarder = await Forwarder.start(
    { transport: "tcp", hostname, port },
    targets.map((target) => ({ transport: "tcp", ...target })),
    { admits: (client) => client.transport === "tcp" && admits(client.hostname) },
  );
  return { close: () => Promise.resolve(forwarder.refuse()), drained: () => forwarder.drained(loopback) };
}

async function openUdp(wanted: Wanted): Promise<Relay> {
  const { DatagramForwarder } = await import("../forward/datagram_forwarder.ts");
  const forwarder = await DatagramForwarder.start(wanted, wanted.targets[0]!, { admits: wanted.admits });
  return { close: () => forwarder.close(), drained: () => Promise.resolve() };
}

/** Runs as the agent until standard input ends. Resolves to the exit code. */
export async function loopbackAgent(): Promise<number> {
  keepOnly(["net"]);
  const encoder = new TextEncoder();
  const agent = new LoopbackAgent((line) => void Deno.stdout.writeSync(encoder.encode(`${line}\n`)));
  const decoder = new TextDecoder(), buffer = new Uint8Array(4096);
  let rest = "";
  for (;;) {
    const count = await Deno.stdin.read(buffer).catch(() => null);
    if (count === null) return 0;
    const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) void agent.hear(line).catch(() => {});
  }
}
