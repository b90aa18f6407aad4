import { assert, assertEquals, assertMatch } from "@std/assert";
import { dnsQuery, dnsText } from "../support/dns_messages.ts";
import { DnsServer, respondWith } from "../support/dns_server.ts";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const run = requires("linux", "root", "tun", "unshare", "ip");
const nc = requires("linux", "root", "tun", "unshare", "ip", "nc");

/** The bytes as `printf` of a shell takes them. */
function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => "\\" + byte.toString(8).padStart(3, "0")).join("");
}

/** Hexadecimal as `od` writes it, as bytes. */
function fromOd(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (word) => parseInt(word, 16));
}

for (const flags of [[], ["--host", "deno"]]) {
  Deno.test({
    name: `hawser run ${flags.join(" ")} finds names at the resolver of --dns, asked once, and its own${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      await using server = await DnsServer.start(respondWith([192, 0, 2, 7]));
      const script = `for i in 1 2 3; do getent ahostsv4 name.test | head -n 1; done
        getent ahostsv4 host.docker.internal | head -n 1; getent hosts gateway.hawser.internal
        getent hosts nothing.hawser.internal || echo none`;
      const { stdout, stderr } = await hawser([
        "run",
        ...flags,
        "--dns",
        `127.0.0.1:${server.port}`,
        "sh",
        "-c",
        script,
      ]);
      assertEquals(stderr, "");
      const lines = stdout.trim().split("\n").map((line) => line.split(/\s+/));
      assertEquals(lines.map(([address]) => address), [
        ...["192.0.2.7", "192.0.2.7", "192.0.2.7"],
        // getent asks for IPv6 first.
        ...["10.0.2.2", "fd00::2", "none"],
      ]);
      assertEquals(server.queries.map(({ bytes }) => dnsText(bytes).replace(/\d+/, "n")), [
        "DNS query n, A? name.test.",
      ]);
    },
  });
}

Deno.test({
  name:
    `hawser run answers raw queries at .3 over UDP, and over TCP from the same cache, and local names over either${nc.reason}`,
  ignore: nc.ignore,
  fn: async () => {
    await using server = await DnsServer.start(respondWith([192, 0, 2, 7]));
    const query = dnsQuery("Name.test A", { id: 0x1234 }),
      local = dnsQuery("Host.containers.internal A", { id: 0x1234 });
    const framed = new Uint8Array([0, local.length, ...local, 0, query.length, ...query]);
    const script = `printf '${escaped(query)}' | nc -u -W 1 -w 5 10.0.2.3 53 | od -v -A n -t x1
      echo =; (printf '${escaped(framed)}'; sleep 1) | nc -N -w 5 10.0.2.3 53 | od -v -A n -t x1`;
    const { stdout } = await hawser(["run", "--dns", `127.0.0.1:${server.port}`, "sh", "-c", script]);
    const [udp, tcp] = stdout.split("=").map(fromOd);
    const expected = "DNS answer 4660 NOERROR, A? Name.test., 1/0/0 records; Name.test. 1 300 192.0.2.7";
    const second = 2 + tcp![1]!;
    assertEquals([dnsText(udp!), dnsText(tcp!.subarray(2, second)), dnsText(tcp!.subarray(second + 2))], [
      expected,
      "DNS answer 4660 NOERROR, A? Host.containers.internal., 1/0/0 records; Host.containers.internal. 1 60 10.0.2.2",
      expected,
    ]);
    assertEquals(server.queries.map(({ transport }) => transport), ["udp"]);
  },
});

Deno.test({
  name: `hawser run asks the resolvers that the host's resolv.conf names now${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    await using _first = await DnsServer.start(respondWith([192, 0, 2, 1]), { hostname: "127.77.53.3", port: 53 });
    await using second = await DnsServer.start(respondWith([192, 0, 2, 2]), { hostname: "127.77.53.4", port: 53 });
    const conf = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(conf, "nameserver 127.77.53.3\n");
      // The same file as the host's resolv.conf, in a mount namespace around Hawser; the command writes to it by its
      // own name.
      const around = `exec unshare -m -- sh -c 'mount --bind "$conf" /etc/resolv.conf && exec "$@"' sh "$@"`;
      const script = `getent ahostsv4 name.test | head -n 1; echo nameserver 127.77.53.4 >"$conf"; sleep 1.2
        getent ahostsv4 name.test | head -n 1; cat /etc/resolv.conf`;
      const { stdout, stderr } = await hawser(["run", "sh", "-c", script], { around, env: { conf } });
      assertEquals(stderr, "");
      assertMatch(stdout, /^192\.0\.2\.1 [^\n]*\n192\.0\.2\.2 [^\n]*\nnameserver 10\.0\.2\.3\n$/);
      assert(second.queries.length > 0);
    } finally {
      await Deno.remove(conf);
    }
  },
});
