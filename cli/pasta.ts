/**
 * `hawser pasta`, and a file of Hawser's that is called `pasta`: Hawser in place of pasta, for podman, buildah,
 * rootlesskit and others.
 *
 * A thin translation: the command line becomes that of `hawser serve` for one TAP in a namespace, or that of `hawser
 * run` (`pasta_options.ts`). For a namespace that is there it goes to the background when it is ready
 * (`pasta_launcher.ts`), and ends when the namespace is gone (`namespace_watch.ts`). What fails is one line on stderr
 * and exit code 1.
 *
 * podman starts it inside its user and mount namespaces, as root there, in the network namespace of the host; so
 * nothing here may need to come back from a namespace. See `netns_tun.ts`.
 *
 * @module
 */
import { originalEnvironment } from "../net/linux/process.ts";
import { writeStderr } from "./log.ts";
import { isLaunched, launch } from "./pasta_launcher.ts";
import { goesToBackground } from "./pasta_words.ts";

const FAILED = 1;
/** How the environment names a descriptor, which the process in the background must get. */
const AUDIT_DESCRIPTOR = "HAWSER_AUDIT=fd:";

/** Does what the words after `pasta` say. Resolves to the exit code. */
export async function pasta(args: readonly string[]): Promise<number> {
  try {
    if (canLaunch(args)) return await launch([]);
    const { followPasta } = await import("./pasta_gateway.ts");
    return await followPasta(args);
  } catch (error) {
    writeStderr(`pasta: ${error instanceof Error ? error.message : error}\n`);
    if (error instanceof Error) return FAILED;
    throw error;
  }
}

/** Whether this process has nothing to do but to start the one in the background. */
function canLaunch(args: readonly string[]): boolean {
  if (Deno.build.os !== "linux" || !goesToBackground(args) || isLaunched()) return false;
  return originalEnvironment()?.every((variable) => !variable.startsWith(AUDIT_DESCRIPTOR)) ?? false;
}
