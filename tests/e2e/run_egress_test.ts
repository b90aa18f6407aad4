import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "mount", "nc", "tshark");
const ATTEMPTS = 50;

/** Serves on the host's loopback until disposed of; says how many came. */
class Server implements AsyncDisposable {
  came = 0;
  #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  #serving = this.#serve();

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    for await (const conn of this.#listener) {
      this.came++;
      await conn.write(new TextEncoder().encode("hello\n"));
      conn.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

Deno.test({
  name: `hawser run refuses what a rule denies with a line that names it, and lets pass what is allowed${reason}`,
  ignore,
  fn: async () => {
    await using server = new Server();
    const ask = ["nc", "-w", "5", "10.0.2.2", `${server.port}`];
    const denials: [string[], string][] = [
      [["--deny", "127.0.0.0/8"], "deny 127.0.0.0/8, 10.0.2.2 leads to 127.0.0.1"],
      [["--deny", `10.0.2.2:${server.port}`], `deny 10.0.2.2:${server.port}`],
      [["--allow", "192.0.2.0/24"], "no allow rule matches; --allow 10.0.2.2:"],
      [["--no-host-loopback"], "no host loopback"],
    ];
    for (const [options, rule] of denials) {
      const denied = await hawser(["run", "--dns", "none", ...options, ...ask]);
      assertEquals([denied.code, denied.stdout], [1, ""], rule);
      assertMatch(denied.stderr, /^hawser: warn: Refused tcp 10\.0\.2\.15:\d+ > 10\.0\.2\.2:\d+ of guest 1: /m);
      assertStringIncludes(denied.stderr, rule);
    }
    assertEquals(server.came, 0);
    for (const options of [["--allow", `10.0.2.2:${server.port}`], ["--allow", "127.0.0.1", "--deny", "none"]]) {
      assertEquals(await hawser(["run", "--dns", "none", ...options, ...ask]), {
        code: 0,
        signal: null,
        stdout: "hello\n",
        stderr: "",
      });
    }
    assertEquals(server.came, 2);
  },
});

for (const host of ["ffi", "deno"]) {
  Deno.test({
    name:
      `hawser run --host ${host} answers a denied SYN with RST and a denied datagram with ICMP 3/13 within a millisecond${reason}`,
    ignore,
    fn: async () => {
      const pcap = await Deno.makeTempFile({ suffix: ".pcap" });
      // Times are those of the guest's kernel: when it sent the packet, when the answer was there.
      const script = `tshark -n -q -i eth0 -w "$1" 2>/dev/null & capture=$!
      i=0; until [ -s "$1" ] || [ $i -ge 100 ]; do i=$((i + 1)); sleep 0.05; done; sleep 0.3
      for port in $(seq 1001 ${1000 + ATTEMPTS}); do
        nc -z -w 2 10.0.2.2 $port && echo "reached $port"
        echo x | nc -u -w 1 -q 0 10.0.2.2 $port
      done
      sleep 0.5; kill $capture; wait $capture`;
      try {
        const outcome = await hawser([
          "run",
          "--host",
          host,
          "--dns",
          "none",
          "--deny",
          "127.0.0.1",
          "--",
          "sh",
          "-c",
          script,
          "sh",
          pcap,
        ]);
        assertEquals(outcome.stdout, "");
        const fields = [
          "frame.time_epoch",
          "tcp.flags.syn",
          "tcp.flags.reset",
          "icmp.type",
          "icmp.code",
          "tcp.port",
          "udp.port",
        ];
        const { stdout } = await new Deno.Command("tshark", {
          args: ["-n", "-r", pcap, "-T", "fields", ...fields.flatMap((field) => ["-e", field])],
          stderr: "null",
        }).output();
        const asked = new Map<string, number>(), tcpMs: number[] = [], udpMs: number[] = [];
        for (const line of new TextDecoder().decode(stdout).trim().split("\n")) {
          const [time, syn, reset, type, code, tcp, udp] = line.split("\t");
          const port = /\b10\d\d\b/.exec(`${tcp} ${udp}`)?.[0], ms = Number(time) * 1000;
          if (/1|True/.test(reset!)) tcpMs.push(ms - asked.get(`tcp ${port}`)!);
          else if (/1|True/.test(syn!)) asked.set(`tcp ${port}`, ms);
          else if (type !== "" && asked.has(`udp ${port}`)) {
            udpMs.push(`${type}/${code}` === "3/13" ? ms - asked.get(`udp ${port}`)! : NaN);
            asked.delete(`udp ${port}`);
          } else if (udp !== "" && port !== undefined) asked.set(`udp ${port}`, ms);
        }
        assertEquals([tcpMs.length, udpMs.length], [ATTEMPTS, ATTEMPTS]);
        for (
          const [what, times, bound] of [["RST after SYN", tcpMs, 2], ["ICMP 3/13 after a datagram", udpMs, 1]] as const
        ) {
          const sorted = times.toSorted((a, b) => a - b);
          const us = [0, ATTEMPTS >> 2, ATTEMPTS >> 1, ATTEMPTS - 1].map((i) => Math.round(sorted[i]! * 1000));
          console.log(
            `${host}: ${what}: least ${us[0]} µs, quarter ${us[1]} µs, median ${us[2]} µs, greatest ${us[3]} µs`,
          );
          // Whoever else has the machine's processors delays some, and datagrams more, whose sender has only just
          // begun. A timer or a wait of ours would delay all.
          assert(us[bound]! < 1000, `${what}: ${sorted}`);
        }
      } finally {
        await Deno.remove(pcap);
      }
    },
  });
}

for (
  const [option, limit] of [
    ["--max-new-flows", "1 new flows a second are the limit (--max-new-flows)"],
    // A flow that has ended holds its place in TIME-WAIT for a second.
    ["--max-flows", "1 flows are the limit (--max-flows)"],
  ] as const
) {
  Deno.test({
    name: `hawser run ${option} lets no more through than it says${reason}`,
    ignore,
    fn: async () => {
      await using server = new Server();
      const script = `for i in 1 2 3 4 5 6 7 8; do nc -w 5 10.0.2.2 $1; done`;
      const outcome = await hawser([
        "run",
        "--dns",
        "none",
        option,
        "1",
        "sh",
        "-c",
        script,
        "sh",
        `${server.port}`,
      ]);
      assert(server.came >= 1 && server.came <= 3, `${server.came} came`);
      assertStringIncludes(outcome.stderr, limit);
    },
  });
}
