/**
 * The machine as it is, for the table of covers of `isolate_covers.ts`.
 *
 * @module
 */
import { byteText, readableText } from "../net/linux/byte_text.ts";
import { linkOf, listFolder, modeOf, readFileBytes } from "../net/linux/process.ts";
import { type Command, textVariables } from "./command.ts";
import { type Entry, type FileFacts, type FileKind, IsolationError, type Machine, type Node } from "./isolate_view.ts";

const S_IFMT = 0o170000, S_IFDIR = 0o040000;
/** How deep folders of /dev are looked into. */
const DEV_DEPTH = 3;

/** A machine, and who is who there. */
export interface SurveyedMachine extends Machine {
  /** /proc/self/uid_map for a user namespace in which everybody is who he is here. */
  readonly uidMap: string;
  /** The same of groups. */
  readonly gidMap: string;
}

/** This machine, as this process sees it now. Throws an `IsolationError` if it cannot be looked at. */
export function thisMachine(command: Command): SurveyedMachine {
  // What Deno does not let this process see would not be covered.
  const { state, partial } = Deno.permissions.querySync({ name: "read" });
  if (state !== "granted" || partial) {
    throw new IsolationError("cannot see which sockets there are to cover: --isolate needs --allow-read of every path");
  }
  const mountinfo = readText("/proc/self/mountinfo");
  if (mountinfo === "") throw new IsolationError("cannot see what is mounted on this machine: there is no /proc");
  const mounted = mountinfo.split("\n").map((line) => line.split(" ")[4] ?? "").filter((path) =>
    /^\/sys(\/|$)/.test(path)
  );
  return {
    uidMap: identityMap(readText("/proc/self/uid_map")),
    gidMap: identityMap(readText("/proc/self/gid_map")),
    environment: textVariables(command),
    unixSockets: readText("/proc/self/net/unix"),
    mountinfo,
    nodes: [
      ...nodesIn("/dev", DEV_DEPTH),
      ...nodesIn("/proc", 1).filter(({ path }) => !/^\/proc\/\d/.test(path)),
      ...nodesIn("/proc/sys", 1),
      ...mounted.flatMap(nodeAt),
    ],
    terminals: [0, 1, 2].map((fd) => linkOf(`/proc/self/fd/${fd}`) ?? "").filter((path) => path.startsWith("/dev/")),
    look,
    list,
  };
}

function readText(path: string): string {
  const bytes = readFileBytes(path);
  return bytes === undefined ? "" : readableText(byteText(bytes));
}

/**
 * From the map of a user namespace (its first number, the first outside, how many) to one that changes nothing inside.
 */
export function identityMap(map: string): string {
  const rows = map.split("\n").map((line) => line.trim().split(/\s+/)).filter((row) => row.length === 3);
  return rows.map(([first, , count]) => `${first} ${first} ${count}\n`).join("");
}

function nodesIn(folder: string, depth: number): Node[] {
  return listFolder(folder).flatMap((name) => nodeAt(`${folder}/${name}`)).flatMap((node) =>
    depth > 1 && (node.mode & S_IFMT) === S_IFDIR ? [node, ...nodesIn(node.path, depth - 1)] : [node]
  );
}

function nodeAt(path: string): Node[] {
  const mode = modeOf(path);
  return mode === undefined ? [] : [{ path, mode }];
}

function look(path: string): FileFacts | undefined {
  try {
    const info = Deno.statSync(path);
    const identity = `${info.dev}:${info.ino}`;
    return { kind: kindOf(info), path: Deno.realPathSync(path), identity, links: info.nlink ?? 1 };
  } catch {
    return undefined;
  }
}

function kindOf(info: Deno.FileInfo): FileKind {
  if (info.isDirectory) return "folder";
  if (info.isSocket) return "socket";
  if (info.isFifo) return "fifo";
  return info.isFile ? "file" : "device";
}

function list(path: string): Entry[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name, isFile, isDirectory, isSymlink }) => ({
      name,
      kind: isDirectory ? "folder" : isSymlink ? "link" : isFile ? "file" : "special",
    }));
  } catch {
    return [];
  }
}
