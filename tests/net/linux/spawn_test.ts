import { assertEquals, assertThrows } from "@std/assert";
import { utf8ByteText } from "../../../net/linux/byte_text.ts";
import { ENOENT, libc } from "../../../net/linux/libc.ts";
import {
  callerOpenFileLimit,
  inheritedDescriptors,
  openFileLimits,
  originalEnvironment,
  originalWords,
  readFileBytes,
  readFileStart,
  withOpenFileLimit,
} from "../../../net/linux/process.ts";
import { findProgram, LineSocket, type Program, spawn, SpawnError } from "../../../net/linux/spawn.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { requires } from "../../support/requirements.ts";

const { ignore, reason } = requires("ffi");
const SIGTERM = 15;
const F_SETFD = 2;

function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `${name}${reason}`, ignore, fn: () => assertNoDescriptorLeft(fn) });
}

/** Runs a shell script with these arguments. Resolves to its lines and its ending. */
async function run(script: string, args: readonly string[] = [], more: Partial<Program> = {}) {
  const lines: string[] = [], socket = new LineSocket((line) => lines.push(line)), { theirs } = socket;
  const child = spawn({
    path: "/bin/sh",
    args: ["sh", "-c", script, "sh", ...args],
    env: ["PATH=/usr/bin:/bin"],
    stdio: [theirs, theirs, theirs],
    ...more,
  });
  socket.started();
  socket.finish();
  const ending = await child.ended;
  await socket.closed;
  return { lines, ending, pid: child.pid };
}

test("spawn gives a program its arguments and environment byte for byte, and nothing else", async () => {
  const { lines, ending } = await run('od -An -v -tx1 "/proc/$$/environ"; printf "%s" "$1" | od -An -tx1', ["a\xff"], {
    env: ["PATH=/usr/bin:/bin", "a.b=\xfe", "empty="],
  });
  const hex = [..."PATH=/usr/bin:/bin\0a.b=\xfe\0empty=\0"].map((char) =>
    char.charCodeAt(0).toString(16).padStart(2, "0")
  );
  assertEquals(lines.join("").trim().split(/\s+/), [...hex, "61", "ff"]);
  assertEquals(ending, { code: 0, signal: null });
});

test("spawn tells how a program ended: its code, or the signal", async () => {
  for (const code of [0, 1, 255]) assertEquals((await run(`exit ${code}`)).ending, { code, signal: null });
  assertEquals((await run("kill -9 $$")).ending, { code: null, signal: 9 });
});

test("spawn of a file that is not there or no program throws, and leaves nothing", () => {
  const program = { args: ["x"], env: [] };
  const error = assertThrows(() => spawn({ ...program, path: "/no/such" }), SpawnError, "no such file or directory");
  assertEquals(error.code, ENOENT);
  assertThrows(() => spawn({ ...program, path: "/etc/passwd" }), SpawnError, "permission denied");
  assertThrows(() => spawn({ ...program, path: "/bin/true", args: ["x".repeat(200_000)] }), SpawnError, "too long");
});

test("kill ends a program, and does nothing once it has ended", async () => {
  const child = spawn({ path: "/bin/sh", args: ["sh", "-c", "exec sleep 60"], env: ["PATH=/usr/bin:/bin"] });
  child.kill(SIGTERM);
  assertEquals(await child.ended, { code: null, signal: SIGTERM });
  child.kill(SIGTERM);
});

test("spawn passes descriptors on unless they are closed for the program", async () => {
  const c = libc(), pair = new Int32Array(2);
  c.socketpair(1, 1, 0, pair);
  const [kept, closed] = pair as unknown as [number, number];
  const before = inheritedDescriptors();
  assertEquals([before.includes(kept), before.includes(closed)], [true, true]);
  const { lines } = await run('ls "/proc/$$/fd"', [], { closed: before.filter((fd) => fd !== kept) });
  assertEquals(lines, ["0", "1", "2", String(kept)].sort());
  c.fcntl(closed, F_SETFD, 1);
  assertEquals(inheritedDescriptors().includes(closed), false);
  c.close(kept);
  c.close(closed);
});

test("spawn starts a session or a limit of open files of the program's own if asked to", async () => {
  const session = await run('cut -d" " -f6 "/proc/$$/stat"', [], { ownSession: true });
  assertEquals(session.lines, [String(session.pid)]);
  const { soft } = openFileLimits();
  assertEquals((await run("ulimit -Sn", [], { openFiles: 123n })).lines, ["123"]);
  assertEquals(openFileLimits().soft, soft);
});

test("withOpenFileLimit puts the limit back, whatever happens, and never raises it above the hard one", () => {
  const before = openFileLimits();
  assertThrows(
    () =>
      withOpenFileLimit(200n, () => {
        assertEquals(openFileLimits().soft, 200n);
        throw new Error("on purpose");
      }),
    Error,
    "on purpose",
  );
  assertEquals(openFileLimits(), before);
  withOpenFileLimit(before.hard + 1n, () => assertEquals(openFileLimits(), before));
  withOpenFileLimit(undefined, () => assertEquals(openFileLimits(), before));
});

test("findProgram finds what a shell finds", () => {
  assertEquals(findProgram("sh", "/nowhere:/bin"), { path: "/bin/sh" });
  assertEquals(findProgram("/bin/sh", ""), { path: "/bin/sh" });
  assertEquals(findProgram("passwd", "/etc:/nowhere"), { missing: "not executable" });
  assertEquals(findProgram("no-such-program", "/bin"), { missing: "absent" });
  assertEquals(findProgram("", "/bin"), { missing: "absent" });
  // A folder of that name is passed over on the path, and is there if it is named.
  assertEquals(findProgram("bin", "/usr"), { missing: "absent" });
  assertEquals(findProgram("/usr/bin", ""), { missing: "not executable" });
});

test("a LineSocket hears lines as they come, the last one without its end, and says lines", async () => {
  const lines: string[] = [], socket = new LineSocket((line) => lines.push(line)), { theirs } = socket;
  const script = "echo ready; read -r answer; printf 'got %s\\n\\nrest' \"$answer\"";
  const env = ["PATH=/usr/bin:/bin"];
  const child = spawn({ path: "/bin/sh", args: ["sh", "-c", script], env, stdio: [theirs, theirs, theirs] });
  socket.started();
  socket.say("hello");
  await Promise.all([child.ended, socket.closed]);
  assertEquals(lines, ["ready", "got hello", "", "rest"]);
  socket.say("too late");
  socket.finish();
  socket.abandon();
});

test("a LineSocket hears a line without end in parts, and does not wait for one who does not read", async () => {
  const lengths: number[] = [], socket = new LineSocket((line) => lengths.push(line.length)), { theirs } = socket;
  const script = "echo ready; head -c 100000 /dev/zero | tr '\\0' x; read -r go; sleep 600";
  const env = ["PATH=/usr/bin:/bin"];
  const child = spawn({ path: "/bin/sh", args: ["sh", "-c", script], env, stdio: [theirs, theirs, theirs] });
  socket.started();
  while (lengths.reduce((sum, length) => sum + length, 0) < 80_000) await new Promise((done) => setTimeout(done, 5));
  assertEquals(Math.max(...lengths) < 32768, true);
  for (let i = 0; i < 100; i++) socket.say("x".repeat(10_000));
  child.kill(SIGTERM);
  socket.abandon();
  await Promise.all([child.ended, socket.closed]);
});

test("a LineSocket that is abandoned closes although the other side is open", async () => {
  const socket = new LineSocket(() => {});
  socket.abandon();
  await socket.closed;
});

test("what the caller gave is read from /proc, and other arguments are not taken for it", () => {
  assertEquals(originalWords(["no such argument"]), undefined);
  assertEquals(originalWords([]), []);
  const path = Deno.env.get("PATH")!;
  assertEquals(originalEnvironment()!.find((variable) => variable.startsWith("PATH=")), utf8ByteText(`PATH=${path}`));
  assertEquals(typeof callerOpenFileLimit(), "bigint");
});

test("readFileBytes and readFileStart read files whose length is not known, and say when there is none", () => {
  assertEquals(readFileBytes("/proc/self/no-such-file"), undefined);
  assertEquals(readFileStart("/no/such", 4), undefined);
  assertEquals(readFileBytes("/proc/self/stat")!.length > 0, true);
  assertEquals(readFileStart("/etc/passwd", 5)!.length, 5);
});
