/**
 * What the covers of `run --isolate` need to know of the machine. Only `isolate_machine.ts` looks at a real one, so
 * tests can make one up.
 *
 * @module
 */

/** COMMAND cannot be isolated. The message says why. */
export class IsolationError extends Error {
  /** The class's name, for messages. */
  override readonly name = "IsolationError";
}

/** What a path leads to. */
export type FileKind = "folder" | "file" | "socket" | "fifo" | "device";

/** One name in a folder. */
export interface Entry {
  /** The name. */
  readonly name: string;
  /** What it is: `special` is none of the others, that is a socket, a FIFO or a device. */
  readonly kind: "folder" | "file" | "link" | "special";
}

/** One file as `Machine.look` sees it. */
export interface FileFacts {
  /** What it is. */
  readonly kind: FileKind;
  /** Where it really is: a path without symbolic links. */
  readonly path: string;
  /** The filesystem's number and the file's: equal for the same file. */
  readonly identity: string;
  /** How many names it has. */
  readonly links: number;
}

/** A file of /dev or /proc, which is not followed. */
export interface Node {
  /** Its path. */
  readonly path: string;
  /** Its type and permissions, as stat(2) has them. */
  readonly mode: number;
}

/** What of the machine the table depends on. */
export interface Machine {
  /** The environment that COMMAND will have. */
  readonly environment: Readonly<Record<string, string>>;
  /** /proc/net/unix: the sockets of this network namespace. */
  readonly unixSockets: string;
  /** /proc/self/mountinfo. */
  readonly mountinfo: string;
  /**
   * What is in /dev and the folders there, in /proc but for processes, in /proc/sys, and where something is mounted in
   * /sys.
   */
  readonly nodes: readonly Node[];
  /** The terminals among the standard descriptors. */
  readonly terminals: readonly string[];
  /** What a path leads to, through symbolic links; `undefined` if nothing that can be seen. */
  look(path: string): FileFacts | undefined;
  /** What is in a folder, nothing if it cannot be read. */
  list(path: string): readonly Entry[];
}
