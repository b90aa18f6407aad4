/**
 * The descriptors of this process, to find those that something left open.
 *
 * @module
 */

/**
 * What the sockets, event polls and the like of this process are, sorted: `socket:[123]`, `anon_inode:[eventpoll]`.
 * Empty where there is no /proc. Deno reads /proc/self only with every permission, so `ls` does (`--allow-run`).
 */
export async function openDescriptors(): Promise<string[]> {
  if (Deno.build.os !== "linux") return [];
  const { stdout } = await new Deno.Command("ls", { args: ["-l", `/proc/${Deno.pid}/fd`] }).output();
  const targets = new TextDecoder().decode(stdout).matchAll(/-> ((?:socket|anon_inode):.*)$/gm);
  // The runtime holds a pidfd for each child, that `ls` included, until it has reaped it.
  return [...targets].map((match) => match[1]!).filter((what) => what !== "anon_inode:[pidfd]").sort();
}

/**
 * Those of `openDescriptors` that were not among `before`. What has closed since does not count: something from before
 * may have been about to.
 */
export async function openedSince(before: readonly string[]): Promise<string[]> {
  const rest = [...before];
  return (await openDescriptors()).filter((what) => {
    const at = rest.indexOf(what);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}
