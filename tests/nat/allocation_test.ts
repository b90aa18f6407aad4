import { assert } from "@std/assert";

const FLAGS = "--v8-flags=--expose-gc,--min-semi-space-size=256,--max-semi-space-size=256";
/**
 * A view of a typed array in V8; a number that is not a small integer takes 16 bytes where it is not kept in a
 * register.
 */
const VIEW = 104;

/** The most bytes that a segment may allocate; an object of one field would be 32 of them. */
const MOST: Record<string, number> = {
  // The number that this path itself sums up.
  wire: 16,
  wireIpv6: 0,
  // In-order data, of which a view is copied to where a turn's segments are gathered, and every 32nd time the
  // acknowledgement and the turn.
  receiveFull: 32 + VIEW,
  // Bytes of a host and their acknowledgement: clock readings and times that are stored, up to eight.
  sendSmall: 128,
  // More than 64 bytes that are copied to a queue take a view each, up to `COPYBREAK`.
  sendFull: 128 + VIEW,
  // A buffer that is taken over.
  sendBurst: 128,
  // Over IPv6 the same.
  receiveFull6: 32 + VIEW,
  sendSmall6: 128,
  sendFull6: 128 + VIEW,
  sendBurst6: 128,
};
const SLACK = 15;

/** What the code allocates it does in each run; what the compiler makes of it differs now and then. */
const MOST_RUNS = 3;

Deno.test("net/wire and nat allocate no object per segment, counted over a million of them on each path", async () => {
  const program = new URL("../support/segment_allocation.ts", import.meta.url).href;
  // What is counted for coverage is not optimized, and allocates.
  const { DENO_COVERAGE_DIR: _coverage, ...env } = Deno.env.toObject();
  const args = ["run", "--no-check", FLAGS, program];
  const least: Record<string, number> = {};
  let wrong: string[] = [];
  for (let run = 0; run < MOST_RUNS; run++) {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, clearEnv: true, env }).output();
    assert(success, new TextDecoder().decode(stderr));
    const { control, ...paths } = JSON.parse(new TextDecoder().decode(stdout)) as Record<string, number>;
    assert(control! > 40, `the control allocates an object each time and shows ${control} bytes`);
    for (const [name, bytes] of Object.entries(paths)) least[name] = Math.min(bytes, least[name] ?? Infinity);
    wrong = Object.keys(MOST).filter((name) => !(least[name]! <= MOST[name]! + SLACK));
    if (wrong.length === 0) break;
  }
  assert(wrong.length === 0, `${wrong.join(", ")} allocate too much: ${JSON.stringify(least)}`);
});
