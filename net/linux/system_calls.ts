/**
 * The system calls that Hawser gives up, by number, for the filter of `seccomp.ts`.
 *
 * It is a list of what is denied, not of what is allowed: what Deno, V8 and the C library call differs from version to
 * version, and what they need must not fail on the next one. So that a new kernel does not bring new ways past the
 * list, numbers that are newer than the list are answered as if the kernel did not know them, which every program can
 * bear.
 *
 * @module
 */

/** The machines Deno runs on. */
export type Machine = "x86_64" | "aarch64";

/** Numbers for x86-64 and arm64; one number if it is the same, and `undefined` where there is no such call. */
type Numbers = readonly [x86_64: number | undefined, aarch64: number | undefined] | number;

/** The newest system call that the list below has taken into account; from 424 on, numbers are the same everywhere. */
export const NEWEST_CALL = 470;

/** Never needed from the moment on that a gateway serves, and has started every program that it will. */
const DENIED: Readonly<Record<string, Numbers>> = {
  // Other programs.
  execve: [59, 221],
  execveat: [322, 281],
  // Other processes' memory, descriptors and secrets.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  process_madvise: 440,
  pidfd_getfd: 438,
  kcmp: [312, 272],
  move_pages: [279, 239],
  migrate_pages: [256, 238],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  // Parts of the kernel that are large, and that only debuggers and managers use.
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  fanotify_init: [300, 262],
  lookup_dcookie: [212, 18],
  nfsservctl: [180, 42],
  personality: [135, 92],
  modify_ldt: [154, undefined],
  // Namespaces, mounts, and ways around the file system's rights.
  setns: [308, 268],
  unshare: [272, 97],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  mount_setattr: 442,
  open_tree_attr: 467,
  open_by_handle_at: [304, 265],
  mknod: [133, undefined],
  mknodat: [259, 33],
  chown: [92, undefined],
  lchown: [94, undefined],
  fchown: [93, 55],
  fchownat: [260, 54],
  quotactl: [179, 60],
  quotactl_fd: 443,
  swapon: [167, 224],
  swapoff: [168, 225],
  acct: [163, 89],
  // The machine as a whole.
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  reboot: [169, 142],
  iopl: [172, undefined],
  ioperm: [173, undefined],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  adjtimex: [159, 171],
  clock_adjtime: [305, 266],
  syslog: [103, 116],
  vhangup: [153, 58],
  // Becoming another user.
  setuid: [105, 146],
  setgid: [106, 144],
  setreuid: [113, 145],
  setregid: [114, 143],
  setresuid: [117, 147],
  setresgid: [119, 149],
  setfsuid: [122, 151],
  setfsgid: [123, 152],
  setgroups: [116, 159],
};

/** Calls of which only some arguments are denied. */
const WATCHED = {
  clone: [56, 220],
  clone3: 435,
  ioctl: [16, 29],
  prlimit64: [302, 261],
  socket: [41, 198],
  socketpair: [53, 199],
} as const satisfies Readonly<Record<string, Numbers>>;

/** Names of calls whose arguments the filter looks at. */
export type WatchedCall = keyof typeof WATCHED;

/** The calls that are denied altogether on a machine, by name. */
export function deniedCalls(machine: Machine): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const [name, each] of Object.entries(DENIED)) {
    const number = numberOn(machine, each);
    if (number !== undefined) numbers.set(name, number);
  }
  return numbers;
}

/** The number of a call whose arguments the filter looks at. */
export function watchedCall(machine: Machine, name: WatchedCall): number {
  return numberOn(machine, WATCHED[name])!;
}

function numberOn(machine: Machine, numbers: Numbers): number | undefined {
  return typeof numbers === "number" ? numbers : numbers[machine === "x86_64" ? 0 : 1];
}
