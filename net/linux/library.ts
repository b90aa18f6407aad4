/**
 * How the calls of the C library are opened: each when it is first used.
 *
 * Deno compiles a piece of machine code for each call that `Deno.dlopen` is given, 0.3 to 0.6 ms each: with all of them
 * opened at once, a program began 25 ms later. So the calls that are made for each frame or flow (`FAST`) are opened
 * one by one, and all others are called through pointers that dlsym(3) gives, which takes no preparation, and 3 µs a
 * call. Calls on other threads need no such code either.
 *
 * **Cost of the fast ones.** A call that does not wait is compiled by V8 into a direct call: some tens of nanoseconds
 * plus the system call. Three habits keep it so. A buffer is passed as a `Uint8Array` (a pointer would cost an object),
 * a length as a `bigint` (that is what `size_t` takes without a slow path), and a result is declared as 32 bits
 * although the C library gives `ssize_t`, because a 64-bit result would be a `bigint`: no count here exceeds 2³¹.
 *
 * Each of these stands on a prototype as an accessor, which puts the function beside it on the object itself: so V8
 * sees a function there that never changes.
 *
 * @module
 */
const SYMBOLS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  ioctl: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  pollAsync: { name: "poll", parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
  ioctlValue: { name: "ioctl", parameters: ["i32", "usize", "usize"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recvfrom: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"], result: "i32" },
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  epollCreate: { name: "epoll_create1", parameters: ["i32"], result: "i32" },
  epollControl: { name: "epoll_ctl", parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epollWait: { name: "epoll_wait", parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  epollWaitAsync: {
    name: "epoll_wait",
    parameters: ["i32", "buffer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  yieldProcessor: { name: "sched_yield", parameters: [], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
  access: { parameters: ["buffer", "i32"], result: "i32" },
  inotifyInit: { name: "inotify_init1", parameters: ["i32"], result: "i32" },
  inotifyAddWatch: { name: "inotify_add_watch", parameters: ["i32", "buffer", "u32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  readAsync: { name: "read", parameters: ["i32", "buffer", "usize"], result: "i32", nonblocking: true },
  recvAsync: { name: "recv", parameters: ["i32", "buffer", "usize", "i32"], result: "i32", nonblocking: true },
  interfaceIndex: { name: "if_nametoindex", parameters: ["buffer"], result: "u32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  posixSpawn: {
    name: "posix_spawn",
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  spawnActionsInit: { name: "posix_spawn_file_actions_init", parameters: ["buffer"], result: "i32" },
  spawnActionsDup: { name: "posix_spawn_file_actions_adddup2", parameters: ["buffer", "i32", "i32"], result: "i32" },
  spawnActionsClose: { name: "posix_spawn_file_actions_addclose", parameters: ["buffer", "i32"], result: "i32" },
  spawnActionsDestroy: { name: "posix_spawn_file_actions_destroy", parameters: ["buffer"], result: "i32" },
  spawnAttributesInit: { name: "posix_spawnattr_init", parameters: ["buffer"], result: "i32" },
  spawnAttributesFlags: { name: "posix_spawnattr_setflags", parameters: ["buffer", "i16"], result: "i32" },
  spawnAttributesDefaults: { name: "posix_spawnattr_setsigdefault", parameters: ["buffer", "buffer"], result: "i32" },
  spawnAttributesDestroy: { name: "posix_spawnattr_destroy", parameters: ["buffer"], result: "i32" },
  waitidAsync: { name: "waitid", parameters: ["i32", "u32", "buffer", "i32"], result: "i32", nonblocking: true },
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  prctl: { parameters: ["i32", "usize", "usize", "usize", "usize"], result: "i32" },
  syscall: { parameters: ["usize", "usize", "usize", "usize"], result: "i32" },
  syscallInOut: { name: "syscall", parameters: ["usize", "usize", "buffer", "buffer", "usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Name = keyof typeof SYMBOLS;
type Definition = Deno.ForeignFunction & { readonly name?: string };
/** Where a function is: of which kind, the one who calls it knows. */
// deno-lint-ignore no-explicit-any
type Address = Deno.PointerObject<any>;

/** Calls that are made for each frame or flow. */
export const FAST: readonly Name[] = [
  ...["close", "read", "write", "epollControl", "epollWait", "yieldProcessor"] as const,
  ...["socket", "connect", "setsockopt", "getsockopt", "getsockname", "recv", "send", "shutdown", "accept4"] as const,
  ...["recvfrom", "sendto", "recvmsg", "sendmsg"] as const,
];

const DLSYM = { dlsym: { parameters: ["usize", "buffer"], result: "pointer" } } as const;
const ERRNO_LOCATION = { parameters: [], result: "pointer" } as const;

/**
 * The C library, and this thread's errno. Throws `Deno.errors.NotSupported` where it cannot be there or is not found,
 * and `Deno.errors.NotCapable` without `--allow-ffi`.
 */
export function openLibrary(): [calls: object, errno: Int32Array] {
  const { os, arch } = Deno.build;
  if (os !== "linux") throw new Deno.errors.NotSupported(`Cannot open the C library: this needs Linux, not ${os}`);
  const names = ["libc.so.6", `libc.musl-${arch}.so.1`, "libc.so"];
  const failures: string[] = [];
  for (const name of names) {
    try {
      return openCalls(name);
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.PermissionDenied) {
        throw new Deno.errors.NotCapable("Cannot open the C library: the permission is missing, run with --allow-ffi", {
          cause: error,
        });
      }
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Deno.errors.NotSupported(
    `Cannot open the C library: none of ${names.join(", ")} could be loaded (${failures.join("; ")})`,
  );
}

function openCalls(library: string): [calls: object, errno: Int32Array] {
  const find = pointers(library), calls = {}, waiting: Record<string, Definition> = {};
  for (const name of Object.keys(SYMBOLS) as Name[]) {
    const definition: Definition = SYMBOLS[name];
    if (definition.nonblocking) waiting[name] = definition;
    Object.defineProperty(calls, name, {
      configurable: true,
      get(this: object) {
        const value = find === undefined || FAST.includes(name)
          ? Deno.dlopen(library, { [name]: definition }).symbols[name]
          : callThrough(find(definition.name ?? name), definition);
        Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
        return value;
      },
    });
  }
  const location = find === undefined
    ? Deno.dlopen(library, { __errno_location: ERRNO_LOCATION }).symbols.__errno_location()
    : new Deno.UnsafeFnPointer(find("__errno_location"), ERRNO_LOCATION).call();
  const others = Deno.dlopen(library, waiting).symbols;
  for (const name of Object.keys(waiting)) Object.defineProperty(calls, name, { value: others[name] });
  return [Object.create(calls), new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location!, 4))];
}

/**
 * What finds a function's address; `undefined` if the library has no dlsym(3), which glibc before 2.34 keeps elsewhere.
 * Throws if there is no such library.
 */
function pointers(library: string): ((name: string) => Address) | undefined {
  const symbols = { ...DLSYM, dlsym: { ...DLSYM.dlsym, optional: true } } as const;
  const { dlsym } = Deno.dlopen(library, symbols).symbols;
  if (dlsym === null) return undefined;
  const encoder = new TextEncoder();
  return (name) => dlsym(0n, encoder.encode(`${name}\0`))!;
}

function callThrough(address: Address, definition: Deno.ForeignFunction): unknown {
  const pointer = new Deno.UnsafeFnPointer(address, definition);
  return (...values: never[]) => pointer.call(...values);
}
