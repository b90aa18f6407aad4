/**
 * A guest whose packets get lost: nftables rules in its namespace, on the interface itself.
 *
 * What comes is dropped at ingress. What leaves is not, since a drop there is an error that the sender's TCP notices
 * and no loss; it is readdressed to a station that does not exist, so that it is lost on the link, and the gateway
 * counts it as `notForGateway`. A capture on the interface sees all of it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { answer, type Exchange, expectedDigest, type Outcome } from "./exchange.ts";
import { hawser } from "./run_support.ts";

/** The programs it needs, for `requires`. */
export const LOSSY_NEEDS = ["linux", "root", "tun", "unshare", "ip", "nft"];

const PROGRAM = new URL("./exchange.ts", import.meta.url).pathname;
const LOST_STATION = "02:00:00:00:00:01";

/** A guest in `hawser run` at an MTU of 1500. */
export interface LossyGuest {
  /** Options of `run`. */
  readonly flags: readonly string[];
  /** How much of what passes is lost, each way. */
  readonly lossPercent: number;
  /** Exchanges at the same time. */
  readonly atOnce: number;
  /** A file for a capture of its interface; none unless given. */
  readonly capture?: string;
}

/**
 * Plays the exchanges between the guest's kernel and the host's and asserts the digests at both ends. Returns how they
 * went at the guest's end.
 */
export async function play(guest: LossyGuest, exchanges: readonly Exchange[]): Promise<Outcome[]> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), answers: Promise<Outcome>[] = [];
  const accepting = (async () => {
    for await (const conn of listener) answers.push(answer(conn));
  })();
  try {
    const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-config", "--allow-net=10.0.2.2", PROGRAM];
    const words = [...deno, "10.0.2.2", `${listener.addr.port}`, `${guest.atOnce}`, JSON.stringify(exchanges)];
    const run = ["run", "--dns", "none", "-m", "1500", ...guest.flags, "--", ...surroundings(guest), ...words];
    const { code, stdout, stderr } = await hawser(run);
    assertEquals([code, stderr], [0, ""]);
    const outcomes: Outcome[] = stdout.trim().split("\n").map((line) => JSON.parse(line));
    const answered = await Promise.all(answers);
    assertEquals([outcomes.length, answered.length], [exchanges.length, exchanges.length]);
    for (const { digest, ...exchange } of outcomes) {
      assertEquals(digest, expectedDigest(exchange.down), `to the guest: ${JSON.stringify(exchange)}`);
    }
    for (const { digest, ...exchange } of answered) {
      assertEquals(digest, expectedDigest(exchange.up), `from the guest: ${JSON.stringify(exchange)}`);
    }
    return outcomes;
  } finally {
    listener.close();
    await accepting;
  }
}

/** A shell command in front of a program: it makes the losses, and the capture. */
function surroundings(guest: LossyGuest): string[] {
  const chosen = `numgen random mod 1000 < ${Math.round(guest.lossPercent * 10)}`;
  const rules = `table netdev loss {
    chain in { type filter hook ingress device eth0 priority 0; ${chosen} counter drop; }
    chain out { type filter hook egress device eth0 priority 0; ${chosen} ether daddr set ${LOST_STATION} counter; }
  }`;
  const steps = ["printf '%s' \"$0\" | nft -f -"];
  // Without offload the kernel still makes large segments and cuts them up behind these rules, unless it is told not
  // to. That makes it slow.
  if (guest.flags.includes("--no-offload") && guest.lossPercent > 0) steps.push("ip link set eth0 gso_max_segs 1");
  steps.push(guest.capture === undefined ? 'exec "$@"' : captured(guest.capture));
  return ["sh", "-c", steps.join(" && "), rules];
}

/** Runs `"$@"` while dumpcap writes what passes eth0 to a file. */
function captured(file: string): string {
  return `{ dumpcap -q -B 64 -i eth0 -w '${file}' 2>/dev/null & capture=$!
    until [ -s '${file}' ]; do sleep 0.05; done; sleep 0.3
    "$@"; code=$?; sleep 1.5; kill -INT $capture; wait $capture; exit $code; }`;
}
