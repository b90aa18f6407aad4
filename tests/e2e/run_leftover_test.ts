import { assertEquals, assertLess } from "@std/assert";
import { hawser, processesWith, shell, startHawser, until } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "setsid");

/** A number of seconds to sleep that no other process sleeps: processes are found by it. */
function uniqueSleep(): string {
  return `86${crypto.getRandomValues(new Uint32Array(1))[0]}`;
}

/** A subnet that no other test uses: its holder is found by the address of its guest. */
function uniqueSubnet(): { subnet: string; address: string } {
  const [second, third] = crypto.getRandomValues(new Uint8Array(2));
  return { subnet: `10.${second}.${third}.0/24`, address: `10.${second}.${third}.15/24` };
}

/** What must be the same before and after: mounts, but for those of other tests, and what was bound on /tmp. */
function surroundings(): Promise<string> {
  return shell(`grep -v /netns /proc/self/mounts; ls -d /tmp/resolv.conf 2>&1 || true`);
}

/** Whether a process is left that has one of these words among its arguments: without one there is no namespace. */
async function isAnyLeft(...words: string[]): Promise<boolean> {
  const found = await Promise.all(words.map(processesWith));
  return found.some((processes) => processes.length > 0);
}

Deno.test({
  name: `hawser run ends what the command left, in sessions of its own too, and leaves nothing itself${reason}`,
  ignore,
  fn: async () => {
    const before = await surroundings(), seconds = uniqueSleep(), { subnet, address } = uniqueSubnet();
    const script =
      `sleep ${seconds} & setsid sleep ${seconds} & (trap '' HUP TERM INT; exec sleep ${seconds}) & exit 2`;
    const began = performance.now();
    const outcome = await hawser(["run", "--subnet", subnet, "sh", "-c", script]);
    // Reading stdout to its end took no longer than that: nobody holds it.
    assertLess(performance.now() - began, 5000);
    assertEquals({ code: outcome.code, stderr: outcome.stderr }, { code: 2, stderr: "" });
    assertEquals(await isAnyLeft(seconds, address), false);
    assertEquals(await surroundings(), before);
  },
});

Deno.test({
  name: `hawser run that is killed takes the command and all it started with it${reason}`,
  ignore,
  fn: async () => {
    const before = await surroundings(), seconds = uniqueSleep(), { subnet, address } = uniqueSubnet();
    const script = `setsid sleep ${seconds} & (trap '' HUP TERM INT; exec sleep ${seconds}) & exec sleep ${seconds}`;
    const child = startHawser(["run", "--subnet", subnet, "sh", "-c", script]);
    const output = child.output();
    // Three sleeps, and hawser itself.
    await until("the command runs", async () => (await processesWith(`sleep ${seconds}`)).filter(isSleep).length === 3);
    child.kill("SIGKILL");
    await output;
    await until("everything has ended", async () => !await isAnyLeft(seconds, address), 30_000);
    assertEquals(await surroundings(), before);
  },
});

Deno.test({
  name: `hawser run that is killed at any moment of its start leaves nothing${reason}`,
  ignore,
  fn: async () => {
    const before = await surroundings(), seconds = uniqueSleep(), { subnet, address } = uniqueSubnet();
    for (let delayMs = 20; delayMs <= 260; delayMs += 20) {
      const child = startHawser(["run", "--subnet", subnet, "sleep", seconds]);
      const output = child.output();
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      child.kill("SIGKILL");
      await output;
    }
    await until("everything has ended", async () => !await isAnyLeft(seconds, address), 30_000);
    assertEquals(await surroundings(), before);
  },
});

Deno.test({
  name: `hawser run does not touch processes outside its namespace${reason}`,
  ignore,
  fn: async () => {
    const seconds = uniqueSleep();
    const bystander = new Deno.Command("sleep", { args: [seconds], stdin: "null", stdout: "null" }).spawn();
    try {
      const [first, second] = await Promise.all([
        hawser(["run", "sh", "-c", "sleep 300 & exit 1"]),
        hawser(["run", "sh", "-c", "sleep 0.5; exit 2"]),
      ]);
      assertEquals([first.code, second.code], [1, 2]);
      assertEquals((await processesWith(seconds)).length, 1);
    } finally {
      bystander.kill();
      await bystander.status;
    }
  },
});

function isSleep(line: string): boolean {
  return /^\s*\d+\s+\S+\s+sleep \d+$/.test(line);
}
