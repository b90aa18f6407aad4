/**
 * Keeping Deno's debugger shut without the C library.
 *
 * Without `--allow-ffi`, or on another system than Linux, the kernel cannot be told to ignore USR1: Deno takes it and
 * opens its debugger on 127.0.0.1:9229. A listener of our own, which Deno calls for the same signal, takes that port so
 * that Deno cannot, and gives it back when no USR1 has come for a second. It also stops a debugger that was quicker.
 * Deno reports each failure on stderr.
 *
 * This needs `--allow-net` for the port. It is no proof: a debugger may be there for the moment until the listener is
 * called, and for good if another program has held the port and let go of it. SECURITY.md says so.
 *
 * @module
 */

const DEBUGGER = { hostname: "127.0.0.1", port: 9229 } as const;
const HOLD_MS = 1000;

/** Takes the debugger's port whenever USR1 comes. */
export function closeDebugger(): void {
  const mayListen = isGranted({ name: "net", host: `${DEBUGGER.hostname}:${DEBUGGER.port}` });
  let held: Deno.Listener | undefined, release: ReturnType<typeof setTimeout> | undefined;
  let stop = () => {};
  void import("node:inspector").then(({ close }) => stop = close, () => {});
  Deno.addSignalListener("SIGUSR1", () => {
    stop();
    if (!mayListen) return;
    try {
      held ??= Deno.listen(DEBUGGER);
    } catch {
      // Another program has it, so Deno cannot have it either.
      return;
    }
    clearTimeout(release);
    release = setTimeout(() => {
      held?.close();
      held = undefined;
    }, HOLD_MS);
  });
}

function isGranted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}
