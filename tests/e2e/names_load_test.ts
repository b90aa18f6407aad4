import { assertEquals, assertGreater } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS } from "./internet.ts";
import { countLoad } from "./names_load.ts";
import { PROBE, readAudit } from "./names_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "python3", "mount");

Deno.test({
  name:
    `hawser run --audit misses no flow and no refusal of hundreds a second, counted against the servers' logs${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const { guest, servers, audit } = await countLoad(internet, 300, 2);
    assertEquals(guest, { ...guest, answered: 300, refused: 300, failed: 0 });
    assertEquals({ servers, ...audit }, { servers: 300, open: 300, close: 300, refused: 300, gaps: 0 });
  },
});

Deno.test({
  name:
    `hawser run refuses new flows as soon as its audit cannot be written, says so once, and keeps open ones${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const folder = `${internet.folder}/small`;
    await Deno.mkdir(folder);
    const around = internet.around.replace(
      '"$@"',
      `unshare --mount sh -c 'mount -t tmpfs -o size=32k none "${folder}" && exec "$@"' sh "$@"`,
    );
    // Stdout tells what the audit was when the command ended, because it goes with its file system.
    const outcome = await internet.hawser([
      ...["run", "--allow", "registry.example:80,7000", "--audit", `${folder}/audit`, "--", "python3", "-c"],
      `exec(open("${PROBE}").read())
kept = connect("registry.example", 7000)
answers = [http("93.184.216.10", 80, "Host: registry.example") for _ in range(200)]
print(answers[0], answers[-1], answers.count("refused") == 0)
kept.sendall(b"still-here\\n")
print(kept.recv(100).decode().strip())
print(dns("registry.example"), dns("other.example"))
print(open("${folder}/audit").read())`,
    ], { around });
    assertEquals(outcome.code, 0, outcome.stderr);
    const [ends, kept, names, ...audit] = outcome.stdout.split("\n");
    assertEquals([ends, kept], ["open hello from registry.example refused False", "still-here"]);
    assertEquals(names, "SERVFAIL SERVFAIL");
    const lines = readAudit(audit.slice(0, audit.findLastIndex((line) => line.endsWith("}")) + 1).join("\n"));
    const opened = lines.filter(({ event }) => event === "open").length;
    assertGreater(opened, 10);
    // What the audit has not, the servers have not either.
    const visits = (await internet.visits()).filter(({ kind }) => kind === "http" || kind === "echo").length;
    assertEquals(visits, opened);
    assertEquals(outcome.stderr.match(/Cannot write the audit: No space left/g)?.length, 1, outcome.stderr);
  },
});
