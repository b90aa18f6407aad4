/**
 * Opening /dev/net/tun inside a network namespace that exists already.
 *
 * The interface that is made of the descriptor appears where it was opened. As root that takes two calls of `setns` around the
 * open. An ordinary user may not call it, but owns the user namespaces that he has made: for a process in one of them a
 * shell enters both its namespaces with `nsenter`, opens the file and holds it, until it has been taken out of the shell by
 * `pidfd_getfd`.
 *
 * @module
 */
import { pidfdGetFd } from "../net/linux/pidfd.ts";
import { openTun } from "../net/linux/tun.ts";
import type { NetnsSpec } from "./link_spec.ts";

const TUN_FD = 9;
const HOLD = `exec ${TUN_FD}<>/dev/net/tun && echo ready && read -r line`;
const ENTER = `exec nsenter --target "$1" --user --net --preserve-credentials -- sh -c "$2"`;

/** A descriptor of /dev/net/tun that was opened in this namespace, or in Hawser's own. Throws an `Error` that says what helps. */
export async function openTunIn(netns: NetnsSpec | undefined): Promise<number> {
  if (netns === undefined) return openTun();
  if ("path" in netns) return openTun({ netns: netns.path });
  try {
    return openTun({ netns: `/proc/${netns.pid}/ns/net` });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Error(`there is no process ${netns.pid}`);
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    return await openThroughShell(netns.pid);
  }
}

async function openThroughShell(pid: number): Promise<number> {
  const child = new Deno.Command("sh", {
    args: ["-c", ENTER, "hawser", String(pid), HOLD],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdout = child.stdout.getReader();
  try {
    const { done } = await stdout.read();
    if (!done) return pidfdGetFd(child.pid, TUN_FD);
    const complaint = (await new Response(child.stderr).text()).trim().replaceAll(/\s+/g, " ");
    throw new Error(
      `cannot enter the namespaces of process ${pid}: ${complaint}; run as root, or name a process in a user namespace of your own`,
    );
  } finally {
    await child.stdin.close();
    await stdout.cancel();
    await child.stderr.cancel().catch(() => {});
    await child.status;
  }
}
