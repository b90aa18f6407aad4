/**
 * `hawser demo`: the main job, shown on any machine in seconds.
 *
 * On Linux, if it allows a namespace, a client runs in one as `hawser run` would run it: a real guest kernel's TCP
 * on one side, an ordinary server on the host's loopback on the other. Anywhere else the same conversation goes over
 * the in-memory link with our own endpoint as the guest. While it goes on, the states that the flows pass through are
 * collected. It succeeds only if every byte arrived.
 *
 * @module
 */
import { GuestStack } from "../guest/mod.ts";
import { Gateway } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";
import { answer, converse } from "./demo_conversation.ts";
import { itselfAs } from "./itself.ts";
import { type CommandLine, parseCommandLine } from "./options.ts";

const MEMORY_BULK_BYTES = 64 << 20;
const NAMESPACE_BULK_BYTES = 256 << 20;
const POLL_MS = 20;
/** The word by which the command is the demo's client. */
const CLIENT = "demo-client";
/** States in the order a connection passes them. */
const STATES = /SYN-RECEIVED|ESTABLISHED|FIN-WAIT-1|FIN-WAIT-2|CLOSE-WAIT|CLOSING|LAST-ACK|TIME-WAIT|draining/g;

/** How the demo is run. */
export interface DemoOptions {
  /** `auto`: in a namespace where one can be had. `memory`: without a kernel. */
  readonly mode?: "auto" | "memory";
  /** The URL of the file that is the command, to be started as the client; without it there is no namespace. */
  readonly file?: string;
  /** Takes the lines of the report. Default standard output. */
  readonly print?: (line: string) => void;
  /** Whether the server breaks a byte of each answer: then the demo must fail. */
  readonly corrupt?: boolean;
}

/** Shows it. Resolves to 0 if every byte arrived, else to 1. */
export async function demo(options: DemoOptions = {}): Promise<number> {
  const print = options.print ?? ((line) => console.log(line));
  const server = startServer(options.corrupt ?? false);
  try {
    print("Hawser carries a guest's TCP over ordinary host sockets. A server listens on the host's loopback; a guest");
    print("asks it through the gateway at 10.0.2.2. A stack that takes one side's FIN for the end of the connection");
    print("loses the answer of the first request.");
    print("");
    const inNamespace = options.mode === "memory"
      ? "memory mode was asked for"
      : await showInNamespace(server, print, options.file);
    const outcome = typeof inNamespace === "number" ? inNamespace : await showInMemory(server, print, inNamespace);
    print("");
    print(
      outcome === 0
        ? "Every byte arrived, in both directions, whichever side closed first."
        : "Something did not arrive: see above.",
    );
    return outcome;
  } finally {
    await server.close();
  }
}

interface Server {
  readonly port: number;
  /** Called once, when the first connection comes. */
  onFirst: () => void;
  close(): Promise<void>;
}

function startServer(corrupt: boolean): Server {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const answers: Promise<void>[] = [];
  const server: Server = {
    port: listener.addr.port,
    onFirst: () => {},
    async close() {
      listener.close();
      await Promise.all(answers);
    },
  };
  (async () => {
    for await (const conn of listener) {
      if (answers.length === 0) server.onFirst();
      answers.push(answer(conn, corrupt).catch(() => {}));
    }
  })();
  return server;
}

/** Resolves to the exit code, or to why there is no namespace. */
async function showInNamespace(
  server: Server,
  print: (line: string) => void,
  file: string | undefined,
): Promise<number | string> {
  if (Deno.build.os !== "linux") return `namespaces need Linux, not ${Deno.build.os}`;
  const client = itselfAs(CLIENT, file, "10.0.2.2");
  if (client === undefined) return "Hawser is not a file here, so there is no client to start";
  const words = [...client, "10.0.2.2", `${server.port}`, `${NAMESPACE_BULK_BYTES}`];
  // Deno as a client looks for its own updates; the demo asks nobody.
  const line = parseCommandLine(["run", "--dns", "none", "--", ...words]);
  if (line.kind !== "run") throw new Error("Cannot start the client: its command line was not understood");
  const { HAWSER_FAILED, run } = await import("./run.ts");
  const seen = new Set<string>();
  let flows = () => "";
  let polling = false;
  server.onFirst = () => {
    polling = true;
    print("The guest is a Linux kernel in a network namespace of its own.");
    print("");
    void poll(() => collect(seen, flows()), () => polling);
  };
  const code = await run(line as CommandLine & { kind: "run" }, (look) => flows = look);
  const served = polling;
  polling = false;
  if (code === HAWSER_FAILED && !served) return "a namespace could not be had, as said above";
  print(`states           ${[...seen].join(", ")}`);
  return code === 0 ? 0 : 1;
}

async function showInMemory(server: Server, print: (line: string) => void, why: string): Promise<number> {
  print(`The guest is Hawser's own TCP endpoint over a link in memory: ${why}.`);
  print("");
  const [link, guestLink] = memoryLinkPair({ mtu: 65520, offload: true });
  await using gateway = await Gateway.start({ host: "deno", dns: "none" });
  await using _attached = gateway.attach(link);
  await using guest = new GuestStack(guestLink);
  const seen = new Set<string>();
  let polling = true;
  const polled = poll(() => collect(seen, gateway.flows().map((flow) => flow.state).join(" ")), () => polling);
  try {
    await converse({
      connect: () => guest.connect({ hostname: "10.0.2.2", port: server.port }),
      bulkBytes: MEMORY_BULK_BYTES,
      print,
    });
    return 0;
  } catch (error) {
    print(`FAILED: ${error instanceof Error ? error.message : error}`);
    return 1;
  } finally {
    polling = false;
    await polled;
    print(`states           ${[...seen].join(", ")}`);
  }
}

async function poll(look: () => void | Promise<void>, goOn: () => boolean): Promise<void> {
  while (goOn()) {
    await look();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function collect(seen: Set<string>, text: string): void {
  for (const [state] of text.matchAll(STATES)) seen.add(state);
}
