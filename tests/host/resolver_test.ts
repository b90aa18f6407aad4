import { assertEquals, assertStrictEquals } from "@std/assert";
import { CHECK_MS, HostResolvers, parseResolvers } from "../../host/resolver.ts";
import { formatEndpoint } from "../../net/wire/address.ts";
import { requires } from "../support/requirements.ts";

function text(servers: ReturnType<HostResolvers["current"]>): string {
  return servers.map(({ address, port }) => formatEndpoint(address, port)).join(" ");
}

/** A file that is gone with the test, its resolvers on a clock that the test moves. */
class TemporaryFile implements AsyncDisposable {
  readonly path = Deno.makeTempFileSync();
  now = 5000;
  readonly resolvers = new HostResolvers({ path: this.path, now: () => this.now });

  write(content: string): void {
    Deno.writeTextFileSync(this.path, content);
  }

  /** What is known after the least time between two looks. */
  later(): string {
    this.now += CHECK_MS;
    return text(this.resolvers.current());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path).catch(() => {});
  }
}

Deno.test("parseResolvers takes the first three name servers in order", () => {
  const conf = "# nameserver 192.0.2.1\nsearch test\n\n nameserver\t127.0.0.53 # local\nnameserver ::1\r\n" +
    "options edns0\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
  assertEquals(text(parseResolvers(conf)), "127.0.0.53:53 [::1]:53 192.0.2.2:53");
});

Deno.test("parseResolvers takes a link-local name server with the interface behind it", () => {
  const conf = "nameserver fe80::1%eth0\nnameserver fe80::2\nnameserver fe80::3%2 # by number\n";
  assertEquals(parseResolvers(conf).map(({ address, port, zone }) => [`${address}`, port, zone]), [
    ["fe80::1", 53, "eth0"],
    ["fe80::3", 53, "2"],
  ]);
});

Deno.test("parseResolvers leaves out what is no address, has a zone that is none or is never relayed", () => {
  const zones = ["fe80::1", "fe80::1%", "fe80::1%a/b", "fe80::1%longer-than-any-", "2001:db8::1%eth0", "ff02::1%eth0"];
  const bad = [...zones, "localhost", "", "0.0.0.0", "224.0.0.251", "::", "1.2.3", "192.0.2.1:53"];
  const conf = bad.map((address) => `nameserver ${address}\n`).join("") + "nameserver 192.0.2.9";
  assertEquals(text(parseResolvers(conf)), "192.0.2.9:53");
  assertEquals(parseResolvers("").length, 0);
  assertEquals(parseResolvers("nameservers 192.0.2.1\nNAMESERVER 192.0.2.1").length, 0);
});

Deno.test("HostResolvers reads the file again when it has changed, and looks once a second at most", async () => {
  await using file = new TemporaryFile();
  file.write("nameserver 127.0.0.53\n");
  const first = file.resolvers.current();
  assertEquals(text(first), "127.0.0.53:53");
  file.write("nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
  file.now += CHECK_MS - 1;
  assertStrictEquals(file.resolvers.current(), first);
  file.now++;
  assertEquals(text(file.resolvers.current()), "192.0.2.1:53 192.0.2.2:53");
});

Deno.test("HostResolvers gives the same array as long as nothing has changed", async () => {
  await using file = new TemporaryFile();
  file.write("nameserver 127.0.0.53\n");
  const first = file.resolvers.current();
  for (let i = 0; i < 5; i++) {
    file.later();
    assertStrictEquals(file.resolvers.current(), first);
  }
});

Deno.test("HostResolvers notices another file under the same name, of the same size and time", async () => {
  await using file = new TemporaryFile();
  file.write("nameserver 192.0.2.1\n");
  const time = new Date(1_700_000_000_000);
  Deno.utimeSync(file.path, time, time);
  assertEquals(text(file.resolvers.current()), "192.0.2.1:53");
  const other = Deno.makeTempFileSync();
  Deno.writeTextFileSync(other, "nameserver 192.0.2.2\n");
  Deno.utimeSync(other, time, time);
  Deno.renameSync(other, file.path);
  assertEquals(file.later(), "192.0.2.2:53");
});

Deno.test("HostResolvers knows none while there is no file, and those of one that comes", async () => {
  await using file = new TemporaryFile();
  file.write("nameserver 192.0.2.1\n");
  assertEquals(text(file.resolvers.current()), "192.0.2.1:53");
  Deno.removeSync(file.path);
  assertEquals(file.later(), "");
  const none = file.resolvers.current();
  file.later();
  assertStrictEquals(file.resolvers.current(), none);
  Deno.mkdirSync(file.path);
  assertEquals(file.later(), "", "a folder");
  Deno.removeSync(file.path);
  file.write("nameserver 192.0.2.1\n");
  assertEquals(file.later(), "192.0.2.1:53");
});

Deno.test("HostResolvers tries a file that it may not read once", async () => {
  const code = `
    import { HostResolvers } from ${JSON.stringify(new URL("../../host/resolver.ts", import.meta.url).href)};
    let now = 0, asked = 0;
    const stat = Deno.statSync;
    Deno.statSync = (path) => { asked++; return stat(path); };
    const resolvers = new HostResolvers({ now: () => now += 5000 });
    for (let i = 0; i < 5; i++) if (resolvers.current().length > 0) throw new Error("it was read");
    console.log(asked);`;
  const args = ["run", "--no-prompt", "--no-check", "-"];
  const probe = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" }).spawn();
  const writer = probe.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { stdout } = await probe.output();
  assertEquals(new TextDecoder().decode(stdout).trim(), "1");
});

const needsFfi = requires("linux", "ffi");

Deno.test({
  name:
    `HostResolvers names whom it has named while descriptors have run out, and reads the file afterwards${needsFfi.reason}`,
  ignore: needsFfi.ignore,
  fn: async () => {
    const path = await Deno.makeTempFile();
    const from = (path: string) => JSON.stringify(import.meta.resolve(path));
    const code = `import { HostResolvers } from ${from("../../host/resolver.ts")};
      import { libc } from ${from("../../net/linux/libc.ts")};
      const path = ${JSON.stringify(path)}, { eventfd, close } = libc();
      let now = 0;
      const resolvers = new HostResolvers({ path, now: () => now += 2000 });
      const tell = () => console.log(resolvers.current().map(({ address }) => String(address)).join());
      Deno.writeTextFileSync(path, "nameserver 192.0.2.1");
      tell();
      Deno.writeTextFileSync(path, "nameserver 192.0.2.1\\nnameserver 192.0.2.2");
      const held = [];
      for (let fd; (fd = eventfd(0, 0)) >= 0;) held.push(fd);
      tell();
      for (const fd of held) close(fd);
      tell();`;
    const url = "data:application/javascript," + encodeURIComponent(code);
    const command = 'ulimit -n 100; exec "$0" run --no-prompt --no-config --allow-ffi --allow-read --allow-write "$1"';
    const { stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command, Deno.execPath(), url] }).output();
    await Deno.remove(path);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(text(stdout), "192.0.2.1\n192.0.2.1\n192.0.2.1,192.0.2.2\n", text(stderr));
  },
});
