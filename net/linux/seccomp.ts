/**
 * A filter in the kernel for the system calls of this process (seccomp(2)): those that `system_calls.ts` lists fail
 * with EPERM from then on, for good, on every thread, those of Deno and V8 and those that are still to come included.
 *
 * With it comes `no_new_privs`: set-user-ID files give nothing. A program that is started later would have both, so
 * what is to be free of them is started before; and starting programs is one of the calls that are denied.
 *
 * **The program** is that of a small machine (BPF). It checks the machine first, because the same number is another
 * call for a 32-bit program, then the number; five calls are looked at more closely:
 *
 * - `clone` may make threads and processes, but no namespaces. `clone3` has its flags in memory, where a filter cannot
 *   look, so it is answered as unknown, upon which the C library takes `clone`.
 * - `socket` and `socketpair` are for unix, IPv4, IPv6 and netlink (with which addresses are listed).
 * - `prlimit64` is for this process's own limits.
 * - `ioctl` does not put words into a terminal's input (TIOCSTI, TIOCLINUX).
 *
 * **Cost.** From Linux 5.11 on, the kernel works out beforehand which numbers pass whatever the arguments are, and runs
 * the program for none of them. SECURITY.md has what was measured.
 *
 * @module
 */
import { type Problem, problem } from "./privileges.ts";
import { addressOf, EAFNOSUPPORT, ENOSYS, EPERM, libc } from "./libc.ts";
import { deniedCalls, type Machine, NEWEST_CALL, watchedCall } from "./system_calls.ts";

const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1n;
/** Every thread gets the filter, or none. */
const TSYNC = 1n;
/**
 * No slower than without a filter: the kernel would take precautions against what only foreign code in here could do.
 */
const SPEC_ALLOW = 4n;
const ALLOW = 0x7fff0000;
const FAIL = 0x00050000;

const LOAD = 0x20;
const EQUAL = 0x15;
const GREATER = 0x25;
const NOT_LESS = 0x35;
const ANY_BIT = 0x45;
const RETURN = 0x06;

/** Offsets in `struct seccomp_data`; of each argument the low 32 bits. */
const NUMBER = 0;
const MACHINE = 4;
const ARGUMENTS = 16;

const AUDIT_MACHINE: Record<Machine, number> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };
const SECCOMP: Record<Machine, bigint> = { x86_64: 317n, aarch64: 277n };
/** What 32-bit pointers on x86-64 add to each number. */
const X32 = 0x40000000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e020000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
const FAMILIES = [1, 2, 10, 16];

/**
 * Denies system calls from now on, on all threads. Answers why it could not, or `undefined`. Throws what `libc`
 * throws.
 */
export function denySystemCalls(): Problem | undefined {
  const { arch } = Deno.build, c = libc();
  if (c.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) < 0) return problem("no_new_privs");
  const program = filterProgram(arch), header = new Uint8Array(16), view = new DataView(header.buffer);
  view.setUint16(0, program.length / 8, true);
  view.setBigUint64(8, addressOf(program), true);
  const answer = c.syscall(SECCOMP[arch], SECCOMP_SET_MODE_FILTER, TSYNC | SPEC_ALLOW, addressOf(header));
  if (answer < 0) return problem("seccomp");
  return answer === 0 ? undefined : { message: `seccomp: thread ${answer} does not take the filter`, isUnknown: false };
}

/** The filter, 8 bytes an instruction: code, where to go on if true and if false, and a number. */
export function filterProgram(machine: Machine): Uint8Array<ArrayBuffer> {
  const program = new Program();
  program.add(LOAD, MACHINE);
  program.jump(EQUAL, AUDIT_MACHINE[machine], "next", "deny");
  program.add(LOAD, NUMBER);
  if (machine === "x86_64") program.jump(NOT_LESS, X32, "deny", "next");
  for (const number of deniedCalls(machine).values()) {
    program.jump(EQUAL, number, "deny", "next");
  }
  const watch = (name: Parameters<typeof watchedCall>[1], label: string) =>
    program.jump(EQUAL, watchedCall(machine, name), label, "next");
  watch("clone", "clone");
  watch("clone3", "unknown");
  watch("socket", "family");
  watch("socketpair", "family");
  watch("prlimit64", "limits");
  watch("ioctl", "terminal");
  program.jump(GREATER, NEWEST_CALL, "unknown", "allow");
  program.label("clone");
  program.add(LOAD, ARGUMENTS);
  program.jump(ANY_BIT, NEW_NAMESPACES, "deny", "allow");
  program.label("family");
  program.add(LOAD, ARGUMENTS);
  for (const family of FAMILIES) program.jump(EQUAL, family, "allow", "next");
  program.add(RETURN, FAIL | EAFNOSUPPORT);
  program.label("limits");
  program.add(LOAD, ARGUMENTS);
  program.jump(EQUAL, 0, "allow", "deny");
  program.label("terminal");
  program.add(LOAD, ARGUMENTS + 8);
  program.jump(EQUAL, TIOCSTI, "deny", "next");
  program.jump(EQUAL, TIOCLINUX, "deny", "allow");
  program.label("unknown");
  program.add(RETURN, FAIL | ENOSYS);
  program.label("allow");
  program.add(RETURN, ALLOW);
  program.label("deny");
  program.add(RETURN, FAIL | EPERM);
  return program.bytes();
}

/** Instructions with labels to jump to, which lie behind. */
class Program {
  readonly #instructions: { code: number; whenTrue: string; whenFalse: string; value: number }[] = [];
  readonly #labels = new Map<string, number>();

  add(code: number, value: number): void {
    this.jump(code, value, "next", "next");
  }

  jump(code: number, value: number, whenTrue: string, whenFalse: string): void {
    this.#instructions.push({ code, whenTrue, whenFalse, value });
  }

  label(name: string): void {
    this.#labels.set(name, this.#instructions.length);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#instructions.length * 8), view = new DataView(bytes.buffer);
    this.#instructions.forEach(({ code, whenTrue, whenFalse, value }, at) => {
      view.setUint16(at * 8, code, true);
      view.setUint8(at * 8 + 2, this.#distance(at, whenTrue));
      view.setUint8(at * 8 + 3, this.#distance(at, whenFalse));
      view.setUint32(at * 8 + 4, value, true);
    });
    return bytes;
  }

  #distance(at: number, label: string): number {
    if (label === "next") return 0;
    const distance = this.#labels.get(label)! - at - 1;
    if (!(distance >= 0 && distance < 256)) throw new RangeError(`Cannot jump to ${label}: it is ${distance} away`);
    return distance;
  }
}
