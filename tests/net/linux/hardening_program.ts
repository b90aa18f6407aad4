/**
 * Gives up what `net/linux/privileges.ts` and `seccomp.ts` can give up, and says what it can still do, on every thread;
 * for `privileges_test.ts`.
 *
 * @module
 */
import { dropCapabilities, hideProcess } from "../../../net/linux/privileges.ts";
import { errno, errnoName, libc } from "../../../net/linux/libc.ts";
import { denySystemCalls } from "../../../net/linux/seccomp.ts";
import { deniedCalls } from "../../../net/linux/system_calls.ts";

/** A line of /proc/self/status of each thread, without repetitions. */
function ofThreads(name: string): string[] {
  const values = [...Deno.readDirSync("/proc/self/task")].map((thread) => {
    const status = Deno.readTextFileSync(`/proc/self/task/${thread.name}/status`);
    return new RegExp(`^${name}:\\t(.*)$`, "m").exec(status)![1]!;
  });
  return [...new Set(values)].sort();
}

/** What a system call answers that gets nonsense: `ok`, or the name of its error. */
function attempt(number: number): string {
  return libc().syscall(BigInt(number), 0xffffffffn, 0xffffffffn, 0xffffffffn) < 0 ? errnoName(errno()) : "ok";
}

async function startProgram(): Promise<string> {
  try {
    await new Deno.Command("true").output();
    return "started";
  } catch (error) {
    return (error as Error).name;
  }
}

const source = `onmessage = ({ data }) => postMessage(data)`;
/** A Worker that was made before anything was given up. */
const before = new Worker(URL.createObjectURL(new Blob([source])), { type: "module" });
await echo(before);

function echo(worker: Worker): Promise<string> {
  return new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage("works");
  });
}

const problems = [hideProcess(), dropCapabilities(["netRaw"]), denySystemCalls()];
const isolated = ofThreads("Seccomp"), privileges = ofThreads("NoNewPrivs");
const calls = [...deniedCalls(Deno.build.arch)].map(([name, number]) => [name, attempt(number)]);
const noProgram = await startProgram();
const after = new Worker(URL.createObjectURL(new Blob([source])), { type: "module" });
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const [accepted, connected] = await Promise.all([listener.accept(), Deno.connect({ port: listener.addr.port })]);
console.log(JSON.stringify({
  problems: problems.map((problem) => problem?.message ?? null),
  isolated,
  privileges,
  ownCapabilities: /^CapEff:\t(.*)$/m.exec(Deno.readTextFileSync("/proc/thread-self/status"))![1],
  notDenied: calls.filter(([, answer]) => answer !== "EPERM"),
  noProgram,
  workers: [await echo(before), await echo(after)],
  threadsAfter: ofThreads("Seccomp"),
  sockets: accepted.localAddr.transport + connected.localAddr.transport,
  interfaces: Deno.networkInterfaces().length > 0,
  descriptors: [...Deno.readDirSync("/proc/self/fd")].length > 3,
  ownerOfDescriptors: Deno.statSync("/proc/self/fd").uid,
}));
Deno.exit();
