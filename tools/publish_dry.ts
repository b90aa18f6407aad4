/**
 * `deno task publish:dry`: checks that the package could be published, without doing so. Needs JSR in reach.
 *
 * With `links` in the configuration, the linked modules would count as the package's own; so this works from a copy of
 * deno.json without them, beside it (the folder of a configuration is the root of its package) and for as long as it
 * runs.
 *
 * @module
 */
const COPY = ".publish.deno.json";

async function publishDry(): Promise<number> {
  const root = new URL("../", import.meta.url);
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  delete config.links;
  const copy = new URL(COPY, root);
  await Deno.writeTextFile(copy, JSON.stringify(config, null, 2) + "\n");
  try {
    const { code } = await new Deno.Command("deno", {
      args: ["publish", "--dry-run", "--allow-dirty", "--no-lock", "--config", COPY, ...Deno.args],
      cwd: root,
    }).spawn().status;
    return code;
  } finally {
    await Deno.remove(copy);
  }
}

Deno.exit(await publishDry());
