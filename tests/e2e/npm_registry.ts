/**
 * A small npm registry of static files, and a project that wants packages of it, for tests and recipes.
 *
 * @module
 */
import { shell } from "./run_support.ts";

/** A package: its name, what it depends on, and the host that has it. */
export interface TinyPackage {
  readonly name: string;
  readonly host: string;
  readonly dependencies?: readonly string[];
}

/** Where the archive of a package is. */
function archiveUrl({ name, host }: TinyPackage): string {
  return `https://${host}/${name}/-/${name}-1.0.0.tgz`;
}

/** Makes archives and metadata of these packages below `www/`, and returns a digest of each archive by name. */
export async function fillRegistry(www: string, packages: readonly TinyPackage[]): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const one of packages) {
    const { name, host, dependencies = [] } = one, folder = `${www}/${host}/${name}`;
    const manifest = {
      name,
      version: "1.0.0",
      main: "index.js",
      dependencies: Object.fromEntries(dependencies.map((other) => [other, "1.0.0"])),
    };
    const parts = Object.entries({
      "package.json": JSON.stringify(manifest),
      "index.js": `exports.name = "${name}";\n`,
    });
    await Deno.mkdir(`${folder}/package`, { recursive: true });
    for (const [file, text] of parts) await Deno.writeTextFile(`${folder}/package/${file}`, text);
    await shell('cd "$1" && mkdir -p ./- && tar -czf "./-/$2-1.0.0.tgz" package && rm -r package', folder, name);
    const archive = await Deno.readFile(`${folder}/-/${name}-1.0.0.tgz`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-512", archive));
    const integrity = `sha512-${digest.toBase64()}`;
    digests.set(name, integrity);
    const version = { ...manifest, dist: { tarball: archiveUrl(one), integrity } };
    const metadata = { name, "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": version } };
    await Deno.writeTextFile(`${folder}/index.json`, JSON.stringify(metadata));
  }
  return digests;
}

/** Makes a project in `folder` that depends on all of `packages`, locked to their archives. */
export async function writeProject(
  folder: string,
  packages: readonly TinyPackage[],
  digests: ReadonlyMap<string, string>,
): Promise<void> {
  const project = { name: "project", version: "1.0.0", dependencies: {} as Record<string, string> };
  const locked: Record<string, unknown> = {};
  for (const one of packages) {
    project.dependencies[one.name] = "1.0.0";
    locked[`node_modules/${one.name}`] = {
      version: "1.0.0",
      resolved: archiveUrl(one),
      integrity: digests.get(one.name)!,
      dependencies: Object.fromEntries((one.dependencies ?? []).map((other) => [other, "1.0.0"])),
    };
  }
  const lock = {
    name: "project",
    version: "1.0.0",
    lockfileVersion: 3,
    requires: true,
    packages: { "": project, ...locked },
  };
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify(project));
  await Deno.writeTextFile(`${folder}/package-lock.json`, JSON.stringify(lock));
}

/** Environment of an npm that asks the registry `host`, trusts the authority `ca`, and keeps its own in `folder`. */
export function npmEnvironment(host: string, options: { ca: string; folder: string }): Record<string, string> {
  return {
    npm_config_userconfig: `${options.folder}/npmrc`,
    npm_config_registry: `https://${host}/`,
    npm_config_cafile: options.ca,
    npm_config_cache: `${options.folder}/cache`,
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    npm_config_fetch_retries: "0",
  };
}
