import { assertEquals, assertThrows } from "@std/assert";
import { libc } from "../../../net/linux/libc.ts";
import { NetworkNamespace } from "../../../net/linux/netns.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("ffi", "root", "unshare");
const F_GETFD = 1;

function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

/** Calls `body` with a process that has entered what `unshare` makes with these flags. */
async function withProcess(flags: readonly string[], body: (pid: number) => void): Promise<void> {
  const script = "echo entered; exec cat";
  const child = new Deno.Command("unshare", {
    args: [...flags, "--", "sh", "-c", script],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const stdout = child.stdout.getReader();
  await stdout.read();
  try {
    body(child.pid);
  } finally {
    await child.stdin.close();
    await stdout.cancel();
    await child.status;
  }
}

test("a NetworkNamespace of this user namespace has no other owner to enter", async () => {
  await withProcess(["--net"], (pid) => {
    using netns = NetworkNamespace.open(`/proc/${pid}/ns/net`);
    assertEquals(netns.ownerFd, undefined);
    assertEquals(libc().fcntl(netns.fd, F_GETFD, 0), 0);
  });
});

test("a NetworkNamespace of another user namespace has that one, inherited by programs", async () => {
  await withProcess(["--user", "--map-root-user", "--net"], (pid) => {
    using netns = NetworkNamespace.open(`/proc/${pid}/ns/net`);
    assertEquals(libc().fcntl(netns.ownerFd!, F_GETFD, 0), 0);
  });
});

test("NetworkNamespace.open names what is not there, and what is no network namespace", () => {
  assertThrows(() => NetworkNamespace.open("/run/netns/no-such"), Deno.errors.NotFound, "ip netns list");
  for (const path of ["/proc/self/ns/uts", "/proc/self/ns/user", "/etc/passwd", "/"]) {
    assertThrows(() => NetworkNamespace.open(path), TypeError, "this is not a network namespace");
  }
});
