import { assertEquals, assertGreater, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { cString, libc, O_RDWR } from "../../../net/linux/libc.ts";
import { pidfdGetFd } from "../../../net/linux/pidfd.ts";
import { configureTun } from "../../../net/linux/tun.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { requires } from "../../support/requirements.ts";
import { GUEST_NEEDS, TapGuest } from "../../support/tap_guest.ts";

const needsFfi = requires("linux", "ffi"), needsGuest = requires(...GUEST_NEEDS, "setpriv");

function test(name: string, needs: { ignore: boolean; reason: string }, fn: () => void | Promise<void>): void {
  Deno.test({ name: `${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

test("configureTun refuses names that no interface can have", needsFfi, () => {
  for (const name of ["", "a-name-of-16-byte", "with space", "a/b", "a:b", ".", "..", "nul\0"]) {
    assertThrows(() => configureTun(-1, { name, offload: true }), TypeError, "Cannot create TAP interface");
  }
});

test("configureTun says that a descriptor is none, or none of /dev/net/tun", needsFfi, () => {
  assertThrows(() => configureTun(1900, { name: "tap0", offload: true }), Error, "descriptor 1900 is unusable");
  const fd = libc().open(cString("/dev/null"), O_RDWR);
  assertThrows(() => configureTun(fd, { name: "tap0", offload: true }), Error, "Cannot create TAP interface tap0: ");
  libc().close(fd);
});

test("pidfdGetFd says that the process or its descriptor is not there", needsFfi, () => {
  assertThrows(() => pidfdGetFd(0x3ffffff, 0), Deno.errors.NotFound, "no such process");
  assertThrows(() => pidfdGetFd(Deno.pid, 1900), Deno.errors.NotFound, "no such descriptor open");
});

test("pidfdGetFd gives this process's own descriptor of the same file", needsFfi, () => {
  const fd = libc().eventfd(0, 0x80800), copy = pidfdGetFd(Deno.pid, fd), bytes = new Uint8Array(8);
  libc().write(fd, new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0]), 8n);
  assertEquals(libc().read(copy, bytes, 8n), 8);
  assertEquals(bytes[0], 7);
  libc().close(fd);
  libc().close(copy);
});

test(
  "configureTun creates the interface where its descriptor was opened, and it goes with that",
  needsGuest,
  async () => {
    await using guest = await TapGuest.start();
    const fd = guest.takeTun();
    assertGreater(fd, 2);
    configureTun(fd, { name: "eth7", offload: true });
    assertMatch(await guest.run("ip -brief link show eth7"), /^eth7 +DOWN/);
    const here = await new Deno.Command("ip", { args: ["link", "show", "eth7"], stderr: "null" }).output();
    assertEquals(here.success, false);
    await guest.run("exec 9>&-");
    assertMatch(await guest.run("ip -brief link"), /eth7/);
    libc().close(fd);
    assertEquals((await guest.run("ip -brief link")).includes("eth7"), false);
  },
);

test("configureTun says that an interface of that name is served already", needsGuest, async () => {
  await using guest = await TapGuest.start();
  const fd = guest.takeTun();
  configureTun(fd, { name: "tap0", offload: false });
  await guest.run("exec 8<>/dev/net/tun");
  const other = pidfdGetFd(guest.pid, 8);
  assertThrows(() => configureTun(other, { name: "tap0", offload: false }), Deno.errors.Busy, "choose another name");
  assertThrows(() => configureTun(other, { name: "lo", offload: false }), Error, "Cannot create TAP interface lo: ");
  libc().close(other);
  libc().close(fd);
});

test("TAP remedies: without the right to create an interface, and without the device file", needsGuest, async () => {
  const code = `import { configureTun, openTun } from ${
    JSON.stringify(import.meta.resolve("../../../net/linux/tun.ts"))
  };
    try { configureTun(openTun(), { name: "tap0", offload: true }); } catch (error) { console.log(String(error)); }`;
  const url = "data:application/typescript," + encodeURIComponent(code);
  const run = async (script: string) => {
    const { stdout } = await new Deno.Command("unshare", {
      args: ["--net", "--mount", "--", "sh", "-c", `${script}; exec "$@"`, "sh"].concat(
        ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"],
        [Deno.execPath(), "run", "--no-prompt", "--no-config", "--allow-ffi", url],
      ),
      stderr: "null",
    }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  const denied = await run("true");
  assertMatch(denied, /^PermissionDenied: Cannot create TAP interface tap0: /);
  assertStringIncludes(denied, "CAP_NET_ADMIN");
  const absent = await run("mount -t tmpfs none /dev/net");
  assertMatch(absent, /^NotFound: Cannot open \/dev\/net\/tun: the device file is absent/);
  assertStringIncludes(absent, "modprobe tun");
});
