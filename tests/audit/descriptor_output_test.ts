import { assert, assertEquals, assertThrows } from "@std/assert";
import { claimDescriptor, DescriptorOutput } from "../../audit/descriptor_output.ts";
import { LineSink, MOST_KEPT } from "../../audit/sink.ts";
import {
  addressOf,
  AF_UNIX,
  cString,
  libc,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  SOCK_DGRAM,
  SOCK_STREAM,
} from "../../net/linux/libc.ts";
import { fileOf, inheritedDescriptors } from "../../net/linux/process.ts";
import { Records } from "../support/audit_records.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "ffi");
const PIPE2 = Deno.build.arch === "x86_64" ? 293n : 59n;
const F_GETFL = 3;
const [RECORD] = new Records().open().list;
const LINE = `${JSON.stringify(RECORD)}\n`;

/** Two descriptors that a caller could have left open. */
class Pair implements Disposable {
  readonly reader: number;
  readonly writer: number;

  constructor(kind: "pipe" | "stream" | "datagrams") {
    const both = new Int32Array(2), c = libc();
    const code = kind === "pipe"
      ? c.syscall(PIPE2, addressOf(new Uint8Array(both.buffer)), 0n, 0n)
      : c.socketpair(AF_UNIX, kind === "stream" ? SOCK_STREAM : SOCK_DGRAM, 0, both);
    assertEquals(code, 0);
    [this.reader, this.writer] = both as unknown as [number, number];
  }

  /** Reads what is there, at most so much. */
  read(most = 1 << 22): string {
    const bytes = new Uint8Array(most), count = libc().recv(this.reader, bytes, BigInt(most), 0x40);
    const read = count >= 0 ? count : libc().read(this.reader, bytes, BigInt(most));
    return new TextDecoder().decode(bytes.subarray(0, Math.max(0, read)));
  }

  closeReader(): void {
    libc().close(this.reader);
  }

  [Symbol.dispose](): void {
    libc().close(this.writer);
  }
}

for (const kind of ["pipe", "stream", "datagrams"] as const) {
  Deno.test({
    name:
      `DescriptorOutput to a ${kind}: lines arrive, a reader that stalls is not waited for, nothing is changed${reason}`,
    ignore,
    fn() {
      using pair = new Pair(kind);
      const before = libc().fcntl(pair.writer, F_GETFL, 0);
      claimDescriptor(pair.writer);
      const sink = new LineSink(DescriptorOutput.open(pair.writer));
      sink.put(RECORD!);
      assertEquals(pair.read(), LINE);
      // Whoever else has the descriptor still waits when he writes.
      assertEquals(libc().fcntl(pair.writer, F_GETFL, 0), before);
      assertEquals(before & O_NONBLOCK, 0);
      while (sink.isAvailable) assert(sink.put(RECORD!));
      assertEquals(sink.problem, "its reader does not read");
      // A pipe holds 64 KiB, and what was kept comes as it is read.
      let text = "";
      while (sink.waits || text.length % LINE.length !== 0) {
        text += pair.read(1 << 16);
        sink.flush();
      }
      assert(sink.isAvailable);
      assert(text.length >= MOST_KEPT && LINE.repeat(text.length / LINE.length) === text);
      pair.closeReader();
      sink.put(RECORD!);
      assertEquals([sink.isAvailable, sink.waits], [false, true]);
      assert(/EPIPE|ECONNREFUSED|ECONNRESET/.test(sink.problem), sink.problem);
      sink[Symbol.dispose]();
    },
  });
}

Deno.test({
  name: `DescriptorOutput to a file appends, and keeps nothing that could not be written${reason}`,
  ignore,
  fn() {
    const path = Deno.makeTempFileSync();
    Deno.writeTextFileSync(path, "before\n");
    const fd = libc().open(cString(path), 1);
    const output = DescriptorOutput.open(fd);
    assertEquals(output.patience, 0);
    assertEquals(output.write(new TextEncoder().encode(LINE)), LINE.length);
    output[Symbol.dispose]();
    libc().close(fd);
    assertEquals(Deno.readTextFileSync(path), `before\n${LINE}`);
    Deno.removeSync(path);
  },
});

Deno.test({
  name:
    `claimDescriptor keeps a descriptor from programs, and takes none that is closed, read-only or Hawser's own${reason}`,
  ignore,
  fn() {
    using pair = new Pair("pipe");
    assert(inheritedDescriptors().includes(pair.writer));
    claimDescriptor(pair.writer);
    assert(!inheritedDescriptors().includes(pair.writer));
    assertThrows(
      () => claimDescriptor(pair.reader),
      Error,
      `Cannot write to descriptor ${pair.reader}: it is open for`,
    );
    assertThrows(() => claimDescriptor(4321), Error, "Cannot write to descriptor 4321: the caller has not opened it");
    const own = libc().open(cString("/dev/null"), O_RDONLY | O_CLOEXEC | 2);
    assertThrows(() => claimDescriptor(own), Error, "the caller has not opened it");
    libc().close(own);
    pair.closeReader();
  },
});

Deno.test({
  name: `fileOf tells files apart, and says nothing of what is not open${reason}`,
  ignore,
  fn() {
    const path = Deno.makeTempFileSync(), fds = [path, path, "/dev/null"].map((path) => libc().open(cString(path), 0));
    const [one, same, other] = fds.map(fileOf);
    assertEquals(one, same);
    assertEquals([one!.mode & 0o170000, other!.mode & 0o170000, one!.links], [0o100000, 0o020000, 1]);
    const { dev, ino } = Deno.statSync(path);
    assertEquals(one!.identity, `${dev}:${ino}`);
    assertEquals(fileOf(4321), undefined);
    for (const fd of fds) libc().close(fd);
    Deno.removeSync(path);
  },
});
