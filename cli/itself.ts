/**
 * How Hawser starts itself once more, as something that it needs beside itself: from a checkout, as one file, or as an
 * executable.
 *
 * @module
 */

/** The word by which the command is the agent of `loopback_agent.ts`. No command and no process is called so. */
export const AGENT_WORD = "--loopback-agent";

/**
 * The words that start this command as `word`, with the permission for these addresses of the network, or for all of
 * it; `undefined` if Hawser is not a file here. `file` is the URL of the file that is the command.
 */
export function itselfAs(word: string, file: string | undefined, network?: string): string[] | undefined {
  if (Deno.build.standalone) return [Deno.execPath(), word];
  if (file === undefined || !file.startsWith("file:")) return undefined;
  const path = decodeURIComponent(new URL(file).pathname), isCheckout = path.endsWith(".ts");
  // One file reads itself, and has no configuration.
  const options = isCheckout ? ["--no-lock"] : ["--ext=js", "--no-config", `--allow-read=${path}`];
  const net = network === undefined ? "--allow-net" : `--allow-net=${network}`;
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", ...options, net, path, word];
}
