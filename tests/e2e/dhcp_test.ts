import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const { ignore, reason } = requires("root", "tun", "unshare", "ip", "busybox");

Deno.test({
  name: `hawser run tells busybox's DHCP client what --dhcp-option says${reason}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-dhcp-" });
    try {
      const script = `${folder}/lease`;
      await Deno.writeTextFile(
        script,
        '#!/bin/sh\n[ "$1" = bound ] && echo "$ip|$siaddr|$boot_file|$bootfile|$sname|$hostname|$domain|$search"; exit 0\n',
        { mode: 0o755 },
      );
      const options = [
        ["bootfile-name=boot/vm.ipxe", "tftp-server-name=boot1", "host-name=vm1"],
        ["domain-name=example.com", "domain-search=example.com,lab.example.com"],
      ].flat().flatMap((option) => ["--dhcp-option", option]);
      const client = [
        "busybox",
        "udhcpc",
        "-i",
        "eth0",
        "-n",
        "-q",
        "-f",
        "-O",
        "search",
        "-O",
        "bootfile",
        "-s",
        script,
      ];
      const { code, stdout, stderr } = await hawser(["run", ...options, "--", ...client]);
      assertEquals(code, 0, stderr);
      assertMatch(
        stdout,
        /^10\.0\.2\.15\|10\.0\.2\.2\|boot\/vm\.ipxe\|boot\/vm\.ipxe\|boot1\|vm1\|example\.com\|example\.com lab\.example\.com$/m,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

for (
  const [option, right] of [
    ["router=10.0.2.9", /bad --dhcp-option router=10\.0\.2\.9: its name is one of bootfile-name, next-server/],
    ["next-server=boot", /bad --dhcp-option next-server=boot: it is an IPv4 address, such as 10\.0\.2\.2/],
    ["host-name", /bad --dhcp-option host-name: it is NAME=VALUE, such as host-name=vm1/],
  ] as const
) {
  Deno.test(`hawser run and serve refuse --dhcp-option ${option} with 2 and one line`, async () => {
    for (
      const words of [["run", "--dhcp-option", option, "true"], [
        "serve",
        "--dhcp-option",
        option,
        "--listen",
        "unix:/x",
      ]]
    ) {
      const { code, stderr } = await hawser(words);
      assertEquals([code, stderr.trim().split("\n").length], [2, 1], stderr);
      assertMatch(stderr, right);
    }
  });
}
