/**
 * Where filesystems are mounted, and at which paths the same file appears therefore.
 *
 * @module
 */
import { isWithin } from "./isolate_table.ts";
import { IsolationError, type Machine } from "./isolate_view.ts";

/** A place where a filesystem is mounted, or a part of it. */
export interface MountPoint {
  /** The number of the filesystem: `8:1`. */
  readonly device: string;
  /** Which folder or file of it. */
  readonly root: string;
  /** Where. */
  readonly path: string;
}

/** Reads mountinfo (proc(5)): ID PARENT MAJOR:MINOR ROOT PATH … */
export function readMounts(mountinfo: string): MountPoint[] {
  const unescape = (text: string) =>
    text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return mountinfo.split("\n").filter((line) => line !== "").map((line) => {
    const [, , device, root, path] = line.split(" ");
    return { device: device!, root: unescape(root!), path: unescape(path!) };
  });
}

/**
 * Every path at which a file of Hawser's appears. Throws an `IsolationError` if it has another name that nobody can
 * find.
 */
export function placesOf(path: string, machine: Machine, mounts: readonly MountPoint[]): string[] {
  const facts = machine.look(path);
  if (facts === undefined || facts.kind === "device" || facts.kind === "folder") return [];
  if (facts.links > 1) {
    throw new IsolationError(`cannot hide ${path} from the command: it has other names (hard links)`);
  }
  let home: MountPoint | undefined;
  for (const mount of mounts) {
    if (isWithin(facts.path, mount.path) && (home === undefined || mount.path.length >= home.path.length)) home = mount;
  }
  const places = [facts.path];
  if (home === undefined) return places;
  const within = join(home.root, facts.path.slice(home.path === "/" ? 0 : home.path.length));
  for (const { device, root, path } of mounts) {
    if (device !== home.device || !isWithin(within, root)) continue;
    const place = join(path, within.slice(root === "/" ? 0 : root.length));
    const there = machine.look(place);
    if (there?.identity === facts.identity) places.push(there.path);
  }
  return places;
}

function join(folder: string, rest: string): string {
  if (rest === "") return folder;
  return `${folder === "/" ? "" : folder}${rest}`;
}
