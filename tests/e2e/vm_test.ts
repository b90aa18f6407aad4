import { assert, assertEquals, assertMatch } from "@std/assert";
import { createSocket } from "node:dgram";
import { requires } from "../support/requirements.ts";
import { shell } from "./run_support.ts";
import { Serve } from "./serve_support.ts";
import { buildInitramfs, complaintsAbout, findKernel, linux, Vm } from "./vm_support.ts";

const kernel = findKernel();
const tools = requires("linux", "ffi", "qemu-system-x86_64", "busybox", "dhclient", "cpio", "tshark", "ipv6");
const reason = tools.reason || (kernel === undefined ? " [skipped: no kernel, HAWSER_VM_ROOT names none]" : "");
const MEGABYTE = 1 << 20;

/** What the machine must have found, and how often: once a boot. */
const FOUND: readonly RegExp[] = [
  /^LEASE 10\.0\.2\.15\/24 10\.0\.2\.2 mtu 1500$/gm,
  /^NAME 192\.0\.2\.7 $/gm,
  /^PING answered$/gm,
  /^LEASE6 fd00::15 dns fd00::3$/gm,
  /^ADDRESSES fd0{28}15\/80 fd0{14}505400fffe123456\/00 fe80{13}505400fffe123456\/80 $/gm,
  /^NAME6 192\.0\.2\.7 $/gm,
  /^PING6 answered$/gm,
];

/** The servers that the machine asks, in the order of `vm_init.sh`: who closes first there, and where they listen. */
const SERVERS = [
  { name: "guestFirst", hostname: "127.0.0.1" },
  { name: "hostFirst", hostname: "127.0.0.1" },
  { name: "control", hostname: "127.0.0.1" },
  { name: "guestFirst6", hostname: "::1" },
  { name: "hostFirst6", hostname: "::1" },
] as const;

/** Links of `hawser serve`, and what QEMU is told to reach them. */
const LINKS: readonly { name: string; listen: (folder: string) => string; netdev: (folder: string) => string }[] = [
  {
    name: "stream",
    listen: (folder) => `unix:${folder}/vm.sock`,
    netdev: (folder) => `stream,server=off,addr.type=unix,addr.path=${folder}/vm.sock`,
  },
  {
    name: "dgram",
    listen: (folder) => `unixgram:${folder}/vm.sock`,
    netdev: (folder) =>
      `dgram,local.type=unix,local.path=${folder}/qemu.sock,remote.type=unix,remote.path=${folder}/vm.sock`,
  },
];

async function sha256(byte: string): Promise<string> {
  const bytes = new Uint8Array(MEGABYTE).fill(byte.charCodeAt(0));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function readToEnd(conn: Deno.Conn, byte: string): Promise<number> {
  const buffer = new Uint8Array(65536), code = byte.charCodeAt(0);
  let total = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    if (buffer.subarray(0, n).some((each) => each !== code)) throw new Error(`A byte from ${total} on is wrong`);
    total += n;
  }
  return total;
}

async function writeAll(conn: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** The servers that the machine asks, on loopback. */
class Servers implements AsyncDisposable {
  readonly #listeners = SERVERS.map(({ hostname }) => Deno.listen({ hostname, port: 0 }));
  readonly #dns = createSocket("udp4");
  readonly #serving: Promise<void>[];
  /** Bytes that came from the guest, a number a connection, by who closed first. */
  readonly received: Record<string, number[]> = { guestFirst: [], hostFirst: [], guestFirst6: [], hostFirst6: [] };
  /** What the machine is told when it is ready, in order. */
  readonly orders = ["reboot", "poweroff"];
  /** Where on the host clients reach the machine's server, an address for each family. */
  forwarded: readonly { hostname: string; port: number }[] = [];
  /** What that server said, a text a boot and family. */
  readonly greetings: string[] = [];

  constructor() {
    this.#serving = this.#listeners.map((listener, i) => this.#accept(listener, i));
    // A failure is told when the test awaits it at its end, with what the machine said; until then it is nobody's.
    for (const serving of this.#serving) serving.catch(() => {});
    // One answer for whatever is asked: an A record 192.0.2.7, or that there is none of another type.
    this.#dns.on("message", (query, from) => {
      const question = query.subarray(12, query.indexOf(0, 12) + 5), isA = question.at(-3) === 1;
      const head = [query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0];
      const record = isA ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7] : [];
      this.#dns.send(Uint8Array.from([...head, ...question, ...record]), from.port, from.address);
    });
  }

  /** The ports in the order of `vm_init.sh`. */
  get ports(): number[] {
    return this.#listeners.map(({ addr }) => addr.port);
  }

  /** Opens the name server and returns its port. */
  async openDns(): Promise<number> {
    await new Promise<void>((resolve) => this.#dns.bind(0, "127.0.0.1", resolve));
    return this.#dns.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await Promise.all(this.#serving);
    await new Promise<void>((resolve) => this.#dns.close(() => resolve()));
  }

  /** Asks the machine's server; the question ends with FIN before the answer begins. */
  async #greet(at: { hostname: string; port: number }): Promise<string> {
    using conn = await Deno.connect(at);
    await writeAll(conn, "from the host\n");
    await conn.closeWrite();
    const answer = new Uint8Array(100);
    let length = 0;
    for (let n = await conn.read(answer); n !== null; n = await conn.read(answer.subarray(length))) length += n;
    return new TextDecoder().decode(answer.subarray(0, length));
  }

  async #accept(listener: Deno.TcpListener, i: number): Promise<void> {
    const { name } = SERVERS[i]!;
    for await (const conn of listener) {
      using _closing = conn;
      if (name.startsWith("guestFirst")) {
        this.received[name]!.push(await readToEnd(conn, "g"));
        await writeAll(conn, "a".repeat(MEGABYTE));
      } else if (name.startsWith("hostFirst")) {
        await writeAll(conn, "b".repeat(MEGABYTE));
        await conn.closeWrite();
        this.received[name]!.push(await readToEnd(conn, "h"));
      } else {
        for (const at of this.forwarded) {
          this.greetings.push(await this.#greet(at).catch((error) => `no greeting: ${error}`));
        }
        await writeAll(conn, `${this.orders.shift()}\n`);
        await conn.closeWrite();
        await readToEnd(conn, "");
      }
    }
  }
}

/** The TCP segments of a capture, as lines: a family of `ip` and `ipv6`, its port and its flags. */
async function segmentsOf(capture: string): Promise<string[]> {
  const fields = "-T fields -E separator=/s -e frame.protocols -e tcp.dstport -e tcp.flags";
  const lines = await shell(`tshark -n -r "$1" -Y tcp ${fields} 2>/dev/null`, capture);
  return lines.split("\n").map((line) => line.replace(/^eth:ethertype:(ipv?6?):\S+/, "$1"));
}

for (const link of LINKS) {
  Deno.test({
    name:
      `a virtual machine on a ${link.name} link gets its leases, a name, both half-closes and a client of the host's over IPv4 and IPv6, and all again after a reboot${reason}`,
    ignore: tools.ignore || kernel === undefined,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "hawser-vm-" });
      // QEMU's and Hawser's.
      const captures = [`${folder}/vm.pcap`, `${folder}/gateway.pcap`];
      await using servers = new Servers();
      const dns = `127.0.0.1:${await servers.openDns()}`;
      {
        const forward = ["-t", "0:80", "-t", "[::1]/0:80"], record = ["--pcap", captures[1]!];
        await using serve = await Serve.start(["--listen", link.listen(folder), "--dns", dns, ...forward, ...record]);
        const forwards = serve.stderr.matchAll(/^forwarding tcp \[?(127\.0\.0\.1|::1)\]?:(\d+) -> 80$/gm);
        servers.forwarded = [...forwards].map(([, hostname, port]) => ({ hostname: hostname!, port: Number(port) }));
        const initramfs = await buildInitramfs(folder, kernel!);
        await using vm = new Vm({
          boots: linux(kernel!, initramfs, servers.ports),
          netdev: link.netdev(folder),
          capture: captures[0]!,
        });
        await vm.says(/^READY$/gm, 2, 180_000);
        for (const found of FOUND) assertEquals(vm.console.match(found)?.length, 2, `${found} in ${vm.console}`);
        const sums = [...vm.console.matchAll(/^(GUESTFIRST6?|HOSTFIRST6?) ([0-9a-f]{64}) /gm)].map((match) =>
          match.slice(1)
        );
        const a = await sha256("a"), b = await sha256("b");
        const expected = [["GUESTFIRST", a], ["GUESTFIRST6", a], ["HOSTFIRST", b], ["HOSTFIRST6", b]];
        assertEquals(sums, [...expected, ...expected], vm.console);
        assertEquals(vm.console.match(/FAILED.*/g), null);
        await vm.ended();
        for (const [name, received] of Object.entries(servers.received)) {
          assertEquals(received, [MEGABYTE, MEGABYTE], name);
        }
        assertEquals(servers.greetings, Array(4).fill("hello from the host\n"));
        // A reboot is no new guest of a link that stays.
        assertEquals(serve.stderr.match(/Guest \d+ on .* began/g)?.length, 1, serve.stderr);
        assertEquals(serve.stderr.match(/ (warn|error): .*/g), null, serve.stderr);
      }
      for (const capture of captures) {
        const segments = await segmentsOf(capture);
        for (const family of ["ip", "ipv6"]) {
          const frames = segments.filter((segment) => segment.startsWith(`${family} `)).length;
          assert(frames > 1000, `${frames} frames of ${family}`);
          // A client of either family reaches the machine over its own.
          const syns = segments.filter((segment) => segment === `${family} 80 0x0002`).length;
          assert(syns >= 2, `${syns} of ${family}`);
        }
        assertEquals(await complaintsAbout(capture), "");
      }
      const summary = await shell(`tshark -q -z expert -r "$1" 2>/dev/null`, captures[0]!);
      assertMatch(summary, /Chats/);
      assertEquals(/Errors \(\d+\)/.test(summary), false, summary);
      await Deno.remove(folder, { recursive: true });
    },
  });
}
