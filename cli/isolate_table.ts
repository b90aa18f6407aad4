/**
 * The table of what is mounted under `run --isolate`, as text in the form of fstab(5).
 *
 * @module
 */

/** A piece of the table is one argument of a program: at most 128 KiB on Linux. */
const PIECE = 100_000;
const NOTHING = "ro,nosuid,nodev,noexec";

/** Collects lines; what is in a folder that is covered needs no cover of its own. */
export class CoverTable {
  readonly #lines: string[] = [];
  readonly #folders: string[] = [];
  readonly #files = new Set<string>();

  /** Whether a path is in a covered folder. */
  covers(path: string): boolean {
    return this.#folders.some((folder) => isWithin(path, folder));
  }

  /** Covers a folder with an empty one. */
  folder(path: string): void {
    if (this.covers(path)) return;
    this.#folders.push(path);
    this.add("hawser", `${path}/.`, "tmpfs", `mode=${path.startsWith("/tmp/") ? "1777" : "755"},nosuid,nodev`);
  }

  /** Covers a file with one that cannot be opened. */
  file(path: string): void {
    if (this.covers(path) || this.#files.has(path)) return;
    this.#files.add(path);
    this.add("/dev/null", path, "none", `bind,${NOTHING}`);
  }

  /** Mounts what is at a path over itself, read-only. */
  again(path: string): void {
    if (this.#files.has(path)) return;
    this.#files.add(path);
    this.add(path, path, "none", `rbind,${NOTHING}`);
  }

  /**
   * A line of fstab(5). To mount(8) a folder with a dot behind it is another one, so that it mounts what is mounted.
   */
  add(source: string, target: string, type: string, options: string): void {
    this.#lines.push(`${escape(source)} ${escape(target)} ${type} ${options} 0 0`);
  }

  /** The lines, in pieces of a bounded size. */
  pieces(): string[] {
    const pieces: string[] = [], encoder = new TextEncoder();
    let lines: string[] = [], length = 0;
    for (const line of this.#lines) {
      const more = encoder.encode(line).length + 1;
      if (length + more > PIECE) {
        pieces.push(lines.join("\n"));
        lines = [];
        length = 0;
      }
      lines.push(line);
      length += more;
    }
    return [...pieces, lines.join("\n")];
  }
}

function escape(text: string): string {
  return text.replaceAll(/[\s\\#"]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** Whether a path is a folder or lies in it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}
