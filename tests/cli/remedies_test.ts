import { assertEquals, assertStringIncludes } from "@std/assert";
import { describeSetupFailure, readFacts } from "../../cli/remedies.ts";

function describe(
  step: string,
  facts: string,
  options: { asMappedRoot?: boolean; complaints?: string[] } = {},
): string {
  const { asMappedRoot = true, complaints = ["it said no"] } = options;
  return describeSetupFailure({ step, complaints, asMappedRoot, facts: readFacts(facts) });
}

Deno.test("describeSetupFailure tells each missing thing with its own remedy", () => {
  const remedies: [string, string, string, string][] = [
    [
      "unshare",
      "unshare=absent",
      "cannot create a network namespace: ",
      'install "unshare" (Debian package util-linux)',
    ],
    [
      "unshare",
      "user/max_user_namespaces=0",
      "cannot create a network namespace: ",
      "sysctl user.max_user_namespaces=",
    ],
    ["unshare", "kernel/unprivileged_userns_clone=0", "cannot create a network ", "kernel.unprivileged_userns_clone=1"],
    ["unshare", "kernel/apparmor_restrict_unprivileged_userns=1", "cannot create a network ", "AppArmor restricts"],
    ["unshare", "", "cannot create a network namespace: ", "CAP_SYS_ADMIN"],
    ["tun", "tun=absent", "cannot open /dev/net/tun: ", "modprobe tun"],
    ["tun", "", "cannot open /dev/net/tun: ", "chmod 666 /dev/net/tun"],
    ["address", "ip=absent", "cannot configure the network namespace: ", 'install "ip" (Debian package iproute2)'],
    ["address", "kernel/apparmor_restrict_unprivileged_userns=1", "cannot configure ", "AppArmor restricts"],
    ["address", "", "cannot configure the network namespace: ", "CAP_NET_ADMIN"],
    ["resolver", "mount=absent", "cannot set the resolver: ", 'install "mount" (Debian package util-linux)'],
    ["resolver", "", "cannot set the resolver: ", "mounting must be allowed"],
    ["proc", "mount=absent", "cannot mount a /proc for the command: ", 'install "mount" (Debian package util-linux)'],
    ["proc", "", "cannot mount a /proc for the command: ", "--security-opt unmask=ALL"],
    ["covers", "mount=absent", "cannot cover what the command is not to reach: ", 'install "mount"'],
    ["covers", "", "cannot cover what the command is not to reach: ", "util-linux 2.34"],
    ["inner", "user/max_user_namespaces=1", "cannot create a user namespace for the command: ", "run as root"],
    ["ready", "", 'cannot start the command (at step "ready"): ', "nothing was started"],
  ];
  const seen = new Set<string>();
  for (const [step, facts, action, remedy] of remedies) {
    const text = describe(step, facts);
    assertStringIncludes(text, `it said no`);
    assertEquals(text.startsWith(action), true, text);
    assertStringIncludes(text, remedy);
    seen.add(text);
  }
  assertEquals(seen.size, remedies.length);
});

Deno.test("describeSetupFailure does not blame AppArmor where no user namespace was involved", () => {
  const text = describe("address", "kernel/apparmor_restrict_unprivileged_userns=1", { asMappedRoot: false });
  assertEquals(text.includes("AppArmor"), false);
});

Deno.test("describeSetupFailure takes limits that are not 0 for no explanation", () => {
  const text = describe("unshare", "user/max_user_namespaces=96365\nkernel/unprivileged_userns_clone=1");
  assertStringIncludes(text, "CAP_SYS_ADMIN");
});

Deno.test("describeSetupFailure is one line whatever was complained", () => {
  const text = describe("address", "", { complaints: ["RTNETLINK answers:\tno", "second\r"] });
  assertStringIncludes(text, "RTNETLINK answers: no; second: the kernel");
  assertEquals(text.includes("\n"), false);
  assertEquals(describe("tun", "", { complaints: [] }).startsWith("cannot open /dev/net/tun: let this user"), true);
});

Deno.test("readFacts skips what is no fact", () => {
  assertEquals([...readFacts("a=1\n\nnothing\n=x\nb=2=3\n")], [["a", "1"], ["b", "2=3"]]);
});
