/**
 * Keeping Deno's debugger shut without the C library.
 *
 * Where there is no `--allow-ffi`, or no Linux, USR1 cannot be ignored in the kernel: Deno takes it and opens its
 * debugger on 127.0.0.1:9229. What helps is a listener of our own, which Deno calls for the same signal. It takes that
 * port, so that Deno cannot, and gives it back when no USR1 has come for a second; and it stops a debugger that was
 * quicker. Deno reports each failure on stderr.
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
