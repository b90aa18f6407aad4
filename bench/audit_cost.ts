/**
 * What rules and the audit cost: connects and a transfer of a guest in `hawser run`, with a list of 10,000 rules and an
 * audit to a file, against neither, by turns. It prints the medians and their ratios.
 *
 * @module
 */
const [rounds = 5, connects = 500, mebibytes = 1024, rules = 10_000] = Deno.args.map(Number);
const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);
const HAWSER = ["run", "--no-prompt", "--allow-read", "--allow-write", "--allow-ffi", "--allow-net", "--allow-env"];

/** What one run measured. */
interface Cost {
  readonly connectUs: number;
  readonly bytesPerS: number;
}

/** A port at which each connection gets so much and is closed. */
class Giver {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly port: number = this.#listener.addr.port;

  constructor(length: number) {
    void this.#run(length);
  }

  async #run(length: number): Promise<void> {
    const bytes = new Uint8Array(Math.min(length, 1 << 20));
    for await (const conn of this.#listener) {
      void (async () => {
        for (let sent = 0; sent < length;) sent += await conn.write(bytes.subarray(0, length - sent));
      })().catch(() => {}).finally(() => conn.close());
    }
  }

  close(): void {
    this.#listener.close();
  }
}

async function measure(options: readonly string[], ports: readonly string[]): Promise<Cost> {
  const guest = [Deno.execPath(), "run", "--no-prompt", "--allow-net=10.0.2.2", `${ROOT}bench/audit_guest.ts`];
  const words = [ports[0]!, `${connects}`, "0", ports[1]!];
  const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
    args: [...HAWSER, `${ROOT}cli.ts`, "run", "--dns", "none", ...options, "--", ...guest, ...words],
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

const small = new Giver(1), large = new Giver(mebibytes << 20), ports = [`${small.port}`, `${large.port}`];
const folder = await Deno.makeTempDir(), list = `${folder}/rules.txt`;
const others = Array.from(
  { length: rules - 1 },
  (_, i) => `allow 100.${64 + (i >> 14)}.${i >> 6 & 255}.${i & 63}:443\n`,
);
await Deno.writeTextFile(list, `allow 10.0.2.2\n${others.join("")}`);
const none: Cost[] = [], all: Cost[] = [];
for (let round = 0; round < rounds; round++) {
  none.push(await measure([], ports));
  all.push(await measure(["--rules", list, "--audit", `${folder}/audit.jsonl`], ports));
}
await Deno.remove(folder, { recursive: true });
small.close();
large.close();
for (
  const [name, unit, of] of [
    ["connect", "µs", ({ connectUs }: Cost) => connectUs],
    ["bulk", "MiB/s", ({ bytesPerS }: Cost) => bytesPerS / (1 << 20)],
  ] as const
) {
  const [without, with_] = [median(none.map(of)), median(all.map(of))];
  const ratio = (with_ / without).toFixed(3);
  console.log(
    `${name}: ${without.toFixed(0)} ${unit} with neither, ${with_.toFixed(0)} ${unit} with both, ratio ${ratio}`,
  );
}
