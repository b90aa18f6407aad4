/**
 * The stacks that are compared, each with a command in a network namespace of its own, and plain loopback beside them.
 *
 * The command does nothing: it writes when it began and its process id to a file, and sleeps. What measures enters its
 * network namespace by `nsenter`, so that every stack carries the same client to the same server on the host's
 * loopback, at 10.0.2.2 and at fd00::2. The namespace ends with its processes.
 *
 * @module
 */
import { BenchFiles, delay, runShell, type Shell, startShell } from "./shell.ts";

/** Who can be measured. */
export const STACKS = ["hawser", "hawser-deno", "slirp4netns", "pasta", "loopback"] as const;

/** The version of what is carried. */
export type Family = 4 | 6;

/** The name of a stack. */
export type StackName = typeof STACKS[number];

/** MTUs that each is measured at; 0: it has none. */
export const MTUS: Record<StackName, readonly number[]> = {
  hawser: [1500, 65520],
  "hawser-deno": [65520],
  slirp4netns: [1500, 65520],
  pasta: [1500, 65520],
  loopback: [0],
};

/** What a stack needs beside `sh`, `nsenter` and `iperf3`. */
export const PROGRAMS: Record<StackName, readonly string[]> = {
  hawser: ["unshare", "ip", "mount"],
  "hawser-deno": ["unshare", "ip", "mount"],
  slirp4netns: ["slirp4netns", "unshare", "ip"],
  pasta: ["pasta", "ip"],
  loopback: [],
};

const HAWSER = new URL("../../cli.ts", import.meta.url).pathname;
const HAWSER_PERMISSIONS = "--allow-read --allow-write --allow-ffi --allow-net --allow-env";
// pasta gives its command process ids of its own, beginning with 1; the id that /proc has is the one that counts here.
const COMMAND = `sh -c 'read -r pid _ </proc/self/stat; echo "$(date +%s%N) $pid" >"$0.new"; mv "$0.new" "$0"; ` +
  `exec sleep 900' "$READY"`;
/** The guest's port that each stack forwards to. */
export const GUEST_PORT = 5201;
/** The port of the host's loopback that leads there. */
const FORWARDED_PORT = 30_000 + Deno.pid % 2000;
const START_TIMEOUT_MS = 10_000;

/** A running stack. */
export interface Stack extends AsyncDisposable {
  /** Where the client finds the host's loopback, by family. */
  readonly targets: Record<Family, string>;
  /** Put before a client's command line. */
  readonly enter: string;
  /** The port of 127.0.0.1 that leads to `GUEST_PORT` of the guest. */
  readonly forwardedPort: number;
  /** From the start of the first process to the command's first instruction. */
  readonly startMs: number;
  /** Root of the stack's own processes; 0: it has none. */
  readonly root: number;
  /** The command that it serves. */
  readonly command: number;
}

/** Starts a stack. Throws an `Error` where it does not come up. */
export async function startStack(name: StackName, mtu: number): Promise<Stack> {
  if (name === "loopback") {
    const nothing = () => Promise.resolve();
    return {
      targets: { 4: "127.0.0.1", 6: "::1" },
      enter: "",
      forwardedPort: GUEST_PORT,
      startMs: 0,
      root: 0,
      command: 0,
      [Symbol.asyncDispose]: nothing,
    };
  }
  const files = new BenchFiles(), ready = files.path("ready"), shells: Shell[] = [];
  let command = 0;
  const end = async (): Promise<void> => {
    // pasta leaves its command behind, which nothing but KILL ends.
    if (name === "pasta" && command > 0) await runShell(`kill -KILL ${command}`, 1000);
    for (const shell of shells.reverse()) await shell.end();
    files.remove();
  };
  try {
    const began = Date.now();
    const environment = { READY: ready, MTU: String(mtu), FORWARD: `127.0.0.1/${FORWARDED_PORT}:${GUEST_PORT}` };
    shells.push(startShell(scriptOf(name), environment));
    const [at, pid] = (await waitForFile(ready, shells[0]!)).split(" ").map(Number);
    if (await runShell(`[ /proc/${pid}/ns/net -ef /proc/self/ns/net ] || echo apart`, 1000) === "") {
      throw new Error(`Cannot measure ${name}: its command is in the network of this machine`);
    }
    command = pid!;
    let root = shells[0]!.pid, startMs = at! / 1e6 - began;
    if (name === "slirp4netns") {
      const up = files.path("up"), api = files.path("api");
      const script =
        `exec slirp4netns --configure --enable-ipv6 --disable-dns --mtu="$MTU" -a "$API" -r 3 "$PID" tap0 3>"$UP"`;
      shells.push(startShell(script, { MTU: String(mtu), PID: String(command), UP: up, API: api }));
      root = shells[1]!.pid;
      await waitForFile(up, shells[1]!);
      startMs = Date.now() - began;
      await addForward(api);
    }
    const enter = `nsenter -t ${command} -n`;
    await awaitAddress(enter);
    return {
      targets: { 4: "10.0.2.2", 6: "fd00::2" },
      enter,
      forwardedPort: FORWARDED_PORT,
      startMs,
      root,
      command,
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

function scriptOf(name: StackName): string {
  switch (name) {
    case "hawser":
    case "hawser-deno":
      return `exec ${Deno.execPath()} run ${HAWSER_PERMISSIONS} ${HAWSER} run ${
        name === "hawser" ? "" : "--host deno "
      }` +
        `--dns none --max-flows 20000 -t "$FORWARD" -m "$MTU" -- ${COMMAND}`;
    case "pasta":
      // Everything that the address of a host's interface would decide is named, so that any interface will do.
      return `exec pasta --runas 0 -q -f --config-net -m "$MTU" -a 10.0.2.15 -n 255.255.255.0 -g 10.0.2.2 ` +
        `-a fd00::15 -g fd00::2 -i "$(ls /sys/class/net | grep -vx lo | head -n 1)" -t "$FORWARD" -u none -T none -U none ` +
        `--no-dhcp --no-ra --no-dhcpv6 -- ${COMMAND}`;
    default:
      return `exec unshare -n ${COMMAND}`;
  }
}

/** Asks slirp4netns for a forward. Throws an `Error` where it refuses. */
async function addForward(path: string): Promise<void> {
  using api = await Deno.connect({ transport: "unix", path });
  const call = {
    execute: "add_hostfwd",
    arguments: { proto: "tcp", host_addr: "127.0.0.1", host_port: FORWARDED_PORT, guest_port: GUEST_PORT },
  };
  await api.write(new TextEncoder().encode(JSON.stringify(call)));
  await api.closeWrite();
  const buffer = new Uint8Array(1024), count = await api.read(buffer) ?? 0;
  const answer = new TextDecoder().decode(buffer.subarray(0, count));
  if (!answer.includes('"return"')) throw new Error(`Cannot forward a port by slirp4netns: ${answer}`);
}

/** Waits until the guest may use its IPv6 address: its kernel first asks for a second whether another has it. */
async function awaitAddress(enter: string): Promise<void> {
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; await delay(50)) {
    const addresses = await runShell(`${enter} ip -6 -o addr show scope global`, 1000);
    if (addresses !== "" && !addresses.includes("tentative")) return;
  }
  throw new Error("Cannot measure IPv6: the guest has no address that it may use");
}

async function waitForFile(path: string, shell: Shell): Promise<string> {
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; await delay(2)) {
    try {
      const text = Deno.readTextFileSync(path);
      if (text !== "") return text;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    if (shell.hasEnded) throw new Error(`Cannot start: ${await shell.complaint()}`);
  }
  throw new Error(`Cannot start: nothing came up in ${START_TIMEOUT_MS / 1000} s`);
}
