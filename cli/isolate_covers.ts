/**
 * What is mounted in front of COMMAND under `run --isolate`, so that nothing beyond its namespaces can be reached by a
 * path.
 *
 * **Folders** of sockets get an empty tmpfs: what appears in them later stays hidden too. **Sockets** that lie
 * elsewhere get /dev/null, to which nobody can connect. They are those that the kernel lists for this network namespace
 * (/proc/net/unix), those in /run, and those that the environment names, since a socket of another namespace is in no
 * list. **Hawser's own files** get /dev/null too, wherever the same file appears: at each mount of its filesystem, as
 * mountinfo tells. All of /dev/null is mounted `nodev`, so that opening it fails.
 *
 * **Memory and queues** that the IPC namespace does not hold, /dev/shm and /dev/mqueue, are new and empty. **Control
 * groups**: /sys is read-only, because it has the control groups by which a user freezes and kills what he runs.
 *
 * **Devices** that hold disks or feign keys get /dev/null.
 *
 * **Real root** would, without a capability, still own files that steer the kernel. So for him what can be written in
 * /proc is read-only (but not /proc/sys/net, which belongs to the network namespace), and all devices that not
 * everybody may open get /dev/null.
 *
 * The table is text in the form of fstab(5), which `mount -a` mounts in one process: some microseconds a line. Nothing
 * here reads the machine but through a `Machine`, so tests can make one up.
 *
 * @module
 */
import { type MountPoint, placesOf, readMounts } from "./isolate_mounts.ts";
import { CoverTable, isWithin } from "./isolate_table.ts";
import type { Machine, Node } from "./isolate_view.ts";

/** Folders of sockets that are covered as a whole, under /run and, if that is another place, /var/run. */
const RUN_FOLDERS = ["user", "dbus", "containerd", "docker", "podman", "crio", "buildkit", "k3s", "libvirt", "WSL"];
const OTHER_FOLDERS = ["/tmp/.X11-unix", "/tmp/.ICE-unix"];
/** Sockets of engines whose daemon may live in another network namespace than the caller. */
const ENGINE_SOCKETS = [
  "/var/lib/lxd/unix.socket",
  "/var/lib/incus/unix.socket",
  "/var/snap/lxd/common/lxd/unix.socket",
];
/** What feigns or reads keys of the host's desktop. */
const INPUT_DEVICES = /^\/dev\/(uinput|uhid|input\/)/;
/** Devices that reach nothing of the host's, whoever owns them. */
const HARMLESS_DEVICES = /^\/dev\/(net\/tun$|kvm$|fuse$|userfaultfd$|dri\/|snd\/|nvidia)/;
/** How many entries of /run and of /dev are looked at. */
const MOST_ENTRIES = 10_000;
/** A variable that names a socket is no longer. */
const LONGEST_VALUE = 4096;

/** stat(2): types of files. */
const S_IFMT = 0o170000,
  S_IFSOCK = 0o140000,
  S_IFREG = 0o100000,
  S_IFBLK = 0o060000,
  S_IFDIR = 0o040000,
  S_IFCHR = 0o020000;

/**
 * The table of covers, in pieces. `ownFiles` are Hawser's: what COMMAND must not open. Throws an `IsolationError` for
 * one of these that cannot be hidden.
 */
export function coverTables(
  machine: Machine,
  { ownFiles, isRoot }: { ownFiles: readonly string[]; isRoot: boolean },
): string[] {
  const table = new CoverTable();
  const home = machine.environment["HOME"];
  for (const path of coveredFolders(machine, home)) table.folder(path);
  const runtime = machine.environment["XDG_RUNTIME_DIR"];
  // So that programs find one to write to.
  if (runtime?.startsWith("/")) {
    const path = machine.look(runtime)?.path;
    if (path !== undefined && table.covers(path)) table.add("hawser", path, "tmpfs", "mode=700,X-mount.mkdir=0700");
  }
  const folders = new Set(machine.nodes.filter(({ mode }) => typeOf(mode) === S_IFDIR).map(({ path }) => path));
  if (folders.has("/dev/shm")) table.add("hawser", "/dev/shm", "tmpfs", "mode=1777,nosuid,nodev");
  if (folders.has("/dev/mqueue")) table.add("hawser", "/dev/mqueue", "mqueue", "nosuid,nodev,noexec");
  const mounts = readMounts(machine.mountinfo);
  for (const { path } of mounts) if (folders.has(path) && isWithin(path, "/sys")) table.again(`${path}/.`);
  if (isRoot) {
    for (const { path, mode } of steeringFiles(machine)) table.again(typeOf(mode) === S_IFDIR ? `${path}/.` : path);
  }
  for (const path of dangerousDevices(machine, isRoot)) table.file(path);
  for (const path of sockets(machine, mounts)) table.file(path);
  for (const path of ownFiles) for (const place of placesOf(path, machine, mounts)) table.file(place);
  return table.pieces();
}

/** The real paths of /run and /var/run, mostly one. */
function runFolders(machine: Machine): string[] {
  const paths = ["/run", "/var/run"].map((path) => machine.look(path)).filter((facts) => facts?.kind === "folder");
  return [...new Set(paths.map((facts) => facts!.path))];
}

function coveredFolders(machine: Machine, home: string | undefined): string[] {
  const wanted = runFolders(machine).flatMap((run) => RUN_FOLDERS.map((name) => `${run}/${name}`));
  wanted.push(...OTHER_FOLDERS);
  const runtime = machine.environment["XDG_RUNTIME_DIR"];
  if (runtime?.startsWith("/")) wanted.push(runtime);
  const needed = ["/tmp", "/var/tmp", ...(home === undefined ? [] : [home])].map((path) => machine.look(path)?.path);
  return wanted
    .map((path) => machine.look(path))
    .filter((facts) => facts?.kind === "folder")
    .map((facts) => facts!.path)
    .filter((path) => !needed.some((other) => other !== undefined && isWithin(other, path)));
}

function* sockets(machine: Machine, mounts: readonly MountPoint[]): Generator<string> {
  for (const path of candidates(machine, mounts)) {
    const facts = machine.look(path);
    if (facts?.kind === "socket") yield facts.path;
  }
}

function* candidates(machine: Machine, mounts: readonly MountPoint[]): Generator<string> {
  // Num RefCount Protocol Flags Type St Inode Path
  for (const line of machine.unixSockets.split("\n")) {
    const path = /^\S+: \S+ \S+ \S+ \S+ \S+ +\d+ (\/.*)$/.exec(line)?.[1];
    if (path !== undefined) yield path;
  }
  for (const value of Object.values(machine.environment)) yield* pathsIn(value);
  yield* ENGINE_SOCKETS;
  // A socket that a container was given. The folder that it is in has a file of another kind under the mount.
  for (const { path } of mounts) yield path;
  const gnupg = machine.environment["GNUPGHOME"] ?? `${machine.environment["HOME"] ?? ""}/.gnupg`;
  for (const { name, kind } of machine.list(gnupg)) if (kind === "special") yield `${gnupg}/${name}`;
  for (const folder of runFolders(machine)) yield* specialFiles(folder, machine);
}

/** The sockets, FIFOs and devices in a folder and below; symbolic links are not followed. */
function* specialFiles(top: string, machine: Machine): Generator<string> {
  const folders = [top];
  let entries = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const { name, kind } of machine.list(folder)) {
      if (++entries > MOST_ENTRIES) return;
      if (kind === "folder") folders.push(`${folder}/${name}`);
      if (kind === "special") yield `${folder}/${name}`;
    }
  }
}

/**
 * What in a variable may be the path of a socket: `/path`, `unix:/path`, `unix:path=/path,guid=1`, `/path:1:2`,
 * `/path,1,2`.
 */
function* pathsIn(value: string): Generator<string> {
  if (value.length > LONGEST_VALUE) return;
  // D-Bus may write a slash as %2f.
  for (const text of new Set([value, decodeEscapes(value)])) {
    const start = text.indexOf("/");
    if (start < 0) continue;
    yield text.slice(start).replace(/^\/+/, "/");
    for (const part of text.split(/[,;:=]/)) if (part.startsWith("/")) yield part.replace(/^\/+/, "/");
  }
}

function decodeEscapes(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What root owns in /proc and could steer the kernel with. */
function* steeringFiles({ nodes }: Machine): Generator<Node> {
  for (const node of nodes) {
    const { path, mode } = node, isFile = typeOf(mode) === S_IFREG, isFolder = typeOf(mode) === S_IFDIR;
    if (!path.startsWith("/proc/") || ["/proc/sys", "/proc/sys/net", "/proc/sysvipc"].includes(path)) continue;
    if (isFolder || (isFile && (mode & 0o222) !== 0)) yield node;
  }
}

/** Devices by which one can act outside: disks and what feigns keys; for root all that not everybody may open. */
function* dangerousDevices({ nodes, terminals }: Machine, isRoot: boolean): Generator<string> {
  for (const { path, mode } of nodes) {
    if (!path.startsWith("/dev/") || path.startsWith("/dev/pts/") || terminals.includes(path)) continue;
    const isPrivate = (mode & 0o006) !== 0o006 && !HARMLESS_DEVICES.test(path);
    switch (typeOf(mode)) {
      case S_IFBLK:
      case S_IFSOCK:
        yield path;
        break;
      case S_IFCHR:
        if (INPUT_DEVICES.test(path) || (isRoot && isPrivate)) yield path;
    }
  }
}

function typeOf(mode: number): number {
  return mode & S_IFMT;
}
