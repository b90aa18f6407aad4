import { assertEquals, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "nc");

/** A host of its own, on whose loopback somebody has port 8002. */
const HOST = `exec unshare -n sh -c '
  ip link set lo up
  nc -lk 127.0.0.1 8002 </dev/null >/dev/null 2>&1 & other=$!
  until nc -z 127.0.0.1 8002; do sleep 0.02; done
  "$@"; code=$?
  kill $other; exit $code' sh "$@"`;

/** Serves two ports, and connects to them by the host's loopback, where the forwards are. */
const COMMAND = `
  for port in 8000 8001; do echo "here is $port" | timeout 60 nc -Nl 10.0.2.15 $port & done
  for port in 8000 8001; do until grep -qi ":$(printf %04X $port) " /proc/net/tcp; do sleep 0.02; done; done
  for port in 8000 8001; do timeout 20 nc -N 10.0.2.2 $port </dev/null || echo "no $port"; done
  kill $(jobs -p) 2>/dev/null; true`;

Deno.test({
  name: `hawser run -t all forwards every port that nobody has and that is not left out, in one line${reason}`,
  ignore,
  fn: async () => {
    const words = ["run", "-D", "none", "-t", "all,~1-8000,~8004-65535", "--", "bash", "-c", COMMAND];
    const { code, stdout, stderr } = await hawser(words, { around: HOST });
    assertEquals(
      [code, stdout, stderr],
      [0, "no 8000\nhere is 8001\n", "forwarding tcp 2 ports that nobody else has, each to the same one\n"],
    );
  },
});

Deno.test({
  name:
    `hawser run -t with ~ and %lo takes what is named, and fails by name where somebody has it or no interface is there${reason}`,
  ignore,
  fn: async () => {
    const run = (spec: string) =>
      hawser(["run", "-D", "none", "-t", spec, "--", "bash", "-c", COMMAND], { around: HOST });
    const fine = await run("127.0.0.1%lo/8000-8003,~8002");
    assertEquals([fine.code, fine.stdout], [0, "here is 8000\nhere is 8001\n"]);
    assertStringIncludes(fine.stderr, "forwarding tcp 127.0.0.1:8003 by lo -> 8003\n");
    for (
      const [spec, text] of [["~1-8001,~8003-65535", ":8002 "], ["8000-8003", ":8002 "], ["%v9/8000", "interface v9"]]
    ) {
      const { code, stdout, stderr } = await run(spec!);
      assertEquals([code, stdout], [125, ""], spec);
      assertStringIncludes(stderr, text!);
    }
  },
});
