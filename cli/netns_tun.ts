/**
 * Opening /dev/net/tun inside a network namespace that exists already.
 *
 * The interface that is made of the descriptor appears where it was opened. So a shell enters the namespace by
 * `nsenter`, opens the file and holds it until the descriptor has been taken out of the shell by `pidfd_getfd`. A
 * process of its own does that, because one that has entered a namespace may not be able to return: in a container, the
 * network namespace in which Hawser runs belongs to somebody else. First the shell enters the user namespace that owns
 * the network namespace, where it has every right if that is within Hawser's own.
 *
 * @module
 */
import { libc } from "../net/linux/libc.ts";
import { NetworkNamespace } from "../net/linux/netns.ts";
import { pidfdGetFd } from "../net/linux/pidfd.ts";
import { inheritedDescriptors, originalEnvironment } from "../net/linux/process.ts";
import { LineSocket, spawn, SpawnError } from "../net/linux/spawn.ts";
import { openTun } from "../net/linux/tun.ts";
import type { NetnsSpec } from "./link_spec.ts";
import { findTool, toolEnvironment } from "./tools.ts";

const TUN_FD = 3;
const HOLD = `exec ${TUN_FD}<>/dev/net/tun && echo hawser:ready && read -r line`;

/**
 * A descriptor of /dev/net/tun that was opened in this namespace, or in Hawser's own. Throws an `Error` that says what
 * helps.
 */
export async function openTunIn(netns: NetnsSpec | undefined): Promise<number> {
  const here = openTun();
  if (netns === undefined) return here;
  // It was opened to learn what is wrong with the device, if anything is: from here that can be said best.
  libc().close(here);
  using target = openNamespace(netns);
  return await openThroughShell(target, "pid" in netns ? `of process ${netns.pid}` : netns.path);
}

function openNamespace(netns: NetnsSpec): NetworkNamespace {
  if ("path" in netns) return NetworkNamespace.open(netns.path);
  try {
    return NetworkNamespace.open(`/proc/${netns.pid}/ns/net`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Error(`there is no process ${netns.pid}`);
    throw error;
  }
}

async function openThroughShell(target: NetworkNamespace, name: string): Promise<number> {
  const env = toolEnvironment(originalEnvironment() ?? []), path = findTool("nsenter", env);
  if (path === undefined) throw new Error('cannot find "nsenter", install it (Debian package util-linux)');
  const { fd, ownerFd } = target, passedOn = [fd, ownerFd];
  const flags = ownerFd === undefined ? [] : [`--user=/proc/self/fd/${ownerFd}`, "--preserve-credentials"];
  const complaints: string[] = [], ready = Promise.withResolvers<boolean>();
  const socket = new LineSocket((line) => {
    if (line === "hawser:ready") ready.resolve(true);
    else complaints.push(line);
  });
  const { theirs } = socket;
  try {
    const child = spawn({
      path,
      args: ["nsenter", ...flags, `--net=/proc/self/fd/${fd}`, "--", "sh", "-c", HOLD],
      env,
      stdio: [theirs, theirs, theirs],
      closed: inheritedDescriptors().filter((inherited) => !passedOn.includes(inherited)),
      ownSession: true,
    });
    socket.started();
    socket.closed.then(() => ready.resolve(false));
    if (await ready.promise) return pidfdGetFd(child.pid, TUN_FD);
    await child.ended;
  } catch (error) {
    if (!(error instanceof SpawnError)) throw error;
    complaints.push(error.message);
  } finally {
    socket.started();
    socket.finish();
    await socket.closed;
  }
  const complaint = complaints.join("; ").replaceAll(/\s+/g, " ").trim();
  throw new Error(
    `cannot enter the network namespace ${name}: ${complaint}; run as root, or name one that belongs to a user namespace of ` +
      "your own",
  );
}
