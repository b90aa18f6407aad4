import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  parseSlirp4netns,
  slirp4netnsBanner,
  slirp4netnsHelp,
  type Slirp4netnsOptions,
  slirp4netnsVersion,
} from "../../cli/slirp4netns_options.ts";
import { UsageError } from "../../cli/usage_error.ts";

function optionsOf(line: string): Slirp4netnsOptions {
  const parsed = parseSlirp4netns(line.split(" "));
  if (!("options" in parsed)) throw new Error(`${line} is a text`);
  return parsed.options;
}

Deno.test("parseSlirp4netns follows the command lines of podman, buildah and rootlesskit", () => {
  const podman = optionsOf(
    "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp --enable-ipv6 -c -e 3 -r 4 --cidr=10.9.0.0/24 " +
      "--outbound-addr=127.0.0.1 --api-socket /tmp/x.sock --netns-type=path /run/user/1/netns/netns-1 tap0",
  );
  assertEquals(podman.serve.links, [{ kind: "tap", name: "tap0", netns: { path: "/run/user/1/netns/netns-1" } }]);
  assertEquals([podman.serve.exitFd, podman.serve.readyFd, podman.serve.mtu], [3, 4, 65520]);
  assertEquals([podman.serve.gateway.hostLoopback, podman.serve.gateway.families], [false, undefined]);
  assertEquals(podman.tap, {
    mtu: 65520,
    mac: undefined,
    address: "10.9.0.100/24",
    gateway: "10.9.0.2",
    address6: "automatic",
  });
  assertEquals([`${podman.guest}`, podman.apiSocket, podman.isConfined], ["10.9.0.100", "/tmp/x.sock", true]);
  assertEquals(podman.outbound, { ipv4: "127.0.0.1", ipv6: undefined });
  const buildah = optionsOf("--mtu 65520 -r 3 -c 4711 tap0");
  assertEquals(buildah.serve.links, [{ kind: "tap", name: "tap0", netns: { pid: 4711 } }]);
  assertEquals([buildah.serve.gateway.families, buildah.tap?.address6, buildah.isConfined], [
    "ipv4",
    "untouched",
    false,
  ]);
  const rootlesskit = optionsOf("--mtu 1500 -r 3 --userns-path=/proc/1/ns/user --netns-type=path /x/netns tap0");
  assertEquals([rootlesskit.tap, rootlesskit.usernsPath], [undefined, "/proc/1/ns/user"]);
  assertEquals(optionsOf("1 tap0").serve.mtu, 1500);
  assertEquals(optionsOf("-m 65521 1 tap0").serve.mtu, 65520);
  assertEquals(optionsOf("-c --cidr 10.0.135.128/25 1 tap0").tap?.address, "10.0.135.228/25");
  assertEquals(optionsOf("--disable-dns 1 tap0").serve.gateway.dns, "none");
  assertEquals(optionsOf("--dns 127.0.0.1:5353 --deny 10.0.0.0/8 1 tap0").serve.gateway.dns, "127.0.0.1:5353");
  assertEquals(optionsOf("--target-type=bess /tmp/uml.sock").serve.links, [{
    kind: "unixpacket",
    path: "/tmp/uml.sock",
  }]);
  assertEquals(optionsOf("--no-host-loopback --create-sandbox 1 tap0").isConfined, true);
});

Deno.test("parseSlirp4netns says in one line what is wrong", () => {
  const long = `/${"x".repeat(107)}`;
  const wrong: [string, string][] = [
    ["-c", "missing PID and TAPNAME"],
    ["--netns-type=path", "missing PATH and TAPNAME"],
    ["1", "missing TAPNAME"],
    ["1 a/b", "bad TAPNAME a/b"],
    ["x tap0", "PID must be a positive integer, not x"],
    ["-1 tap0", "invalid option -- '1'"],
    ["--netns-type=tapfd 1 tap0", 'it must be either "path" or "pid"'],
    ["--mtu 65522 1 tap0", "bad --mtu 65522: it is a whole number from 576 to 65521"],
    ["--cidr 24 1 tap0", "invalid CIDR"],
    ["--cidr foo 1 tap0", "invalid CIDR"],
    ["--cidr 10.0.2.0 1 tap0", "invalid CIDR"],
    ["--cidr fd00::/64 1 tap0", "invalid CIDR"],
    ["--cidr 10.0.2.100/24 1 tap0", "CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24"],
    ["--cidr 10.0.2.100/26 1 tap0", "prefix length needs to be 1-25, not 26"],
    ["--cidr 127.0.0.0/8 1 tap0", "it shares 127.0.0.0/8"],
    ["--macaddress 0e:d4:18:d9:38:fb 1 tap0", "--macaddress needs --configure"],
    ["-c --macaddress 01:d4:18:d9:38:fb 1 tap0", "it is a group's address"],
    [`-a ${long} 1 tap0`, "the path is too long"],
    ["-e 3 -r 3 1 tap0", "--exit-fd is that of --ready-fd"],
    ["-e -3 1 tap0", "bad --exit-fd -3"],
    ["--target-type=x 1 tap0", 'it must be either "netns" or "bess"'],
    ["--target-type=bess", "missing PATH"],
    ["--target-type=bess /a /b", "too many arguments: /b"],
    ["--target-type=bess -c /a", "--configure conflicts with --target-type=bess"],
    ["--target-type=bess --userns-path=/x /a", "--userns-path conflicts with --target-type=bess"],
    ["--map x 1 tap0", "bad --map x"],
    ["-D none 1 tap0", "invalid option -- 'D'"],
  ];
  for (const [line, message] of wrong) {
    const error = assertThrows(() => parseSlirp4netns(line.split(" ")), UsageError);
    assertEquals(error.program, "slirp4netns");
    assertStringIncludes(error.message, message);
    assertEquals(error.message.includes("\n"), false);
  }
});

Deno.test("the help names every option for which callers look, and the version is one that they know", () => {
  const probed =
    "--disable-host-loopback --mtu --enable-sandbox --enable-seccomp --cidr --outbound-addr --enable-ipv6 " +
    "--netns-type --api-socket --userns-path --macaddress --disable-dns --target-type --exit-fd --ready-fd";
  for (const option of probed.split(" ")) assertStringIncludes(slirp4netnsHelp(), option);
  assertEquals(slirp4netnsVersion().startsWith("slirp4netns version 1.2.0 (hawser "), true);
  assertEquals(parseSlirp4netns(["--help"]), { text: slirp4netnsHelp() });
  assertEquals(parseSlirp4netns(["-v", "x"]), { text: slirp4netnsVersion() });
});

Deno.test("slirp4netnsBanner tells the layout, and warns only if the host's loopback is open", () => {
  const open = slirp4netnsBanner(optionsOf("-c --macaddress 0e:d4:18:d9:38:fb --cidr 10.9.0.0/16 -a /x 1 tap0"));
  for (const line of ["Network:         10.9.0.0", "Netmask:         255.255.0.0", "Recommended IP:  10.9.0.100"]) {
    assertStringIncludes(open, `* ${line}\n`);
  }
  assertStringIncludes(open, "* MAC address:     0e:d4:18:d9:38:fb\n");
  assertStringIncludes(open, "WARNING: 127.0.0.1:* on the host is accessible as 10.9.0.2");
  const closed = slirp4netnsBanner(optionsOf("--disable-host-loopback --disable-dns 1 tap0"));
  assertStringIncludes(closed, "* DNS:             none\n");
  assertEquals(closed.includes("WARNING"), false);
});
