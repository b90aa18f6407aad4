import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { coverTables } from "../../cli/isolate_covers.ts";
import type { Entry, FileFacts, Machine, Node } from "../../cli/isolate_view.ts";

const FOLDER = 0o040755, FILE = 0o100644, SECRET_DISK = 0o060660, OPEN_DEVICE = 0o020666, SECRET_DEVICE = 0o020600;

/** A machine with these files; folders are there if something is in them. */
function machine(
  paths: Readonly<Record<string, Partial<FileFacts>>>,
  rest: Partial<Machine> = {},
): Machine {
  const look = (path: string): FileFacts | undefined => {
    const facts = paths[path];
    if (facts !== undefined) return { kind: "file", path, identity: `1:${facts.path ?? path}`, links: 1, ...facts };
    const isFolder = Object.keys(paths).some((other) => other.startsWith(`${path}/`));
    return isFolder ? { kind: "folder", path, identity: `1:${path}`, links: 2 } : undefined;
  };
  const list = (path: string): Entry[] => {
    const names = new Set(
      Object.keys(paths).filter((other) => other.startsWith(`${path}/`)).map((other) =>
        other.slice(path.length + 1).split("/")[0]!
      ),
    );
    return [...names].map((name) => {
      const kind = look(`${path}/${name}`)!.kind;
      return { name, kind: kind === "folder" || kind === "file" ? kind : "special" };
    });
  };
  const nothing = { environment: {}, unixSockets: "", mountinfo: "", nodes: [], terminals: [] };
  return { ...nothing, ...rest, look, list };
}

function lines(
  made: Machine,
  options: { ownFiles?: readonly string[]; isRoot?: boolean } = {},
): string[] {
  const text = coverTables(made, { ownFiles: [], isRoot: false, ...options }).join("\n");
  return text === "" ? [] : text.split("\n");
}

/** The paths that get /dev/null. */
function hidden(made: Machine, options: { ownFiles?: readonly string[]; isRoot?: boolean } = {}): string[] {
  return lines(made, options).filter((line) => line.startsWith("/dev/null ")).map((line) => line.split(" ")[1]!);
}

const SOCKET = { kind: "socket" } as const;

Deno.test("coverTables covers folders of sockets as a whole, and what is in them not again", () => {
  const made = machine({
    "/run/user/1000/bus": SOCKET,
    "/run/dbus/system_bus_socket": SOCKET,
    "/run/podman/podman.sock": SOCKET,
    "/tmp/.X11-unix/X0": SOCKET,
    "/run/lock/x": {},
  });
  assertEquals(lines(made), [
    "hawser /run/user/. tmpfs mode=755,nosuid,nodev 0 0",
    "hawser /run/dbus/. tmpfs mode=755,nosuid,nodev 0 0",
    "hawser /run/podman/. tmpfs mode=755,nosuid,nodev 0 0",
    "hawser /tmp/.X11-unix/. tmpfs mode=1777,nosuid,nodev 0 0",
  ]);
});

Deno.test("coverTables gives XDG_RUNTIME_DIR an empty folder of its own, wherever it is, unless it holds everything", () => {
  const made = (path: string) =>
    lines(machine({ "/run/user/1000/bus": SOCKET, "/data/rt/bus": SOCKET, "/tmp/x": {}, "/home/u/x": {} }, {
      environment: { XDG_RUNTIME_DIR: path, HOME: "/home/u" },
    }));
  assertEquals(made("/run/user/1000").slice(1), ["hawser /run/user/1000 tmpfs mode=700,X-mount.mkdir=0700 0 0"]);
  assertEquals(made("/data/rt").slice(1), [
    "hawser /data/rt/. tmpfs mode=755,nosuid,nodev 0 0",
    "hawser /data/rt tmpfs mode=700,X-mount.mkdir=0700 0 0",
  ]);
  for (const path of ["/tmp", "/home/u", "/home", "/", "/nowhere", "relative"]) {
    assertEquals(made(path), ["hawser /run/user/. tmpfs mode=755,nosuid,nodev 0 0"], path);
  }
});

Deno.test("coverTables hides sockets that the kernel lists, that lie in /run, that are mounted and that variables name", () => {
  const sockets = [
    "/srv/a b.sock",
    "/run/deep/er/x.sock",
    "/run/docker.sock",
    "/tmp/ssh-X/agent.1",
    "/tmp/tmux-1/default",
  ];
  sockets.push(
    "/x/bus",
    "/y/bus",
    "/y/gpg",
    "/home/u/.gnupg/S.gpg-agent",
    "/var/lib/lxd/unix.socket",
    "/z/docker.sock",
  );
  const made = machine({
    ...Object.fromEntries(sockets.map((path) => [path, SOCKET])),
    // Under a mount readdir(3) shows what the mount hides.
    "/run/docker.sock": SOCKET,
    "/srv/file": {},
  }, {
    unixSockets: `Num       RefCount Protocol Flags    Type St Inode Path
ffff8: 00000002 00000000 00010000 0001 01 16541 /srv/a b.sock
ffff8: 00000002 00000000 00010000 0001 01 16542 @abstract/x
ffff8: 00000002 00000000 00010000 0001 01 16543 relative.sock
ffff8: 00000002 00000000 00010000 0001 01 16544 /srv/file
ffff8: 00000002 00000000 00010000 0001 01 16545 /srv/gone.sock
ffff8: 00000003 00000000 00000000 0001 03 16546
`,
    mountinfo: "30 1 8:1 /x /run/docker.sock rw - ext4 /dev/sda rw\n",
    environment: {
      HOME: "/home/u",
      PATH: "/usr/bin:/bin",
      SSH_AUTH_SOCK: "/tmp/ssh-X/agent.1",
      TMUX: "/tmp/tmux-1/default,123,0",
      DBUS_SESSION_BUS_ADDRESS: "unix:path=/x/bus,guid=1;unix:path=%2fy%2fbus",
      GPG_AGENT_INFO: "/y/gpg:12:1",
      DOCKER_HOST: "unix:///z/docker.sock",
      BAD: "/%zz",
    },
  });
  assertEquals(
    hidden(made).toSorted(),
    sockets.map((path) => path.replace(" ", "\\040")).toSorted(),
  );
});

Deno.test("coverTables leaves files, and sockets that are gone, alone", () => {
  const made = machine({ "/srv/file": {} }, { environment: { A: "/srv/file", B: "/srv/gone" } });
  assertEquals(lines(made), []);
});

Deno.test("coverTables hides Hawser's files at every mount of their filesystem, and there alone", () => {
  const same = { identity: "1:7" };
  const made = machine({
    "/home/u/x.pcap": same,
    "/data/u/x.pcap": same,
    "/mnt/sub/x.pcap": same,
    "/other/u/x.pcap": { identity: "2:7" },
    "/hidden/u/x.pcap": { identity: "1:8" },
  }, {
    mountinfo: `20 1 8:1 / / rw - ext4 /dev/sda rw
21 20 8:2 /homes /home rw - ext4 /dev/sdb rw
22 20 8:2 /homes /data rw - ext4 /dev/sdb rw
23 20 8:2 /homes/u /mnt/sub rw - ext4 /dev/sdb rw
24 20 8:3 / /other rw - ext4 /dev/sdc rw
25 20 8:2 /homes /hidden rw - ext4 /dev/sdb rw
26 20 8:2 /homes/v /elsewhere rw - ext4 /dev/sdb rw
`,
  });
  assertEquals(hidden(made, { ownFiles: ["/home/u/x.pcap"] }), ["/home/u/x.pcap", "/data/u/x.pcap", "/mnt/sub/x.pcap"]);
  assertEquals(hidden(made, { ownFiles: ["/nowhere"] }), []);
});

Deno.test("coverTables hides a FIFO of Hawser's, but no device, and refuses a file with a second name", () => {
  const made = machine({ "/a/fifo": { kind: "fifo" }, "/a/tty": { kind: "device" }, "/a/twice": { links: 2 } });
  assertEquals(hidden(made, { ownFiles: ["/a/fifo"] }), ["/a/fifo"]);
  assertEquals(hidden(made, { ownFiles: ["/a/tty"] }), []);
  assertThrows(
    () => lines(made, { ownFiles: ["/a/twice"] }),
    Error,
    "cannot hide /a/twice from the command: it has other",
  );
});

const NODES: Node[] = [
  { path: "/dev/null", mode: OPEN_DEVICE },
  { path: "/dev/sda", mode: SECRET_DISK },
  { path: "/dev/mem", mode: SECRET_DEVICE },
  { path: "/dev/kvm", mode: SECRET_DEVICE },
  { path: "/dev/uinput", mode: OPEN_DEVICE },
  { path: "/dev/input/event0", mode: SECRET_DEVICE },
  { path: "/dev/tty1", mode: SECRET_DEVICE },
  { path: "/dev/tty2", mode: SECRET_DEVICE },
  { path: "/dev/pts/0", mode: SECRET_DEVICE },
  { path: "/dev/log", mode: 0o140666 },
  { path: "/dev/net/tun", mode: SECRET_DEVICE },
  { path: "/dev/shm", mode: FOLDER },
  { path: "/dev/mqueue", mode: FOLDER },
  { path: "/proc/sys", mode: FOLDER },
  { path: "/proc/sys/kernel", mode: FOLDER },
  { path: "/proc/sys/net", mode: FOLDER },
  { path: "/proc/irq", mode: FOLDER },
  { path: "/proc/sysrq-trigger", mode: 0o100200 },
  { path: "/proc/version", mode: 0o100444 },
  { path: "/proc/self", mode: 0o120777 },
  { path: "/sys", mode: FOLDER },
  { path: "/sys/fs/cgroup", mode: FOLDER },
  { path: "/sys/one/file", mode: FILE },
];

Deno.test("coverTables hides disks and what feigns keys, and from root each device that not everybody may open", () => {
  const made = machine({}, { nodes: NODES, terminals: ["/dev/tty1", "pipe:[1]"] });
  assertEquals(hidden(made), ["/dev/sda", "/dev/uinput", "/dev/input/event0", "/dev/log"]);
  assertEquals(hidden(made, { isRoot: true }), [
    "/dev/sda",
    "/dev/mem",
    "/dev/uinput",
    "/dev/input/event0",
    "/dev/tty2",
    "/dev/log",
  ]);
});

Deno.test("coverTables gives new shared memory and queues, and takes from root what steers the kernel", () => {
  const mountinfo = `20 1 0:1 / /sys rw - sysfs sysfs rw
21 20 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
22 20 0:3 /f /sys/one/file rw - fuse lxcfs rw
23 1 0:4 / /system rw - tmpfs tmpfs rw
`;
  const made = machine({}, { nodes: NODES, mountinfo });
  const own = (isRoot: boolean) => lines(made, { isRoot }).filter((line) => !line.startsWith("/dev/null"));
  const both = [
    "hawser /dev/shm tmpfs mode=1777,nosuid,nodev 0 0",
    "hawser /dev/mqueue mqueue nosuid,nodev,noexec 0 0",
    ...["/sys/.", "/sys/fs/cgroup/."].map((path) => `${path} ${path} none rbind,ro,nosuid,nodev,noexec 0 0`),
  ];
  assertEquals(own(false), both);
  assertEquals(own(true), [
    ...both,
    ...["/proc/sys/kernel/.", "/proc/irq/.", "/proc/sysrq-trigger"].map((path) =>
      `${path} ${path} none rbind,ro,nosuid,nodev,noexec 0 0`
    ),
  ]);
});

Deno.test("coverTables makes pieces that fit an argument, and escapes what fstab(5) would take for its own", () => {
  const paths = Array.from({ length: 3000 }, (_, number) => `/srv/${"x".repeat(60)}/${number}`);
  const made = machine(Object.fromEntries(paths.map((path) => [path, SOCKET])), {
    unixSockets: paths.map((path) => `f: 2 0 1 1 01 5 ${path}\n`).join(""),
  });
  const pieces = coverTables(made, { ownFiles: [], isRoot: false });
  for (const piece of pieces) assertLess(piece.length, 131_072);
  assertEquals(pieces.join("\n").split("\n").length, 3000);
  const odd = '/srv/a\tb\\c#d"e';
  assertEquals(hidden(machine({ [odd]: {} }), { ownFiles: [odd] }), ["/srv/a\\011b\\134c\\043d\\042e"]);
});
