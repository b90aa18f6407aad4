import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  hawser,
  type HawserOptions,
  OrdinaryUser,
  type Outcome,
  readOutcome,
  shell,
  startHawser,
} from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "bash", "od", "env", "setpriv");

function test(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `hawser run ${name}${reason}`,
    ignore,
    fn: async () => {
      const folder = await Deno.makeTempDir();
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** What a command writes when it is started directly, in surroundings that `around` makes. */
async function directly(words: readonly string[], { around, cwd }: HawserOptions): Promise<Outcome> {
  const args = ["-c", around!, "bash", ...words];
  return readOutcome(await new Deno.Command("bash", { args, stdin: "null", ...(cwd && { cwd }) }).output());
}

/** `hawser run` with these words, in surroundings that a script for bash makes, which ends in `"$@"`. */
async function within(around: string, words: readonly string[]): Promise<Outcome> {
  return await hawser(["run", "-D", "none", ...words], inBash(around));
}

/** The surroundings that a script for bash makes. */
function inBash(around: string): HawserOptions {
  return { around: 'exec bash -c "$AROUND" bash "$@"', env: { AROUND: around } };
}

/** The folder of modules that Deno has in store, for an environment without HOME. */
async function denoDir(): Promise<string> {
  const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(readOutcome(info).stdout).denoDir;
}

function assertOneLine(outcome: Outcome, code: number, ...parts: string[]): void {
  assertEquals(outcome.stdout, "");
  assertMatch(outcome.stderr, /^hawser(?: run)?: [^\n]+\n$/);
  for (const part of parts) assertStringIncludes(outcome.stderr, part);
  assertEquals(outcome.code, code);
}

test("passes on variables named LD_*", async () => {
  const env = { LD_LIBRARY_PATH: "/opt/lib", LD_PRELOAD: "", LD_BIND_NOW: "1", LD_DEBUG: "" };
  for (const [name, value] of Object.entries(env)) {
    const outcome = await hawser(["run", "-D", "none", "sh", "-c", `echo "<$${name}>"`], { env: { [name]: value } });
    assertEquals(outcome, { code: 0, signal: null, stdout: `<${value}>\n`, stderr: "" });
  }
});

test("passes on every variable byte for byte, and adds none", async () => {
  // No PATH, no PWD, names that no shell can write, an exported function of bash, a value that is not UTF-8.
  const around = `exec env -i -- DENO_DIR="${await denoDir()}" NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 DENO_TEST=1 \
    a.b=1 -x=2 "BASH_FUNC_f%%=() { :; }" BASH_ENV=/nowhere ENV=/nowhere LD_BIND_NOW=1 $'LINES=a\\nb' $'BYTES=\\xff\\xfe' "$@"`;
  const words = ["/usr/bin/od", "-An", "-v", "-tx1", "/proc/self/environ"];
  const expected = await directly(words, { around }), outcome = await within(around, words);
  assertStringIncludes(expected.stdout.replaceAll(/\s+/g, " "), "42 59 54 45 53 3d ff fe 00");
  assertEquals(outcome.stderr, "");
  assertEquals(outcome.stdout, expected.stdout);
});

test("looks without PATH where execvp(3) does", async () => {
  const around = `exec env -i DENO_DIR="${await denoDir()}" DENO_NO_UPDATE_CHECK=1 NO_COLOR=1 "$@"`;
  const found = await within(around, ["env"]);
  assertEquals([found.code, found.stderr], [0, ""]);
  assertEquals(/^PATH=/m.test(found.stdout), false);
  assertOneLine(await within(around, ["no-such-command"]), 127, "cannot run no-such-command: it is not in PATH");
});

test("passes on arguments and a command's name that are not UTF-8", async (folder) => {
  const around = `exec "$@" "$(printf "a\\377b")" "$(printf "\\xe2\\x82")" ü`;
  const bytes = 'od -An -v -tx1 "/proc/$$/cmdline"';
  const words = ["sh", "-c", bytes, "name", "plain"];
  const expected = await directly(words, { around }), outcome = await within(around, words);
  assertStringIncludes(expected.stdout.replaceAll(/\s+/g, " "), "61 ff 62 00 e2 82 00 c3 bc 00");
  assertEquals(outcome, expected);
  const link = `ln -s /bin/echo "${folder}/$(printf "e\\377")" && exec "$@" "${folder}/$(printf "e\\377")" said`;
  assertEquals((await within(link, [])).stdout, "said\n");
  const absent = await within(`exec "$@" "${folder}/$(printf "n\\377${"\\n"}o")"`, []);
  assertOneLine(absent, 127, `cannot run ${folder}/n\ufffd\\no: there is no such file`);
});

test("passes on every descriptor of its caller", async (folder) => {
  const numbers = [3, 4, 5, 6, 7, 8, 9, 10, 12, 300];
  for (const number of numbers) await Deno.writeTextFile(`${folder}/${number}`, `file ${number}\n`);
  const around = `exec "$@" ${numbers.map((number) => `${number}<${folder}/${number}`).join(" ")}`;
  const outcome = await within(around, ["bash", "-c", numbers.map((number) => `cat <&${number}`).join(";")]);
  assertEquals(outcome.stdout, numbers.map((number) => `file ${number}\n`).join(""));
  // The same list before and behind Hawser. Nothing is substituted: a shell would have pipes open for that.
  const list = 'ls "/proc/$$/fd"; :';
  const outcomes = await within(`${around.replace('"$@"', "")}; bash -c '${list}' >&2; exec "$@"`, [
    "bash",
    "-c",
    list,
  ]);
  assertMatch(outcomes.stdout, /^300\n(.*\n)*9\n$/m);
  assertEquals(outcomes.stdout, outcomes.stderr);
});

test("keeps no descriptor of its caller open that the command has closed", async (folder) => {
  await shell('mkfifo "$1/fifo"', folder);
  // The command tells by the end of descriptor 3 that it is ready, and waits for the end of its input.
  const around = `exec "$@" 3>"${folder}/fifo" 11>&3`;
  const words = ["run", "-D", "none", "bash", "-c", "echo ready >&3; exec 3>&- 11>&-; cat"];
  const child = startHawser(words, { stdin: "", ...inBash(around) });
  const output = child.output();
  assertEquals(await shell('cat "$1/fifo"', folder), "ready");
  await child.stdin.close();
  assertEquals(readOutcome(await output), { code: 0, signal: null, stdout: "", stderr: "" });
});

test("gives the command its caller's limits of open files", async () => {
  const hard = await shell("ulimit -Hn"), limits = ["sh", "-c", "ulimit -Sn; ulimit -Hn"];
  const soft = await within('ulimit -Sn 300; "$@"; exit', limits);
  assertEquals([soft.stdout, soft.stderr], [`300\n${hard}\n`, ""]);
  const both = await within('ulimit -n 400; "$@"; exit', limits);
  assertEquals([both.stdout, both.stderr], ["400\n400\n", ""]);
});

test("starts the command in a working directory that has a strange name or has been deleted", async (folder) => {
  const strange = await within(
    `mkdir "${folder}/$(printf "d\\377")" && cd "${folder}/$(printf "d\\377")" && exec "$@"`,
    ["sh", "-c", 'basename "$(pwd)" | od -An -tx1'],
  );
  assertEquals(strange, { code: 0, signal: null, stdout: " 64 ff 0a\n", stderr: "" });
  // Deno itself does not start in a directory that is gone, so it goes afterwards.
  await Deno.mkdir(`${folder}/gone`);
  const main = new URL("../../cli/main.ts", import.meta.url).href;
  const program = `const { main } = await import(${JSON.stringify(main)});
    Deno.chdir(${JSON.stringify(`${folder}/gone`)});
    Deno.removeSync(${JSON.stringify(`${folder}/gone`)});
    Deno.exit(await main(["run", "-D", "none", "readlink", "/proc/self/cwd"]));`;
  await Deno.writeTextFile(`${folder}/program.ts`, program);
  const config = decodeURIComponent(new URL("../../deno.json", import.meta.url).pathname);
  const gone = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", "-c", config, "--allow-all", `${folder}/program.ts`],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  assertEquals(readOutcome(gone), { code: 0, signal: null, stdout: `${folder}/gone (deleted)\n`, stderr: "" });
});

test("as an ordinary user in a directory that is not his to enter starts the command in /, and says so", async (folder) => {
  await using user = await OrdinaryUser.create();
  await shell('chmod 755 "$1"; mkdir -m 700 "$1/private"; mkdir -m 711 "$1/blind"; mkdir -m 755 "$1/open"', folder);
  const words = ["run", "-D", "none", "pwd"];
  const open = await user.hawser(words, { cwd: `${folder}/open` });
  assertEquals(open, { code: 0, signal: null, stdout: `${folder}/open\n`, stderr: "" });
  const closed = await user.hawser(words, { cwd: `${folder}/private` });
  assertEquals([closed.code, closed.stdout], [0, "/\n"]);
  assertStringIncludes(closed.stderr, "the command may not enter the working directory and starts in /");
  const blind = await user.hawser(words, { cwd: `${folder}/blind` });
  assertOneLine(blind, 125, "cannot enter the working directory: permission denied");
});

test("of a script whose interpreter is not there or cannot be executed is 126, in a line", async (folder) => {
  const scripts: [string, string, string][] = [
    ["absent", "#!/no/such/interpreter -x\n", "its first line names /no/such/interpreter, which is not there"],
    ["crlf", "#!/bin/sh\r\necho hello\r\n", "its first line names /bin/sh\\r, which is not there"],
    ["folder", "#! /etc\n", "its first line names /etc, which cannot be executed"],
    ["cut", "#!/nowhere", "its first line names /nowhere, which is not there"],
  ];
  for (const [name, text, why] of scripts) {
    await Deno.writeTextFile(`${folder}/${name}`, text, { mode: 0o755 });
    assertOneLine(await hawser(["run", `${folder}/${name}`]), 126, `cannot run ${folder}/${name}: ${why}`);
    const byName = await hawser(["run", name], { env: { PATH: `${folder}:${Deno.env.get("PATH")}` } });
    assertOneLine(byName, 126, `cannot run ${name}: ${why}`);
  }
});

test("runs a script without a first line as a shell does, and says of a file that is no program what is wrong", async (folder) => {
  await Deno.writeTextFile(`${folder}/plain`, "echo plain $1\n", { mode: 0o755 });
  assertEquals((await hawser(["run", "-D", "none", `${folder}/plain`, "x"])).stdout, "plain x\n");
  await Deno.writeTextFile(`${folder}/good`, "#!/bin/sh -e\necho good $1\n", { mode: 0o755 });
  assertEquals((await hawser(["run", "-D", "none", `${folder}/good`, "x"])).stdout, "good x\n");
});
