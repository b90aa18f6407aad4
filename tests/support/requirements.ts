/**
 * What a test needs of the machine: it is skipped, and its name says why, where something is missing.
 *
 * Importing this also opens the C library where that is possible, so that the sanitizers do not count the library,
 * which stays open, as something that a test left behind.
 *
 * @module
 */
import { libc, prepareSockets } from "../../net/linux/libc.ts";
import { openTun } from "../../net/linux/tun.ts";

/** Whether a test is to be skipped. */
export interface Requirements {
  /** For `Deno.test`. */
  ignore: boolean;
  /** For the end of the test's name: empty, or ` [skipped: …]`. */
  reason: string;
}

/**
 * Checks names: `linux`, `ffi`, `root`, `user` (an ordinary one), `tun` (/dev/net/tun can be opened), `ipv6` (on
 * loopback); any other name is a command on the path.
 *
 * ```ts
 * const needs = requires("root", "ip");
 * Deno.test({ name: `ping is answered${needs.reason}`, ignore: needs.ignore, fn() {} });
 * ```
 */
export function requires(...names: string[]): Requirements {
  const missing = names.map(missingReason).filter((reason) => reason !== undefined);
  return { ignore: missing.length > 0, reason: missing.length > 0 ? ` [skipped: ${missing.join(", ")}]` : "" };
}

const ffi = ffiReason();

function missingReason(name: string): string | undefined {
  switch (name) {
    case "linux":
      return Deno.build.os === "linux" ? undefined : "not Linux";
    case "ffi":
      return ffi;
    case "root":
      return Deno.uid() === 0 ? undefined : "not root";
    case "user":
      return Deno.uid() === 0 ? "not an ordinary user" : undefined;
    case "tun":
      return ffi ?? tunReason();
    case "ipv6":
      return ipv6Reason();
    default:
      return commandExists(name) ? undefined : `no command ${name}`;
  }
}

function ffiReason(): string | undefined {
  if (Deno.build.os !== "linux") return "not Linux";
  if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") return "no --allow-ffi";
  try {
    prepareSockets();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function tunReason(): string | undefined {
  try {
    libc().close(openTun());
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function ipv6Reason(): string | undefined {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return undefined;
  } catch {
    return "no IPv6 on loopback";
  }
}

function commandExists(name: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      const info = Deno.statSync(`${folder}/${name}`);
      return info.isFile && ((info.mode ?? 0) & 0o111) !== 0;
    } catch {
      return false;
    }
  });
}
