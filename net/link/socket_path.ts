/**
 * Who owns the path of a unix socket.
 *
 * A path is bound if nothing is there. Where there is something, it is looked at: a socket that no program has open was
 * left behind and is taken over; a socket that is open is another program's; and anything else is never touched.
 * Between the look and the removal another program could do the same: a lock would need a second file, so that is left
 * as it is.
 *
 * When the listener closes, the path is removed if what lies there is still what was bound.
 *
 * @module
 */

/** A path that somebody else has chosen, for messages: one line, whatever is in it. */
export function printablePath(path: string): string {
  return path.replace(
    /[\p{C}\p{Zl}\p{Zp}\\]/gu,
    (char) => char === "\\" ? "\\\\" : `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

/** The steps on a path, by whatever means. */
export interface PathSteps<T> {
  /** Binds a socket at the path. Throws `Deno.errors.AddrInUse` where something is there. */
  bind(): T;
  /** Whether some program has the socket at the path open. */
  isServed(): boolean | Promise<boolean>;
  /** Removes what is at the path. */
  remove(): void;
}

/** A socket at a path. */
export interface BoundPath<T> {
  /** What `bind` gave. */
  readonly socket: T;
  /** Removes the path if it is still this socket's. */
  release(): void;
}

/**
 * Binds a socket at `path`, in place of one that was left behind. Throws `Deno.errors.AddrInUse` where another program
 * serves there, `Deno.errors.AlreadyExists` where there is another kind of file, and what `bind` throws.
 */
export async function bindSocketPath<T>(path: string, steps: PathSteps<T>): Promise<BoundPath<T>> {
  let socket: T;
  try {
    socket = steps.bind();
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    const found = look(path);
    if (found !== undefined && !found.isSocket) {
      throw new Deno.errors.AlreadyExists(
        `Cannot listen on ${path}: there is a file of that name that is no socket, remove it or take another path`,
      );
    }
    if (found !== undefined && await steps.isServed()) {
      throw new Deno.errors.AddrInUse(`Cannot listen on ${path}: another program serves there, take another path`);
    }
    steps.remove();
    socket = steps.bind();
  }
  const ours = look(path);
  const release = () => {
    const found = look(path);
    if (found !== undefined && found.dev === ours?.dev && found.ino === ours.ino) steps.remove();
  };
  return { socket, release };
}

/**
 * Whether some program has the socket at this path open, by Deno's own means. A socket of datagrams refuses a stream in
 * another way when it is open than when it was left behind.
 */
export async function denoPathIsServed(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.NotFound);
  }
}

function look(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
