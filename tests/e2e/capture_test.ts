import { assert, assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser, shell } from "./run_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "ip", "curl", "nc", "tshark");
const BODY = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) ^ (i >> 9));

function test(name: string, fn: (url: string, folder: string) => Promise<void>): void {
  Deno.test({
    name: `hawser run ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
        await request.arrayBuffer();
        return new Response(BODY);
      });
      const folder = await Deno.makeTempDir({ prefix: "hawser-capture-" });
      try {
        await fn(`http://10.0.2.2:${server.addr.port}/`, folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
        await server.shutdown();
      }
    },
  });
}

/** What tshark sees in a capture that it verifies to the last checksum: one array of fields a frame. */
async function dissect(path: string): Promise<Record<string, string>[]> {
  const fields = ["frame.protocols", "ip.src", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status"];
  // The number comes last: it is never empty.
  fields.push("tcp.len", "_ws.malformed", "frame.number");
  const checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
  const lines = await shell(
    `tshark -n -r "$1" -T fields -E occurrence=f ${fields.map((field) => `-e ${field}`).join(" ")} ${
      checks.map((check) => `-o ${check}`).join(" ")
    } 2>"$1.log"; ! grep -q "cut short\\|error" "$1.log"`,
    path,
  );
  return lines.split("\n").map((line) => Object.fromEntries(line.split("\t").map((value, i) => [fields[i]!, value])));
}

for (const flags of [["--no-offload", "-m", "1500"], [], ["--host", "deno"]]) {
  test(
    `--pcap ${flags.join(" ")} records whole frames of both directions with right checksums`,
    async (url, folder) => {
      const path = `${folder}/run.pcap`, command = `head -c 200000 /dev/zero | curl -sS -T - ${url} | sha256sum`;
      // A query that nobody answers: a datagram of the guest's kernel, which leaves its checksum half done.
      const udp = "echo q | timeout 1 nc -u -w 1 10.0.2.2 9 || true";
      const outcome = await hawser([
        "run",
        ...flags,
        "--pcap",
        path,
        "--",
        "sh",
        "-c",
        `${udp}; ${command}`,
      ]);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", BODY)).toHex();
      assertEquals([outcome.code, outcome.stdout.slice(0, 64), outcome.stderr], [0, digest, ""]);
      const frames = await dissect(path), bytes: Record<string, number> = { "10.0.2.15": 0, "10.0.2.2": 0 };
      for (const frame of frames) {
        const text = JSON.stringify(frame);
        assertEquals(frame["_ws.malformed"], "", text);
        if (!frame["frame.protocols"]!.includes(":ip:") || frame["frame.protocols"]!.includes(":icmp")) continue;
        assertEquals(frame["ip.checksum.status"], "1", text);
        if (frame["frame.protocols"]!.includes(":tcp")) assertEquals(frame["tcp.checksum.status"], "1", text);
        if (frame["frame.protocols"]!.includes(":udp")) assertEquals(frame["udp.checksum.status"], "1", text);
        bytes[frame["ip.src"]!]! += Number(frame["tcp.len"]);
      }
      assert(bytes["10.0.2.15"]! > 200_000 && bytes["10.0.2.15"]! < 230_000, `${bytes["10.0.2.15"]} from the guest`);
      assert(bytes["10.0.2.2"]! > 300_000 && bytes["10.0.2.2"]! < 310_000, `${bytes["10.0.2.2"]} to the guest`);
      for (const protocol of ["arp", "udp", "tcp"]) {
        assert(frames.some((frame) => frame["frame.protocols"]!.includes(protocol)), `no ${protocol}`);
      }
    },
  );
}

test("--pcap can be read while COMMAND runs", async (url, folder) => {
  const path = `${folder}/run.pcap`;
  const read = `tshark -n -r ${path} -Y http.response -T fields -e http.content_length_header 2>/dev/null`;
  const { stdout } = await hawser(["run", "--pcap", path, "--", "sh", "-c", `curl -sS -o /dev/null ${url}; ${read}`]);
  assertEquals(stdout, `${BODY.length}\n`);
});

test("--pcap on a disk that fills up ends the capture with one line, and nothing else", async (url, folder) => {
  const path = `${folder}/run.pcap`, copy = `${folder}-copy.pcap`;
  const around = `mount -t tmpfs -o size=64k none ${folder} && "$@"; code=$?; cp ${path} ${copy}; exit $code`;
  const outcome = await hawser(["run", "--pcap", path, "--", "curl", "-sS", url], {
    around: `exec unshare -m sh -c '${around}' sh "$@"`,
  });
  try {
    assertEquals([outcome.code, outcome.stdout.length > BODY.length / 2], [0, true]);
    assertMatch(outcome.stderr, /^hawser: warn\w*: Capture ended: No space left on device[^\n]*\n$/);
    assert((await dissect(copy)).length > 3);
  } finally {
    await Deno.remove(copy);
  }
});

test("--pcap that cannot be written is told before COMMAND starts", async (_, folder) => {
  const nowhere = await hawser(["run", "--pcap", `${folder}/a/b.pcap`, "--", "echo", "started"]);
  assertEquals([nowhere.code, nowhere.stdout], [125, ""]);
  assertMatch(
    nowhere.stderr,
    /^hawser run: cannot start the gateway: cannot write capture .*b\.pcap: No such file.*\n$/,
  );
  const forbidden = await hawser(["run", "--pcap", `${folder}/b.pcap`, "--", "echo", "started"], {
    without: "--allow-write",
  });
  assertEquals([forbidden.code, forbidden.stdout], [125, ""]);
  assertMatch(forbidden.stderr, /cannot write capture .*b\.pcap: .*--allow-write/);
});

test("without --pcap needs no right to write", async () => {
  const outcome = await hawser(["run", "--", "echo", "started"], { without: "--allow-write" });
  assertEquals([outcome.code, outcome.stdout, outcome.stderr], [0, "started\n", ""]);
});

test("--trace prints a line a frame on stderr and leaves COMMAND's output alone", async (url) => {
  const outcome = await hawser(["run", "--trace", "--", "sh", "-c", `curl -sS ${url} | wc -c`]);
  assertEquals([outcome.code, outcome.stdout.trim()], [0, `${BODY.length}`]);
  const time = "^\\d\\d:\\d\\d:\\d\\d\\.\\d{6} ";
  assertMatch(outcome.stderr, new RegExp(`${time}ARP, Request who-has 10\\.0\\.2\\.2 tell 10\\.0\\.2\\.15$`, "m"));
  assertMatch(
    outcome.stderr,
    new RegExp(`${time}IP 10\\.0\\.2\\.15\\.\\d+ > 10\\.0\\.2\\.2\\.\\d+: Flags \\[S\\], seq`, "m"),
  );
  assertMatch(
    outcome.stderr,
    new RegExp(`${time}IP 10\\.0\\.2\\.2\\.\\d+ > 10\\.0\\.2\\.15\\.\\d+: Flags \\[S\\.\\], seq`, "m"),
  );
  for (const line of outcome.stderr.trimEnd().split("\n")) assertMatch(line, new RegExp(time));
});

for (const host of ["ffi", "deno"]) {
  test(`--impair delay and rate make the link slow, with ${host} sockets`, async (url) => {
    const impair = "delay=40ms,rate=8mbit", write = "%{time_starttransfer} %{time_total} %{size_download}";
    const outcome = await hawser(
      ["run", "--host", host, "--impair", impair, "--", "curl", "-sS", "-o", "/dev/null", "-w", write, url],
    );
    const [started, total, size] = outcome.stdout.split(" ").map(Number);
    assertEquals([outcome.code, outcome.stderr, size], [0, "", BODY.length]);
    // Two round trips of 80 ms: that of the handshake and that of the question.
    assert(started! > 0.158 && started! < 2, `${started}`);
    // 300,000 bytes at a million a second.
    assert(total! - started! > 0.25 && total! < 5, `${total}`);
  });
}

test("--impair loss loses frames by the seed, and COMMAND gets everything all the same", async (url) => {
  const impair = "loss=5%,delay=1ms,reorder=5%,duplicate=5%,seed=3";
  const outcome = await hawser(
    ["run", "--no-offload", "-m", "1500", "--impair", impair, "--", "sh", "-c", `curl -sS ${url} | sha256sum`],
  );
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", BODY)).toHex();
  assertEquals([outcome.code, outcome.stdout.slice(0, 64), outcome.stderr], [0, digest, ""]);
  const nothing = await hawser(["run", "--impair", "loss=100%", "--", "curl", "-sS", "-m", "1", url]);
  assertEquals(nothing.code, 28);
});

test("--impair, --pcap and --trace compose: both see what the gateway sends, not what is lost", async (url, folder) => {
  const path = `${folder}/run.pcap`;
  const options = ["--impair", "delay=5ms", "--pcap", path, "--trace"];
  const outcome = await hawser(["run", ...options, "--", "curl", "-sS", "-o", "/dev/null", url]);
  assertEquals(outcome.code, 0);
  const frames = await dissect(path);
  assertEquals(outcome.stderr.trimEnd().split("\n").length, frames.length);
});
