import { assert, assertEquals, assertGreater } from "@std/assert";
import { filterProgram } from "../../../net/linux/seccomp.ts";
import { deniedCalls, type Machine, NEWEST_CALL, watchedCall } from "../../../net/linux/system_calls.ts";

const MACHINES: Record<Machine, number> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };
const I386 = 0x40000003;
const EPERM = 1, ENOSYS = 38, EAFNOSUPPORT = 97;

/** A system call as a filter sees it. */
interface Call {
  readonly machine: Machine;
  readonly number: number;
  /** Of each argument the low 32 bits. */
  readonly args?: readonly number[];
  /** Another number for the machine. */
  readonly audit?: number;
}

/** Runs a filter as the kernel would. Answers the error that the call gets, 0 if it passes. */
function run(program: Uint8Array, { machine, number, args = [], audit = MACHINES[machine] }: Call): number {
  const data = new DataView(new ArrayBuffer(64)), view = new DataView(program.buffer);
  data.setUint32(0, number, true);
  data.setUint32(4, audit, true);
  args.forEach((arg, i) => data.setUint32(16 + 8 * i, arg, true));
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const code = view.getUint16(at * 8, true), value = view.getUint32(at * 8 + 4, true);
    const jump = (isTrue: boolean) => at += view.getUint8(at * 8 + (isTrue ? 2 : 3));
    switch (code) {
      case 0x20: // BPF_LD | BPF_W | BPF_ABS
        accumulator = data.getUint32(value, true);
        break;
      case 0x15: // BPF_JMP | BPF_JEQ | BPF_K
        jump(accumulator === value);
        break;
      case 0x25: // BPF_JGT
        jump(accumulator > value);
        break;
      case 0x35: // BPF_JGE
        jump(accumulator >= value);
        break;
      case 0x45: // BPF_JSET
        jump((accumulator & value) !== 0);
        break;
      case 0x06: // BPF_RET | BPF_K
        if (value === 0x7fff0000) return 0;
        assertEquals(value & ~0xffff, 0x00050000);
        return value & 0xffff;
      default:
        throw new Error(`Cannot run instruction ${at}: its code is ${code}`);
    }
  }
  throw new Error("Cannot end: the program has no return");
}

/** What a gateway calls all the time, and what Deno and V8 need: for x86-64 and arm64. */
const NEEDED: Record<string, readonly [number, number]> = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  mmap: [9, 222],
  mprotect: [10, 226],
  munmap: [11, 215],
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  madvise: [28, 233],
  sendto: [44, 206],
  recvfrom: [45, 207],
  sendmsg: [46, 211],
  recvmsg: [47, 212],
  shutdown: [48, 210],
  bind: [49, 200],
  listen: [50, 201],
  connect: [42, 203],
  getsockname: [51, 204],
  setsockopt: [54, 208],
  getsockopt: [55, 209],
  exit: [60, 93],
  kill: [62, 129],
  fcntl: [72, 25],
  futex: [202, 98],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  exit_group: [231, 94],
  openat: [257, 56],
  newfstatat: [262, 79],
  unlinkat: [263, 35],
  accept4: [288, 242],
  eventfd2: [290, 19],
  epoll_create1: [291, 20],
  prctl: [157, 167],
  seccomp: [317, 277],
  getrandom: [318, 278],
  memfd_create: [319, 279],
  statx: [332, 291],
  waitid: [247, 95],
  wait4: [61, 260],
  pidfd_open: [434, 434],
  pidfd_send_signal: [424, 424],
  rseq: [334, 293],
};

for (const [index, machine] of (["x86_64", "aarch64"] as const).entries()) {
  const program = filterProgram(machine);

  Deno.test(`filterProgram on ${machine} denies what is listed and lets pass what a gateway needs`, () => {
    const denied = deniedCalls(machine);
    assertGreater(denied.size, 60);
    for (const [name, number] of denied) {
      assertEquals([name, run(program, { machine, number })], [name, EPERM]);
    }
    for (const [name, numbers] of Object.entries(NEEDED)) {
      assertEquals([name, run(program, { machine, number: numbers[index]! })], [name, 0]);
    }
  });

  Deno.test(`filterProgram on ${machine} denies everything of another machine, and numbers nobody knows yet`, () => {
    const read = NEEDED["read"]![index]!;
    assertEquals(run(program, { machine, number: read, audit: I386 }), EPERM);
    assertEquals(run(program, { machine, number: read, audit: 0 }), EPERM);
    // With 32-bit pointers.
    if (machine === "x86_64") assertEquals(run(program, { machine, number: 0x40000000 | read }), EPERM);
    assertEquals(run(program, { machine, number: NEWEST_CALL }), 0);
    assertEquals(run(program, { machine, number: NEWEST_CALL + 1 }), ENOSYS);
    assertEquals(run(program, { machine, number: 0x3fffffff }), ENOSYS);
  });

  Deno.test(`filterProgram on ${machine} looks at the arguments of clone, socket, prlimit64 and ioctl`, () => {
    const check = (name: Parameters<typeof watchedCall>[1], args: readonly number[]) =>
      run(program, { machine, number: watchedCall(machine, name), args });
    // A thread as the C library makes it, fork, vfork as posix_spawn does.
    for (const flags of [0x3d0f00, 0x1200011, 0x4111]) assertEquals(check("clone", [flags]), 0);
    // A namespace each: mount, cgroup, UTS, IPC, user, PID, network.
    for (const bit of [17, 25, 26, 27, 28, 29, 30]) {
      assertEquals(check("clone", [1 << bit >>> 0 | 17]), EPERM, `${bit}`);
    }
    assertEquals(check("clone3", [1, 2]), ENOSYS);
    for (const call of ["socket", "socketpair"] as const) {
      for (const family of [1, 2, 10, 16]) assertEquals(check(call, [family]), 0);
      for (const family of [0, 3, 9, 17, 31, 38, 40, 44, 0xffffffff]) assertEquals(check(call, [family]), EAFNOSUPPORT);
    }
    assertEquals([check("prlimit64", [0, 7]), check("prlimit64", [1, 7])], [0, EPERM]);
    assertEquals([check("ioctl", [3, 0x400454ca]), check("ioctl", [0, 0x5401])], [0, 0]);
    assertEquals([check("ioctl", [0, 0x5412]), check("ioctl", [0, 0x541c])], [EPERM, EPERM]);
  });

  Deno.test(`filterProgram on ${machine} ends for every number, and jumps nowhere outside`, () => {
    assert(program.length / 8 < 4096);
    for (let number = 0; number < 600; number++) run(program, { machine, number });
  });
}
