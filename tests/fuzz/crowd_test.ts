import { assertEquals, assertGreater } from "@std/assert";
import { CROWD_FOLDER, readCorpus } from "./corpus.ts";
import { fuzzCrowds, playCrowd, readCrowd } from "./crowd_fuzz.ts";
import { CrowdKernel } from "./crowd_kernel.ts";
import { Random } from "./random.ts";

for (const { name, text } of readCorpus(CROWD_FOLDER)) {
  Deno.test(`a listener keeps its promises in ${CROWD_FOLDER}${name}`, async () => {
    await playCrowd(readCrowd(text));
  });
}

Deno.test("fuzzCrowds finds nothing in listeners that keep their promises, and does the same for the same seed", async () => {
  const play = (seed: number) => fuzzCrowds(new Random(seed), (sessions) => sessions < 40);
  const first = await play(5);
  assertEquals([...first.failures], []);
  assertGreater(first.lines, 500);
  assertEquals(await play(5), first);
});

Deno.test("fuzzCrowds finds a listener that spins or forgets clients, and keeps only the lines that it takes", async () => {
  const { isKept, accept } = CrowdKernel.prototype;
  try {
    // A descriptor that is missing looks like a client that has gone: the next one is asked for at once.
    CrowdKernel.prototype.accept = function () {
      const fd = accept.call(this);
      return fd < 0 && this.waiting.length > 0 ? -103 : fd;
    };
    const { failures } = await fuzzCrowds(new Random(5), (sessions) => sessions < 40);
    const script = failures.get("The listener spins")!;
    assertEquals(script.split("\n").map((line) => line.split(" ")[0]).includes("come"), true, script);
    assertEquals(script.split("\n").length <= 5, true, script);
  } finally {
    Object.assign(CrowdKernel.prototype, { isKept, accept });
  }
});
