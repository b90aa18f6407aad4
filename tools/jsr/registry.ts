/**
 * A registry of JSR's shape on loopback, for as long as a test or a script runs.
 *
 * Deno uses it where `JSR_URL` names it, and `deno publish --token` fills it: so what is in a package, and how its
 * imports are rewritten, is Deno's own doing and nothing that is imitated here. Packages live in memory. It knows no
 * user and takes any token.
 *
 * @module
 */
import { readTarball } from "./tar.ts";

interface Package {
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What Deno asks for before it fetches files: their hashes, and where each export is. */
  readonly meta: { readonly manifest: Record<string, unknown>; readonly exports: Record<string, string> };
}

const MEDIA_TYPES: Readonly<Record<string, string>> = { ts: "text/typescript", json: "application/json" };

/** The registry. It serves from its making on. */
export class LoopbackRegistry implements AsyncDisposable {
  /** By `@scope/name`, then by version. */
  readonly #packages = new Map<string, Map<string, Package>>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** Begins to serve on a port of 127.0.0.1 that the system chooses. */
  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => this.#answer(request));
  }

  /** What `JSR_URL` must be. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** The names of what has been published, as `@scope/name@version`. */
  get published(): string[] {
    return [...this.#packages].flatMap(([name, versions]) => [...versions.keys()].map((one) => `${name}@${one}`));
  }

  /** The files of a package's latest version by path, none if it is not here. */
  files(name: string): ReadonlyMap<string, Uint8Array> {
    return [...this.#packages.get(name)?.values() ?? []].at(-1)?.files ?? new Map();
  }

  /** Whoever asks from now on finds nobody. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const asked = /^\/api\/scopes\/([^/]+)\/packages\/([^/]+)\/versions\/([^/]+)$/.exec(pathname);
    if (asked !== null) {
      const name = `@${asked[1]}/${asked[2]}`, version = asked[3]!;
      if (request.method === "POST") {
        return await this.#publish(name, version, { config: searchParams.get("config")!, request });
      }
      return this.#packages.get(name)?.has(version) ? Response.json({}) : new Response("Not found", { status: 404 });
    }
    // Every scope and package is there for whoever wants to publish.
    if (pathname.startsWith("/api/")) return Response.json({});
    return this.#serve(pathname);
  }

  async #publish(name: string, version: string, from: { config: string; request: Request }): Promise<Response> {
    const files = await readTarball(from.request.body!);
    const { exports } = JSON.parse(new TextDecoder().decode(files.get(from.config)));
    const manifest: Record<string, unknown> = {};
    for (const [path, bytes] of files) {
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
      manifest[path] = { size: bytes.length, checksum: `sha256-${hash.toHex()}` };
    }
    const versions = this.#packages.get(name) ?? new Map<string, Package>();
    const meta = { manifest, exports: typeof exports === "string" ? { ".": exports } : exports };
    this.#packages.set(name, versions.set(version, { files, meta }));
    return Response.json({ id: "1", status: "success", error: null });
  }

  #serve(pathname: string): Response {
    const [, name = "", rest = ""] = /^\/(@[^/]+\/[^/]+)\/(.+)$/.exec(pathname) ?? [];
    const versions = this.#packages.get(name), missing = new Response("Not found", { status: 404 });
    if (versions === undefined) return missing;
    if (rest === "meta.json") {
      const [scope, short] = name.slice(1).split("/");
      const all = [...versions.keys()];
      return Response.json({
        scope,
        name: short,
        latest: all.at(-1),
        versions: Object.fromEntries(all.map((one) => [one, {}])),
      });
    }
    const meta = /^(.+)_meta\.json$/.exec(rest)?.[1];
    if (meta !== undefined && versions.has(meta)) return Response.json(versions.get(meta)!.meta);
    const slash = rest.indexOf("/"), file = versions.get(rest.slice(0, slash))?.files.get(rest.slice(slash));
    if (file === undefined) return missing;
    const type = MEDIA_TYPES[rest.slice(rest.lastIndexOf(".") + 1)] ?? "text/plain";
    return new Response(new Uint8Array(file), { headers: { "content-type": type } });
  }
}
