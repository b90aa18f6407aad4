import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { AuditRecord } from "../../audit/records.ts";
import { checkedRecords } from "../support/audit_schema.ts";
import { requires } from "../support/requirements.ts";
import { hawser, startHawser, startReady, until } from "./run_support.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "mount", "nc");

/** A server of the host's loopback that says hello; it counts who came. */
class Server implements AsyncDisposable {
  came = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #serving = this.#serve();
  readonly port: number = this.#listener.addr.port;

  async #serve(): Promise<void> {
    for await (const conn of this.#listener) {
      this.came++;
      await conn.write(new TextEncoder().encode("hello\n")).catch(() => {});
      conn.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

/** A folder for a test's files. */
class Folder implements AsyncDisposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "hawser-audit-" });

  at(name: string): string {
    return `${this.path}/${name}`;
  }

  records(name: string): AuditRecord[] {
    return checkedRecords(Deno.readTextFileSync(this.at(name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** How many records there are of each event, in the order of the first of each. */
function countsOf(records: readonly AuditRecord[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const record of records) {
    counts[record.event] = (counts[record.event] ?? 0) + (record.event === "refuse" ? record.count : 1);
  }
  return counts;
}

Deno.test({
  name: `hawser run --audit FILE: every flow and refusal is a line of a file for its owner alone, appended${reason}`,
  ignore,
  fn: async () => {
    await using server = new Server();
    await using folder = new Folder();
    const script = `for i in 1 2 3 4 5; do nc -w 5 10.0.2.2 ${server.port}; nc -w 5 10.0.2.2 1; done; true`;
    const allow = ["--allow", `10.0.2.2:${server.port}`], audit = ["--audit", folder.at("a.jsonl")];
    for (let run = 1; run <= 2; run++) {
      const { code, stdout } = await hawser(["run", "-D", "none", ...allow, ...audit, "sh", "-c", script]);
      assertEquals([code, stdout], [0, "hello\n".repeat(5)]);
      const records = folder.records("a.jsonl"), last = records.filter(({ run }) => run === records.at(-1)!.run);
      assertEquals(countsOf(last), { start: 1, open: 5, close: 5, refuse: 5, end: 1 });
      assertEquals(new Set(records.map(({ run }) => run)).size, run);
    }
    assertEquals(server.came, 10);
    assertEquals(Deno.statSync(folder.at("a.jsonl")).mode! & 0o777, 0o600);
  },
});

Deno.test({
  name: `hawser run --audit fd:N: records come out of a descriptor that COMMAND does not have${reason}`,
  ignore,
  fn: async () => {
    await using server = new Server();
    await using folder = new Folder();
    const around = `exec 3>"$LOG" 4>/dev/null; exec "$@"`;
    const script =
      `nc -w 5 10.0.2.2 ${server.port}; (echo >&4) && echo four; (echo >&3) 2>/dev/null && echo three; true`;
    for (const [name, LOG] of [["a file", folder.at("a.jsonl")], ["HAWSER_AUDIT", folder.at("b.jsonl")]] as const) {
      const options = name === "a file" ? ["--audit", "fd:3"] : [];
      const env: Record<string, string> = name === "a file" ? { LOG } : { LOG, HAWSER_AUDIT: "fd:3" };
      const words = ["run", "-D", "none", ...options, "sh", "-c", script];
      const { code, stdout } = await hawser(words, { around, env });
      assertEquals([code, stdout], [0, "hello\nfour\n"], name);
      assertEquals(countsOf(checkedRecords(Deno.readTextFileSync(LOG))), { start: 1, open: 1, close: 1, end: 1 }, name);
    }
  },
});

Deno.test({
  name:
    `hawser run: an audit or a file of --learn that cannot be had is exit code 125, and COMMAND does not start${reason}`,
  ignore,
  fn: async () => {
    await using folder = new Folder();
    Deno.writeTextFileSync(folder.at("mine.txt"), "allow registry.example\n");
    const cases: [string[], string][] = [
      [
        ["--audit", folder.at("absent/a.jsonl")],
        `cannot open ${folder.at("absent/a.jsonl")}: No such file or directory`,
      ],
      [["--audit", folder.path], "it is no regular file"],
      [["--audit", "fd:99"], "cannot write to descriptor 99: the caller has not opened it"],
      [["--learn", folder.at("mine.txt")], "--learn did not write it"],
    ];
    for (const [options, problem] of cases) {
      for (const isolate of [[], ["--isolate"]]) {
        const { code, stdout, stderr } = await hawser(["run", "-D", "none", ...isolate, ...options, "echo", "started"]);
        assertEquals([code, stdout], [125, ""], problem);
        assertStringIncludes(stderr, problem);
        assertMatch(stderr, /^hawser run: [^\n]*\n$/);
      }
    }
    assertEquals(Deno.readTextFileSync(folder.at("mine.txt")), "allow registry.example\n");
  },
});

Deno.test({
  name:
    `hawser run --learn, then --rules with what was learnt: the same passes, one destination more does not; check says so${reason}`,
  ignore,
  fn: async () => {
    await using one = new Server();
    await using other = new Server();
    await using folder = new Folder();
    const [log, learnt] = [folder.at("a.jsonl"), folder.at("learnt.txt")];
    const ask = (server: Server) => `nc -w 5 10.0.2.2 ${server.port}`;
    const run = (options: string[], ...asks: string[]) =>
      hawser(["run", "-D", "none", ...options, "sh", "-c", `${asks.join("; ")}; true`]);
    // What the rules at hand would refuse passes, and is learnt too.
    const first = await run(["--learn", learnt, "--audit", log, "--allow", "192.0.2.1"], ask(one), ask(one));
    assertEquals([first.code, first.stdout], [0, "hello\nhello\n"]);
    assertStringIncludes(first.stderr, `learnt 1 rule: ${learnt}\n`);
    assert(!first.stderr.includes("refused now"), first.stderr);
    const rules = Deno.readTextFileSync(learnt);
    assertStringIncludes(rules, `allow tcp:10.0.2.2:${one.port}  # 2 tcp\n`);
    assertEquals(countsOf(folder.records("a.jsonl")), { start: 1, refuse: 2, open: 2, close: 2, end: 1 });
    const second = await run(["--rules", learnt, "--audit", log], ask(one), ask(other));
    assertEquals([second.stdout, one.came, other.came], ["hello\n", 3, 0]);
    assertStringIncludes(second.stderr, `no allow rule matches; --allow 10.0.2.2:${other.port} would`);
    const check = (...options: string[]) => hawser(["check", ...options, "--audit", log]);
    const same = await check("--rules", learnt);
    // The first run was under rules that would have refused.
    assertEquals([same.code, same.stdout.split("\n").slice(0, -1)], [1, [
      `allowed now, was refused, 2 times: tcp 10.0.2.2:${one.port}: allow tcp:10.0.2.2:${one.port} (${learnt}:2)`,
      "2 of 4 decisions would be otherwise",
    ]]);
    const changed = await check("--allow", `10.0.2.2:${other.port}`);
    assertEquals([changed.code, changed.stdout.split("\n").slice(0, -1)], [
      1,
      [
        `allowed now, was refused: tcp 10.0.2.2:${other.port}: allow 10.0.2.2:${other.port} (--allow)`,
        `refused now, was allowed: tcp 10.0.2.2:${one.port}: no rule allows it`,
        "2 of 4 decisions would be otherwise",
      ].toSorted((a, b) => (a.match(/:(\d+)/)?.[1] ?? "x") < (b.match(/:(\d+)/)?.[1] ?? "x") ? -1 : 1),
    ]);
    const none = await hawser(["check", "--audit", folder.at("absent")]);
    assertEquals([none.code, none.stdout], [2, ""]);
    Deno.writeTextFileSync(folder.at("bad"), "hello\n");
    assertStringIncludes(
      (await hawser(["check", "--audit", folder.at("bad")])).stderr,
      `${folder.at("bad")}:1: it is no`,
    );
    // It may be learnt anew.
    assertEquals((await run(["--learn", learnt], ask(other))).code, 0);
    assertStringIncludes(Deno.readTextFileSync(learnt), `allow tcp:10.0.2.2:${other.port}  # 1 tcp\n`);
  },
});

Deno.test({
  name:
    `hawser run --audit on a disk that fills up: new flows are refused, said once, a gap follows, nothing is missing${reason}`,
  ignore,
  fn: async () => {
    await using server = new Server();
    await using folder = new Folder();
    const script = `
      ask() { nc -w 5 10.0.2.2 ${server.port}; }
      ask
      cat /dev/zero >"$D/fill" 2>/dev/null
      # The file may have room in its last page still.
      n=0; while [ $n -lt 200 ] && ask >>"$D/../said"; do n=$((n + 1)); done
      [ $n -lt 200 ] && echo refused
      for i in 1 2 3 4 5; do ask && echo leaked; done
      rm "$D/fill"
      n=0; until ask || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.1; done
      ask
      cp "$D/a.jsonl" "$D/../copy.jsonl"
    `;
    const around = `exec unshare -m sh -c 'mkdir "$D" && mount -t tmpfs -o size=64k disk "$D" && "$@"; code=$?; ` +
      `cp "$D/a.jsonl" "$D/../a.jsonl"; exit $code' sh "$@"`;
    const D = folder.at("disk"), options = ["-D", "none", "--audit", `${D}/a.jsonl`];
    const { code, stdout, stderr } = await hawser(["run", ...options, "sh", "-c", script], { around, env: { D } });
    assertEquals([code, stdout], [0, "hello\nrefused\nhello\nhello\n"], stderr);
    const records = folder.records("a.jsonl"), counts = countsOf(records);
    const unrecorded = records.filter((record) => record.event === "close" && record.ending === "auditUnavailable");
    assertEquals(counts["gap"], 1);
    assertEquals(counts["open"], counts["close"]);
    // Each connection that a server saw was recorded before.
    assertEquals(counts["open"]! - unrecorded.length, server.came);
    const [gap] = records.filter((record) => record.event === "gap");
    assert(gap!.refused >= 6 && gap!.lost === 0, JSON.stringify(gap));
    assertEquals(stderr.match(/Cannot write the audit: /g)?.length, 1, stderr);
    assertStringIncludes(stderr, "The audit is written again; ");
  },
});

Deno.test({
  name: `hawser run --audit fd:N whose reader is gone refuses new flows, and COMMAND goes on${reason}`,
  ignore,
  fn: async () => {
    await using server = new Server();
    const script =
      `n=0; while nc -w 5 10.0.2.2 ${server.port} && [ $n -lt 200 ]; do n=$((n + 1)); done; echo $n; echo over`;
    const around = `exec 4>&1; "$@" 3>&1 >&4 4>&- | head -n 4 >/dev/null`;
    const { stdout, stderr } = await hawser(["run", "-D", "none", "--audit", "fd:3", "sh", "-c", script], { around });
    assert(stdout.endsWith("over\n"), stdout);
    assert(server.came < 200, `${server.came}`);
    assertStringIncludes(stderr, "Cannot write the audit: broken pipe (EPIPE); new flows and queries are refused");
  },
});

Deno.test({
  name: `hawser serve --audit -: records come out of standard output, from the start to the end${reason}`,
  ignore,
  fn: async () => {
    const child = startHawser(["serve", "--listen", "tcp:127.0.0.1:0", "--audit", "-"]);
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    // The gateway has begun: from here on a signal ends it in an orderly way.
    let text = "";
    while (!text.endsWith("\n")) text += (await reader.read()).value ?? "";
    child.kill("SIGTERM");
    for (let read = await reader.read(); !read.done; read = await reader.read()) text += read.value;
    const [{ code }] = await Promise.all([child.status, child.stderr.cancel()]);
    assertEquals([code, countsOf(checkedRecords(text))], [0, { start: 1, end: 1 }]);
  },
});

Deno.test({
  name: `hawser run that is killed leaves whole records alone, of every connection that was made${reason}`,
  ignore,
  fn: async () => {
    await using server = new Server();
    await using folder = new Folder();
    const script = `echo ready; while :; do nc -w 5 10.0.2.2 ${server.port}; done`;
    const words = ["run", "-D", "none", "--audit", folder.at("a.jsonl"), "sh", "-c", script];
    const { child, rest } = await startReady(words);
    await until("some have come", () => Promise.resolve(server.came >= 10), 30_000);
    child.kill("SIGKILL");
    await Promise.all([child.status, rest, child.stderr.cancel()]);
    const opens = folder.records("a.jsonl").filter(({ event }) => event === "open").length;
    assert(opens >= server.came && opens <= server.came + 1, `${opens} records, ${server.came} connections`);
  },
});
