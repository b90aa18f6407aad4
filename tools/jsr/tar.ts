/**
 * Reads the archives that `deno publish` sends: gzip around ustar, regular files only.
 *
 * @module
 */
const BLOCK = 512;

/** The files of a `.tar.gz` by path, as `/mod.ts`. Throws a `TypeError` at anything that is no regular file. */
export async function readTarball(gzipped: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Map<string, Uint8Array>> {
  const bytes = await new Response(gzipped.pipeThrough(new DecompressionStream("gzip"))).bytes();
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0;) {
    const header = bytes.subarray(at, at + BLOCK);
    const kind = String.fromCharCode(header[156]!), prefix = text(header, 345, 155), name = text(header, 0, 100);
    if (kind !== "0" && kind !== "\0") throw new TypeError(`Cannot read the archive: ${name} is of kind ${kind}`);
    const size = Number.parseInt(text(header, 124, 12), 8), begin = at + BLOCK;
    if (!(begin + size <= bytes.length)) throw new TypeError(`Cannot read the archive: it ends within ${name}`);
    files.set(`/${prefix === "" ? "" : `${prefix}/`}${name.replace(/^\.?\//, "")}`, bytes.slice(begin, begin + size));
    at = begin + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

/** A text field, which ends at its first NUL. */
function text(header: Uint8Array, offset: number, length: number): string {
  return new TextDecoder().decode(header.subarray(offset, offset + length)).replace(/\0.*$/s, "").trim();
}
