/**
 * The programs that make and enter namespaces: where they are, and in which surroundings they run.
 *
 * They have nothing of the user's environment but where to look: variables such as LD_PRELOAD or BASH_ENV are meant for
 * COMMAND. The folders of administrators are always looked into.
 *
 * @module
 */
import type { ByteText } from "../net/linux/byte_text.ts";
import { inheritedDescriptors } from "../net/linux/process.ts";
import { findProgram, LineSocket, spawn, SpawnError } from "../net/linux/spawn.ts";
import { DIAGNOSE } from "./namespace_script.ts";

/** Where tools are looked for if there is no PATH. */
const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";
const SBIN = "/usr/sbin:/sbin";
const PATH = "PATH=";

/** Where the helpers are, and the environment in which they run. */
export interface HelperTools {
  /** Where `unshare` is. */
  readonly unshare: ByteText;
  /** Where `nsenter` is. */
  readonly nsenter: ByteText;
  /** Nothing of the user's but where to look: variables such as LD_PRELOAD and BASH_ENV are meant for COMMAND. */
  readonly env: readonly ByteText[];
}

/** The environment of a tool, made of the user's: `NAME=VALUE` each. */
export function toolEnvironment(env: readonly ByteText[]): ByteText[] {
  const path = env.find((variable) => variable.startsWith(PATH))?.slice(PATH.length);
  return [`${PATH}${path || DEFAULT_PATH}:${SBIN}`, "LC_ALL=C"];
}

/** The file of a tool, or `undefined` if there is none in a `toolEnvironment`. */
export function findTool(name: string, env: readonly ByteText[]): ByteText | undefined {
  const found = findProgram(name, env[0]!.slice(PATH.length));
  return "path" in found ? found.path : undefined;
}

/** What `DIAGNOSE` says of this machine; nothing if it cannot be run. */
export async function diagnose(env: readonly ByteText[]): Promise<string> {
  const path = findTool("sh", env);
  if (path === undefined) return "";
  const lines: string[] = [], socket = new LineSocket((line) => lines.push(line)), { theirs } = socket;
  try {
    const stdio = [theirs, theirs, theirs] as const;
    await spawn({ path, args: ["sh", "-c", DIAGNOSE], env, stdio, closed: inheritedDescriptors() }).ended;
  } catch (error) {
    if (!(error instanceof SpawnError)) throw error;
  }
  socket.started();
  await socket.closed;
  return lines.join("\n");
}
