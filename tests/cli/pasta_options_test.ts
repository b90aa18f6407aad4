import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { HostConnection } from "../../net/linux/host_network.ts";
import { parsePasta, pastaHelp, type PastaLine, type PastaOptions, pastaVersion } from "../../cli/pasta_options.ts";
import { PASTA_ROWS } from "../../cli/pasta_rows.ts";
import type { RunOptions } from "../../cli/options.ts";
import { UsageError } from "../../cli/usage_error.ts";

const UPLINK: HostConnection = {
  ipv4: { name: "wan0", mtu: 1500, addresses: ["192.0.2.7/24", "198.51.100.7/24"], gateway: "192.0.2.1" },
  ipv6: { name: "wan0", mtu: 1500, addresses: ["2001:db8:7::7/64"], gateway: "fe80::1" },
};
const ALONE: HostConnection = { ipv4: undefined, ipv6: undefined };

function parse(words: readonly string[], host: HostConnection = ALONE, shell = "/bin/sh"): PastaLine {
  return parsePasta(words, { shell, hasIpv6: true, connection: () => host });
}

function optionsOf(line: string, host: HostConnection = ALONE): PastaOptions {
  const parsed = parse(line.split(" "), host);
  if (!("options" in parsed)) throw new Error(`${line} is for no namespace that is there`);
  return parsed.options;
}

function commandOf(line: string, shell?: string): { run: RunOptions; command: readonly string[] } {
  const parsed = parse(line === "" ? [] : line.split(" "), ALONE, shell);
  if (!("run" in parsed)) throw new Error(`${line} has no command`);
  return parsed;
}

Deno.test("parsePasta passes over podman's address for DNS where the guest has none of its family", () => {
  const six = optionsOf("-6 --dns-forward 169.254.1.1 --map-guest-addr 169.254.1.2 --netns /run/n", UPLINK);
  assertEquals([six.serve.gateway.dnsAddresses, six.serve.gateway.families], [[], "ipv6"]);
  const both = optionsOf("--dns-forward 169.254.1.1 --dns-forward fd00::3 --netns /run/n", UPLINK);
  assertEquals(both.serve.gateway.dnsAddresses, ["169.254.1.1", "fd00::3"]);
});

Deno.test("parsePasta follows the command lines of rootlesskit and of a bridge network", () => {
  const rootlesskit = optionsOf(
    "--stderr --ns-ifname=tap1 --mtu=1500 --config-net --address=10.0.2.100 --netmask=24 --gateway=10.0.2.2 " +
      "--dns-forward=10.0.2.3 --no-map-gw --ipv4-only --tcp-ports=none --udp-ports=none 4711",
  );
  assertEquals(rootlesskit.serve.links, [{ kind: "tap", name: "tap1", netns: { pid: 4711 } }]);
  assertEquals(rootlesskit.tap, {
    mtu: 1500,
    mac: undefined,
    address: "10.0.2.100/24",
    gateway: "10.0.2.2",
    address6: "untouched",
  });
  assertEquals(rootlesskit.serve.gateway.dnsAddresses, ["10.0.2.3"]);
  const { gateway } = rootlesskit.serve;
  assertEquals([gateway.hostLoopback, gateway.families, gateway.forwards], [false, "ipv4", []]);
  assertEquals([rootlesskit.quiet, rootlesskit.foreground, rootlesskit.quits], [false, false, true]);
  const bridge = optionsOf(
    "--config-net --pid /tmp/p -t 127.0.0.1/18080-18080:80-80 -u none -T none -U none --no-map-gw --quiet --netns " +
      "/run/user/1/netns/rootless-netns",
  );
  assertEquals(bridge.netns, { path: "/run/user/1/netns/rootless-netns" });
  assertEquals(bridge.serve.gateway.forwards, ["tcp:127.0.0.1/18080-18080:80-80"]);
  assertEquals([bridge.serve.pidFile, bridge.quiet, bridge.serve.configure], ["/tmp/p", true, true]);
});

Deno.test("parsePasta reads both spellings, names as ip netns has them, and ports of every address", () => {
  const short = optionsOf(
    "-fqm 1280 -n255.255.0.0 -a10.9.0.7 -P x -l log -I eth7 -t8080:80 -t 10.0.0.1/81 -u 53 --netns blue",
  );
  const long = optionsOf(
    "--foreground --quiet --mtu=1280 --netmask 16 --address 10.9.0.7 --pid x --log-file log --ns-ifname eth7 " +
      "--tcp-ports 8080:80 --tcp-ports=10.0.0.1/81 --udp-ports 53 --netns=/run/netns/blue",
  );
  assertEquals(short, long);
  assertEquals(short.serve.gateway.forwards, ["tcp:[::]/8080:80", "tcp:10.0.0.1/81", "udp:[::]/53"]);
  assertEquals([short.tap.mtu, short.tap.address, short.foreground, short.logFile], [
    undefined,
    undefined,
    true,
    "log",
  ]);
  assertEquals(optionsOf("--config-net -a 10.9.0.7/16 1").tap.address, "10.9.0.7/16");
  assertEquals(optionsOf("--config-net --ns-mac-addr 0e:d4:18:d9:38:fb 1").tap.mac, "0e:d4:18:d9:38:fb");
  assertEquals(optionsOf("-D none 1").serve.gateway.dns, "none");
  assertEquals(optionsOf("-D 192.0.2.1 -D 192.0.2.2 1").serve.gateway.dns, "192.0.2.1");
  assertEquals(optionsOf("--map-host-loopback none 1").serve.gateway.hostLoopback, false);
  assertEquals(optionsOf("--no-netns-quit 1").quits, false);
  assertEquals(optionsOf("-o 127.0.0.1 1").serve.outbound, ["127.0.0.1"]);
  assertEquals(optionsOf("--no-tcp --no-icmp --deny 192.0.2.1 1").serve.gateway.deny, [
    ...["192.0.2.1", "tcp:0.0.0.0/0", "tcp:::/0", "icmp:0.0.0.0/0", "icmp:::/0"],
  ]);
  assertEquals(
    parse(["-t", "none", "-u", "none", "--search", "a.example b.example.", "1"]),
    parse([
      ...["-t", "none", "-u", "none", "--dhcp-option", "domain-search=a.example,b.example", "1"],
    ]),
  );
});

Deno.test("parsePasta gives the guest what the host has, but for what is given", () => {
  const network = (line: string, host = UPLINK) => optionsOf(line, host).serve.gateway.network;
  const ipv4 = { guest: "192.0.2.7/24", gateway: "192.0.2.1", relaysSubnet: true };
  const ipv6 = { guest: "2001:db8:7::7/64", gateway: "fe80::1", relaysSubnet: true };
  assertEquals(network("1"), { ipv4, ipv6 });
  assertEquals(network("-4 1"), { ipv4 });
  assertEquals(network("-6 1"), { ipv6 });
  assertEquals(network("1", { ...UPLINK, ipv6: undefined }), { ipv4 });
  assertEquals(network("1", ALONE), { ipv4: { guest: "169.254.2.1/16", gateway: "169.254.2.2" } });
  assertEquals(network("-a 192.0.2.1 -4 1"), { ipv4: { ...ipv4, guest: "192.0.2.1/24", gateway: "192.0.2.2" } });
  assertEquals(network("-a 192.0.2.9 -4 1"), { ipv4: { ...ipv4, guest: "192.0.2.9/24" } });
  const far = { guest: "10.0.2.100/24", gateway: "10.0.2.2", relaysSubnet: false };
  assertEquals(network("-a 10.0.2.100 -g 10.0.2.2 -4 1"), { ipv4: far });
  assertEquals(network("-a 10.0.2.100 -4 1", ALONE), { ipv4: { ...far, gateway: "10.0.2.1" } });
  assertEquals(network("-a 10.0.2.1 -n 16 -4 1", ALONE)?.ipv4?.gateway, "10.0.0.1");
  assertEquals(network("-a fd00::1 1", ALONE), {
    ipv6: { guest: "fd00::1/64", gateway: "fd00::2", relaysSubnet: false },
  });
  const { tap, serve } = optionsOf("--config-net -a 10.7.7.7/32 1", UPLINK);
  assertEquals(tap, {
    mtu: 65520,
    mac: undefined,
    address: "10.7.7.7/32",
    gateway: "192.0.2.1 onlink",
    address6: "2001:db8:7::7/64",
    gateway6: "fe80::1",
  });
  assertEquals(serve.links, [{ kind: "tap", name: "wan0", netns: { pid: 1 } }]);
  assertEquals(optionsOf("1").serve.links, [{ kind: "tap", name: "tap0", netns: { pid: 1 } }]);
});

Deno.test("parsePasta leads ports of every address, or of those that are named, and knows what follows", () => {
  const ports = (line: string, hasIpv6 = true) => {
    const parsed = parsePasta(line.split(" "), { shell: "", hasIpv6, connection: () => UPLINK });
    if (!("options" in parsed)) throw new Error(line);
    const { gateway: { forwards }, autoPorts } = parsed.options.serve;
    return [
      ...forwards!,
      ...autoPorts.map(({ protocol, address, isExcluded }) => {
        return `${protocol} ${address} ${[80, 81].map(isExcluded)}`;
      }),
    ];
  };
  assertEquals(ports("1"), ["tcp :: false,false", "udp :: false,false"]);
  assertEquals(ports("-4 -u none 1"), ["tcp 0.0.0.0 false,false"]);
  assertEquals(ports("-t 80 -t 127.0.0.1/81 -u 82-83 1"), ["tcp:[::]/80", "tcp:127.0.0.1/81", "udp:[::]/82-83"]);
  assertEquals(ports("-4 -t 80 -u none 1"), ["tcp:0.0.0.0/80"]);
  assertEquals(ports("-t 80 -u none 1", false), ["tcp:0.0.0.0/80"]);
  assertEquals(ports("-t %eth0/80 -t ::1/81 -t 82:192.0.2.7/82 -u 2001:db8:7::10%eth0/83:84 1"), [
    ...["tcp:%eth0/80", "tcp:::1/81", "tcp:[::]/82:192.0.2.7/82", "udp:2001:db8:7::10%eth0/83:84"],
  ]);
  assertEquals(ports("-t none -u none 1"), []);
  assertEquals(ports("-t auto,~80 -u 127.0.0.1/auto 1"), ["tcp :: true,false", "udp 127.0.0.1 false,false"]);
});

Deno.test("parsePasta takes interfaces of the host, and what DHCP tells", () => {
  const six = { name: "wan6", mtu: 1500, addresses: ["2001:db8:8::8/64"], gateway: "fe80::8" };
  const connection = (name?: string): HostConnection => name === "wan6" ? { ipv4: undefined, ipv6: six } : UPLINK;
  const options = (line: string) => {
    const parsed = parsePasta(line.split(" "), { shell: "", hasIpv6: true, connection });
    return "options" in parsed ? parsed.options.serve : undefined;
  };
  const both = options("--outbound-if4 wan0 --outbound-if6 wan6 1");
  assertEquals(both?.outbound, ["192.0.2.7", "2001:db8:8::8"]);
  assertEquals(both?.gateway.network?.ipv6?.guest, "2001:db8:8::8/64");
  assertEquals(options("--outbound-if4 wan0 -o 192.0.2.1 1")?.outbound, ["192.0.2.1"]);
  assertEquals(options("-i wan6 1")?.gateway.network, {
    ipv6: { guest: "2001:db8:8::8/64", gateway: "fe80::8", relaysSubnet: true },
  });
  assertThrows(() => options("--outbound-if4 wan6 1"), UsageError, "--outbound-if4 wan6: it has no IPv4 address");
  assertEquals(options("-H box --search a.example --mtu 0 1")?.gateway.dhcpOptions, [
    "domain-search=a.example",
    "host-name=box",
  ]);
  assertEquals(options("--search a.example --no-dhcp-search 1")?.gateway.dhcpOptions, []);
  const empty = options("--search= -D  1")?.gateway;
  assertEquals([empty?.dhcpOptions, empty?.dns], [[], "none"]);
  assertEquals(options("--no-dhcp --no-dhcpv6 --no-ra 1")?.gateway.without, ["dhcp", "dhcpv6", "router"]);
  assertEquals(options("--no-ndp 1")?.gateway.without, ["router"]);
  assertEquals(options("-t 80 -u 80 --no-tcp 1")?.gateway.forwards, ["udp:[::]/80"]);
});

Deno.test("parsePasta leads to the host's loopback by the gateway, by an address that is named in its place, or not at all", () => {
  const host = (line: string) => {
    const { hostLoopback, hostAliases, maps } = optionsOf(line, UPLINK).serve.gateway;
    return [hostLoopback, hostAliases, maps];
  };
  assertEquals(host("1"), [true, [], []]);
  assertEquals(host("--no-map-gw 1"), [false, [], []]);
  assertEquals(host("--map-host-loopback none 1"), [false, [], []]);
  assertEquals(host("--map-host-loopback 169.254.1.3 1"), [false, ["169.254.1.3"], []]);
  const mapped = ["169.254.1.2=192.0.2.7", "fd00::7=2001:db8:7::7"];
  assertEquals(host("--map-guest-addr 169.254.1.2 --map-guest-addr fd00::7 1"), [true, [], mapped]);
  assertEquals(host("--map-guest-addr none 1"), [true, [], []]);
  assertEquals(optionsOf("--map-guest-addr 169.254.1.2 1").serve.gateway.maps, []);
});

Deno.test("parsePasta takes what is no number for a COMMAND, and its options for the COMMAND's", () => {
  assertEquals(commandOf("-4 ip -6 addr").command, ["ip", "-6", "addr"]);
  assertEquals(commandOf("-4 ip -6 addr").run.gateway.families, "ipv4");
  assertEquals(commandOf("-- 7 8").command, ["7", "8"]);
  assertEquals(commandOf("", "/bin/zsh").command, ["/bin/zsh"]);
  assertEquals(commandOf("").command, ["/bin/sh"]);
  assertEquals(commandOf("--mtu 1500 true").run.mtu, 1500);
});

Deno.test("parsePasta says in one line what is wrong, in getopt's words where callers look for them", () => {
  const wrong: [string, string][] = [
    ["--map-guest-address 1", "unrecognized option '--map-guest-address'"],
    ["--socket /x", "unrecognized option '--socket'"],
    ["-1", "invalid option -- '1'"],
    ["--netns", "option '--netns' requires an argument"],
    ["--netns /x 1", "both --netns and PID or COMMAND given"],
    ["--netns /x true", "both --netns and PID or COMMAND given"],
    ["--userns /x true", "--userns needs --netns or PID"],
    ["--netns-only true", "--netns-only needs --netns or PID"],
    ["0", "invalid PID 0"],
    ["99999999999", "invalid PID 99999999999"],
    ["-q -d 1", "--quiet and --debug say the opposite"],
    ["-m 65521 1", "bad --mtu 65521: it is a whole number from 576 to 65520"],
    ["-n 255.0.255.0 1", "bad --netmask 255.0.255.0: it is a netmask such as 255.255.255.0"],
    ["-n 33 1", "bad --netmask 33"],
    ["-a x 1", "bad --address x"],
    ["--runas nobody 1", "bad --runas nobody: Hawser stays who it is"],
    ["-t 80-x 1", "bad --tcp-ports 80-x"],
    ["-T all 1", "bad --tcp-ns all: it names ports of loopback"],
    ["-I a/b 1", "bad --ns-ifname a/b"],
    ["--ns-mac-addr 01:d4:18:d9:38:fb 1", "it is a group's address"],
    ["-4 -6 1", "--ipv4-only and --ipv6-only leave nothing"],
    ["-6 1", "--ipv6-only needs an address, and the host has none"],
    ["-a 10.0.0.1/32 1", "10.0.0.1 is alone in its network: give --gateway"],
    ["-a 127.0.0.2 1", "it shares 127.0.0.0/8"],
    ["-a 10.0.0.2 -g 10.0.0.2 1", "10.0.0.2 cannot be the guest's and the gateway's"],
    ["--map-guest-addr x 1", "bad --map-guest-addr x"],
  ];
  for (const [line, message] of wrong) {
    const error = assertThrows(() => parse(line.split(" ")), UsageError, undefined, line);
    assertEquals(error.program, "pasta");
    assertStringIncludes(error.message, message);
    assertEquals(error.message.includes("\n"), false);
  }
});

Deno.test("the help names every option, those of pasta once, and the version is one that programs know", () => {
  for (const name of Object.keys(PASTA_ROWS)) {
    assertEquals(pastaHelp().match(new RegExp(`^  (-., |    )--${name}( |$)`, "gm"))?.length, 1, name);
  }
  assertStringIncludes(pastaHelp(), "--audit");
  assert(/^pasta 0\.0~git\d{8}\.\w+ \(hawser /.test(pastaVersion()));
  assertEquals(parse(["--help"]), { text: pastaHelp() });
  assertEquals(parse(["--config-net", "--version"]), { text: pastaVersion() });
});
