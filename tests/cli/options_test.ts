import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { gatewayOptions, gatewayRules, type PlainOptions } from "../../cli/gateway_settings.ts";
import { FORWARD_ROWS, type ForwardOptions, parseCommandLine, RUN_ROWS, type RunOptions } from "../../cli/options.ts";
import type { HostNetwork } from "../../nat/host.ts";
import { UsageError } from "../../cli/usage_error.ts";

const GATEWAY: PlainOptions = {
  forwards: [],
  maps: [],
  dnsAddresses: [],
  hostAliases: [],
  hostLoopback: true,
  hostAddresses: true,
  shared: false,
  allow: [],
  deny: [],
  dhcpOptions: [],
  nat64: false,
  reportOnly: false,
};
const DEFAULTS: RunOptions = {
  gateway: GATEWAY,
  mtu: 65520,
  offload: true,
  isolate: false,
  autoPorts: [],
  rulesFiles: [],
  audit: undefined,
  learn: undefined,
  host: "ffi",
  logLevel: "warn",
  impair: undefined,
  pcap: undefined,
  trace: false,
};

/** The defaults, with these options for the library. */
function told(gateway: PlainOptions): Partial<RunOptions> {
  return { gateway: { ...GATEWAY, ...gateway } };
}

/** Words after `hawser run`, the options they change, and the command they leave. */
const GOOD: [string[], Partial<RunOptions>, string[]][] = [
  [["true"], {}, ["true"]],
  [["--", "true"], {}, ["true"]],
  [["--", "-x"], {}, ["-x"]],
  [["-"], {}, ["-"]],
  [["--", "--", "x"], {}, ["--", "x"]],
  [["nc", "-N", "--mtu", "1"], {}, ["nc", "-N", "--mtu", "1"]],
  [["sh", "-c", "x", "--", "y"], {}, ["sh", "-c", "x", "--", "y"]],
  [["env", "--help"], {}, ["env", "--help"]],
  [["1500"], {}, ["1500"]],
  [["x=y"], {}, ["x=y"]],
  [["--mtu", "1500", "true"], { mtu: 1500 }, ["true"]],
  [["--audit", "x.jsonl", "true"], { audit: { path: "x.jsonl" } }, ["true"]],
  [["--audit=fd:3", "true"], { audit: { fd: 3 } }, ["true"]],
  [["--report-only", "true"], told({ reportOnly: true }), ["true"]],
  [["--learn", "x.txt", "true"], { ...told({ reportOnly: true }), learn: "x.txt" }, ["true"]],
  [["--mtu=1500", "true"], { mtu: 1500 }, ["true"]],
  [["-m", "1500", "true"], { mtu: 1500 }, ["true"]],
  [["-m1500", "true"], { mtu: 1500 }, ["true"]],
  [["-m=1500", "true"], { mtu: 1500 }, ["true"]],
  [["-m", "576", "-m", "65520", "true"], { mtu: 65520 }, ["true"]],
  [["--subnet", "192.168.5.0/27", "true"], told({ subnet: "192.168.5.0/27" }), ["true"]],
  [["--subnet=10.0.0.0/8", "true"], told({ subnet: "10.0.0.0/8" }), ["true"]],
  [["-4", "true"], told({ families: "ipv4" }), ["true"]],
  [["--ipv4-only", "true"], told({ families: "ipv4" }), ["true"]],
  [["-6", "true"], told({ families: "ipv6" }), ["true"]],
  [["-m", "1280", "--ipv6-only", "true"], { ...told({ families: "ipv6" }), mtu: 1280 }, ["true"]],
  [["-m", "1279", "true"], { ...told({ families: "ipv4" }), mtu: 1279 }, ["true"]],
  [["--subnet6", "2001:db8:1:2::/64", "true"], told({ subnet6: "2001:db8:1:2::/64" }), ["true"]],
  [["--nat64", "true"], told({ nat64: true }), ["true"]],
  [["-6", "--nat64", "true"], told({ families: "ipv6", nat64: true }), ["true"]],
  [["-t", "8080:[fd00::20]/80", "true"], told({ forwards: ["tcp:8080:[fd00::20]/80"] }), ["true"]],
  [
    ["--subnet6=fd11::/64", "-u[::1]/53:[fd11::5]", "true"],
    told({
      subnet6: "fd11::/64",
      forwards: ["udp:[::1]/53:[fd11::5]"],
    }),
    ["true"],
  ],
  [["--map", "fd00::9=127.0.0.1", "true"], told({ maps: ["fd00::9=127.0.0.1"] }), ["true"]],
  [["--no-offload", "true"], { offload: false }, ["true"]],
  [["--no-offload", "false"], { offload: false }, ["false"]],
  [["--no-offload", "--", "true"], { offload: false }, ["true"]],
  [["--isolate", "true"], { isolate: true }, ["true"]],
  [["--no-host-loopback", "id"], told({ hostLoopback: false }), ["id"]],
  [["--no-host", "id"], told({ hostAddresses: false }), ["id"]],
  [["--no-host", "--host", "deno", "id"], { ...told({ hostAddresses: false }), host: "deno" }, ["id"]],
  [["--dns", "none", "true"], told({ dns: "none" }), ["true"]],
  [["-D", "127.0.0.1:5353", "true"], told({ dns: "127.0.0.1:5353" }), ["true"]],
  [["-D127.0.0.1", "true"], told({ dns: "127.0.0.1" }), ["true"]],
  [["--dns=::1", "true"], told({ dns: "::1" }), ["true"]],
  [["--dns=[::1]:5353", "true"], told({ dns: "[::1]:5353" }), ["true"]],
  [["--map", "10.0.2.100=127.0.0.1", "true"], told({ maps: ["10.0.2.100=127.0.0.1"] }), ["true"]],
  [
    ["--map=10.0.2.100=127.0.0.1", "--map", "10.0.2.2=127.0.0.9", "true"],
    told({ maps: ["10.0.2.100=127.0.0.1", "10.0.2.2=127.0.0.9"] }),
    ["true"],
  ],
  [["--map", "fd00::1=::1", "true"], told({ maps: ["fd00::1=::1"] }), ["true"]],
  [["-t", "8080:80", "true"], told({ forwards: ["tcp:8080:80"] }), ["true"]],
  [
    ["-t8080", "--tcp-ports=[::1]/8080", "-u", "0:53", "true"],
    told({
      forwards: ["tcp:8080", "tcp:[::1]/8080", "udp:0:53"],
    }),
    ["true"],
  ],
  [["--udp-ports", "8080", "--tcp-ports", "8080", "true"], told({ forwards: ["tcp:8080", "udp:8080"] }), ["true"]],
  [
    ["--subnet", "10.9.0.0/16", "-t", "80:10.9.1.1/80", "true"],
    told({
      subnet: "10.9.0.0/16",
      forwards: ["tcp:80:10.9.1.1/80"],
    }),
    ["true"],
  ],
  [["--max-flows", "1", "true"], told({ maxFlows: 1 }), ["true"]],
  [["--max-new-flows=50", "true"], told({ maxNewFlows: 50 }), ["true"]],
  [["--names", "strict", "--names-ttl", "60", "true"], told({ names: "strict", namesTtlS: 60 }), ["true"]],
  [["--allow", "192.0.2.0/24:80,8000-8099", "true"], told({ allow: ["192.0.2.0/24:80,8000-8099"] }), ["true"]],
  [["--rules", "a", "--rules=b", "true"], { rulesFiles: ["a", "b"] }, ["true"]],
  [
    ["--allow", "Registry.example:443", "--allow", "db.example:5432 unverified", "--deny", "*.example", "true"],
    told({ allow: ["Registry.example:443", "db.example:5432 unverified"], deny: ["*.example"] }),
    ["true"],
  ],
  [["--allow=10.0.2.2", "--allow=[::1]:443", "true"], told({ allow: ["10.0.2.2", "[::1]:443"] }), ["true"]],
  [["--deny", "none", "--deny", "10.0.0.0/8", "true"], told({ deny: ["none", "10.0.0.0/8"] }), ["true"]],
  [["--host", "deno", "true"], { host: "deno" }, ["true"]],
  [["--log-level=debug", "true"], { logLevel: "debug" }, ["true"]],
  [["--pcap", "a,b=c.pcap", "true"], { pcap: "a,b=c.pcap" }, ["true"]],
  [["--impair", "loss=1%,delay=20ms", "true"], { impair: { loss: 0.01, delayMs: 20 } }, ["true"]],
  [["--dns-address", "169.254.1.1", "--dns-address=fd00::53", "true"], {
    gateway: { ...GATEWAY, dnsAddresses: ["169.254.1.1", "fd00::53"] },
  }, ["true"]],
  [["--host-address", "169.254.1.2", "true"], { gateway: { ...GATEWAY, hostAliases: ["169.254.1.2"] } }, ["true"]],
  [["--impair=loss=1%", "--trace", "true"], { impair: { loss: 0.01 }, trace: true }, ["true"]],
];

Deno.test("parseCommandLine of run reads each option and leaves the command as it is", () => {
  for (const [words, changed, command] of GOOD) {
    const line = parseCommandLine(["run", ...words]);
    assertEquals(line, { kind: "run", options: { ...DEFAULTS, ...changed }, command }, words.join(" "));
  }
});

/** Words after `hawser run`, and what the complaint must hold. */
const BAD: [string[], string][] = [
  [[], "missing COMMAND, say what to run"],
  [["--"], "missing COMMAND"],
  [["--mtu", "1500"], "missing COMMAND"],
  [[""], "COMMAND is empty"],
  [["--bogus", "x"], "unknown option --bogus, see hawser run --help"],
  [["--mut", "1500", "x"], "unknown option --mut, did you mean --mtu?"],
  [["--isolated", "x"], "unknown option --isolated, did you mean --isolate?"],
  [["--isolate=all", "x"], "--isolate takes no value, leave out =all"],
  [["--no-ofload", "x"], "unknown option --no-ofload, did you mean --no-offload?"],
  [["--sub=10.0.2.0/24", "x"], "unknown option --sub, did you mean --subnet?"],
  [["--tcp-ports", "80x", "x"], 'bad --tcp-ports 80x: "80x" is no port, write 8080, 8080:80 or 8000-8009:9000-9009'],
  [["-t", "localhost/80", "x"], "bad --tcp-ports localhost/80: localhost before the slash is no IP address"],
  [["-t", "80", "-t", "0.0.0.0/80:81", "x"], "cannot forward ports: tcp 0.0.0.0:80 -> 81 overlaps tcp"],
  [
    ["-u", "80:10.0.3.4/80", "x"],
    "cannot forward udp 127.0.0.1:80 -> 10.0.3.4:80: 10.0.3.4 is no address of a guest, which is one of 10.0.2.0/24 other",
  ],
  [["--dns-address", "dns", "x"], "bad --dns-address dns: it is an address, such as 169.254.1.1"],
  [["-4", "--dns-address", "fd00::53", "x"], "bad --dns-address fd00::53: guests have no IPv6"],
  [
    ["--no-host", "--host-address", "169.254.1.2", "x"],
    "bad --host-address 169.254.1.2: it leads to the host, which --no",
  ],
  [
    ["--host-address", "10.0.2.8", "--host-address", "10.0.2.9", "x"],
    "bad --host-address 10.0.2.9: it is the second one",
  ],
  [["--udp-ports", "http", "x"], 'bad --udp-ports http: "http" is no port'],
  [["-u"], "-u needs a value"],
  [["--tcp-port", "80", "x"], "unknown option --tcp-port, did you mean --tcp-ports?"],
  [["-mD", "80", "x"], "bad --mtu D"],
  [["-hx", "x"], "unknown option -hx"],
  [["--constructor", "x"], "unknown option --constructor"],
  [["--__proto__=1", "x"], "unknown option --__proto__"],
  [["--offload", "x"], "unknown option --offload, did you mean --no-offload?"],
  [["--mtu"], "--mtu needs a value"],
  [["--mtu="], "--mtu needs a value"],
  [["-m"], "-m needs a value"],
  [["--mtu", "", "x"], "--mtu needs a value"],
  [["--mtu", "--", "x"], "--mtu needs a value"],
  [["--mtu", "--dns", "none", "x"], "--mtu needs a value"],
  [["--no-offload=yes", "x"], "--no-offload takes no value, leave out =yes"],
  [["--mtu", "575", "x"], "bad --mtu 575: it is a whole number from 576 to 65520"],
  [["--mtu", "65521", "x"], "from 576 to 65520"],
  [["--mtu", "1e3", "x"], "bad --mtu 1e3"],
  [["--mtu", "1500.5", "x"], "bad --mtu"],
  [["--mtu", "0x600", "x"], "bad --mtu"],
  [["--mtu=-1", "x"], "bad --mtu -1"],
  [["--subnet", "10.0.2.0", "x"], "bad --subnet 10.0.2.0: it is an IPv4 network, such as 10.0.2.0/24"],
  [["--subnet", "10.0.2.0/33", "x"], "it is an IPv4 network"],
  [["--subnet", "10.0.2.0/", "x"], "it is an IPv4 network"],
  [["--subnet", "10.0.2/24", "x"], "it is an IPv4 network"],
  [["--subnet", "fd00::/64", "x"], "it is an IPv4 network"],
  [["--subnet", "10.0.2.0/28", "x"], "it is too small, at least a /27 is needed"],
  [["--subnet", "0.0.0.0/0", "x"], "it is too large, at most a /8 will do"],
  [["--subnet", "10.0.2.5/24", "x"], "it names an address in a network, write 10.0.2.0/24"],
  [["--subnet", "127.0.0.0/8", "x"], "it shares "],
  [["--subnet", "224.0.0.0/24", "x"], "it shares "],
  [["--subnet", "fd00::/64", "--subnet6", "fd00::/64", "x"], "bad --subnet fd00::/64: it is an IPv4 network"],
  [["--subnet6", "fd00::", "x"], "bad --subnet6 fd00::: it is an IPv6 network of 64 bits, such as fd00::/64"],
  [["--subnet6", "10.0.2.0/24", "x"], "it is an IPv6 network of 64 bits"],
  [["--subnet6", "fd00::/48", "x"], "bad --subnet6 fd00::/48: its prefix is /64, such as fd00::/64"],
  [["--subnet6", "fd00::/65", "x"], "its prefix is /64"],
  [["--subnet6", "fd00::/129", "x"], "it is an IPv6 network of 64 bits"],
  [["--subnet6", "::1/64", "x"], "bad --subnet6 ::1/64: it shares ::1/128 (loopback), take one such as fd00::/64"],
  [["--subnet6", "fd00::15/64", "x"], "it names an address in a network, write fd00::/64"],
  [["--subnet6", "fe80::/64", "x"], "bad --subnet6 fe80::/64: it shares fe80::/10"],
  [["--subnet6", "ff02::/64", "x"], "it shares ff00::/8"],
  [["--subnet6", "::/64", "x"], "it shares "],
  [["-4", "-6", "x"], "--ipv4-only and --ipv6-only leave nothing, give one of them"],
  [["-4", "--subnet6", "fd11::/64", "x"], "bad --subnet6 fd11::/64: --ipv4-only leaves IPv6 out"],
  [["-m", "1000", "--subnet6", "fd11::/64", "x"], "bad --subnet6 fd11::/64: --mtu 1000 leaves IPv6 out"],
  [["-6", "--subnet", "10.9.0.0/24", "x"], "bad --subnet 10.9.0.0/24: --ipv6-only leaves IPv4 out"],
  [["-6", "-m", "1279", "x"], "bad --mtu 1279: --ipv6-only needs 1280 at least"],
  [["--nat64", "-m", "576", "x"], "bad --mtu 576: --nat64 needs 1280 at least"],
  [["-4", "--nat64", "x"], "bad --nat64 with -4: it gives IPv4 to guests by way of IPv6"],
  [["-46", "x"], "unknown option -46"],
  [["-t", "80:[fd00::20/80", "x"], 'bad --tcp-ports 80:[fd00::20/80: "[fd00::20" is no address of a guest'],
  [["-t", "[::1/80", "x"], "[::1 before the slash is no IP address"],
  [
    ["-t", "80:[fd11::5]/80", "x"],
    "fd11::5 is no address of a guest, which is one of fd00::/64 other than fd00::2, fd00::3",
  ],
  [["-4", "-t", "80:[fd00::5]/80", "x"], "fd00::5 is no address of a guest, which has no IPv6"],
  [
    ["--allow", "[2001:db8::/32:80", "x"],
    "bad --allow [2001:db8::/32:80: with ports IPv6 is in brackets, write [2001:db8::/32]:80",
  ],
  [["--allow", "2001:db8::/32]:80", "x"], "write [2001:db8::/32]:80"],
  [["--dns", "[2001:db8::53", "x"], "bad --dns [2001:db8::53: it is ADDR"],
  [["--dns", "2001:db8::53]:53", "x"], "it is ADDR"],
  [["--map", "[fd00::9]=::1", "x"], "it is GUESTADDR=HOSTADDR"],
  [["--map", "fd00::3=::1", "x"], "fd00::3 is the DNS server's address"],
  [["--audit", "-", "x"], "bad --audit -: standard output is the command's, name a file or fd:N"],
  [["--audit", "fd:2", "x"], "bad --audit fd:2: it is a whole number from 3 to 65535"],
  [["--audit", "fd:", "x"], "bad --audit fd:: it is a whole number from 3 to 65535"],
  [["--learn", "-", "x"], "bad --learn -: rules are written to a file at the end, name one"],
  [["--audit", "a", "--learn", "a", "x"], "bad --learn a: it is the file of --audit, name another one"],
  [["--pcap", "-", "x"], "bad --pcap -: standard output is the command's, name a file"],
  [["--impair", "slow", "x"], "bad --impair slow: it is a list of loss, delay, "],
  [["--impair", "loss=2", "x"], "bad --impair loss=2: loss is a percentage from 0% to 100%, such as 1%"],
  [["--trace=1", "x"], "--trace takes no value, leave out =1"],
  [["--dns", "localhost", "x"], "bad --dns localhost: it is ADDR, ADDR:PORT or none"],
  [["--dns", "127.0.0.1:", "x"], "its port is a whole number from 1 to 65535"],
  [["--dns", "127.0.0.1:0", "x"], "its port is a whole number from 1 to 65535"],
  [["--dns", "127.0.0.1:65536", "x"], "its port"],
  [["--dns", "[127.0.0.1]:53", "x"], "it is ADDR"],
  [["--dns", "[::1]x", "x"], "it is ADDR"],
  [["--dns", "1.2.3", "x"], "it is ADDR"],
  [["--map", "10.0.2.100", "x"], "it is GUESTADDR=HOSTADDR"],
  [["--map", "10.0.2.100=", "x"], "it is GUESTADDR=HOSTADDR"],
  [["--map", "a=b", "x"], "it is GUESTADDR=HOSTADDR"],
  [["--map", "10.0.2.100=127.0.0.1=1", "x"], "it is GUESTADDR=HOSTADDR"],
  [["--map", "10.0.2.15=127.0.0.1", "x"], "10.0.2.15 is the guest's own address"],
  [["--map", "10.9.0.15=127.0.0.1", "--subnet", "10.9.0.0/24", "x"], "the guest's own address"],
  [["--map", "10.0.2.3=127.0.0.1", "x"], "10.0.2.3 is the DNS server's address"],
  [
    ["--no-host", "--map", "10.0.2.9=127.0.0.9", "x"],
    "bad --map 10.0.2.9=127.0.0.9: it leads to the host, which --no-host forbids",
  ],
  [["--map", "10.0.2.9=127.0.0.1", "--map", "10.0.2.9=127.0.0.2", "x"], "10.0.2.9 is mapped already"],
  [["--max-flows", "0", "x"], "bad --max-flows 0"],
  [["--max-flows", "9999999", "x"], "from 1 to 1000000"],
  [["--names", "loose", "x"], "bad --names loose: it is verify or strict"],
  [["--names-ttl", "0", "x"], "bad --names-ttl 0: it is a whole number of seconds from 1 to 604800"],
  [["--names-ttl", "1h", "x"], "bad --names-ttl 1h"],
  [["--max-new-flows", "0", "x"], "bad --max-new-flows 0: it is a whole number from 1"],
  [["--allow", "none", "x"], "bad --allow none: none is for deny"],
  [["--allow", "example.com:http", "x"], "bad --allow example.com:http: its ports are numbers"],
  [["--deny", "10.0.0.0/8:0", "x"], "bad --deny 10.0.0.0/8:0: its ports are from 1 to 65535"],
  [["--deny", "10.0.0.5/8", "x"], "bad --deny 10.0.0.5/8: it names an address in a network, write 10.0.0.0/8"],
  [
    ["--deny", "2001:db8::/32:80", "x"],
    "bad --deny 2001:db8::/32:80: with ports IPv6 is in brackets, write [2001:db8::/32]:80",
  ],
  [["--host", "linux", "x"], "bad --host linux: it is ffi or deno"],
  [["--log-level", "trace", "x"], "bad --log-level trace: it is debug, info, warn or error"],
];

Deno.test("parseCommandLine of run says in one line what is wrong and what would be right", () => {
  for (const [words, part] of BAD) {
    const error = assertThrows(() => parseCommandLine(["run", ...words]), UsageError, undefined, words.join(" "));
    assertStringIncludes(error.message, part, words.join(" "));
    assertEquals(error.program, "hawser run");
    assertMatch(error.message, /^[^\n]{10,200}$/);
  }
});

Deno.test("parseCommandLine answers help and version before anything else is needed", () => {
  const help = (args: string[]) => {
    const line = parseCommandLine(args);
    return line.kind === "text" ? line.text : line.kind;
  };
  assertStringIncludes(help(["--help"]), "hawser run [options]");
  assertStringIncludes(help(["-h"]), "hawser run [options]");
  assertStringIncludes(help(["run", "--help"]), "--max-flows N");
  assertStringIncludes(help(["run", "-m", "1500", "-h", "--", "x"]), "--max-flows N");
  assertStringIncludes(help(["forward", "--help"]), "hawser forward [options] LISTEN TARGET");
  assertStringIncludes(help(["check", "--help"]), "--rules FILE");
  assertStringIncludes(help(["demo", "--help"]), "in seconds");
  assertMatch(help(["--version"]), /^hawser \d+\.\d+\.\d+ \(Deno /);
});

Deno.test("parseCommandLine of forward reads options, LISTEN and TARGET", () => {
  const defaults: ForwardOptions = { idleTimeoutS: undefined, maxConnections: undefined, logLevel: "warn" };
  const good: [string[], Partial<ForwardOptions>][] = [
    [[], {}],
    [["--"], {}],
    [["--idle-timeout", "60", "--max-connections=5", "--log-level", "info"], {
      idleTimeoutS: 60,
      maxConnections: 5,
      logLevel: "info",
    }],
  ];
  for (const [words, changed] of good) {
    assertEquals(parseCommandLine(["forward", ...words, "[::1]:0", "unix:/run/app.sock"]), {
      kind: "forward",
      options: { ...defaults, ...changed },
      listen: { transport: "tcp", hostname: "::1", port: 0 },
      target: { transport: "unix", path: "/run/app.sock" },
    });
  }
});

Deno.test("parseCommandLine of forward says in one line what is wrong and what would be right", () => {
  const bad: [string[], string][] = [
    [[], "missing LISTEN and TARGET, say hawser forward [options] LISTEN TARGET"],
    [["a:1"], "missing TARGET"],
    [["a:1", "b:2", "c:3"], "unexpected c:3, there is one LISTEN and one TARGET"],
    [["a:1", "b:2", "--idle-timeout", "5"], "unexpected --idle-timeout, options go before LISTEN"],
    [["8080", "b:2"], "bad LISTEN 8080: it is HOST:PORT, [V6]:PORT or unix:PATH"],
    [["a:1", "b"], "bad TARGET b: it is HOST:PORT"],
    [["a:1", "b:0"], "bad TARGET b:0: its port is from 1 to 65535"],
    [["a:1", "unix:"], "bad TARGET unix:: it is HOST:PORT"],
    [["a:1", "a:1"], "LISTEN and TARGET are both a:1, it would lead to itself"],
    [["--idle-timeout", "0", "a:1", "b:2"], "bad --idle-timeout 0: it is a whole number from 1"],
    [["--idle-timeout", "5s", "a:1", "b:2"], "bad --idle-timeout 5s"],
    [["--max-connections", "0", "a:1", "b:2"], "bad --max-connections 0"],
    [["--mtu", "1500", "a:1", "b:2"], "unknown option --mtu, see hawser forward --help"],
    [["--idle", "5", "a:1", "b:2"], "unknown option --idle, did you mean --idle-timeout?"],
  ];
  for (const [words, part] of bad) {
    const error = assertThrows(() => parseCommandLine(["forward", ...words]), UsageError, undefined, words.join(" "));
    assertStringIncludes(error.message, part, words.join(" "));
    assertEquals(error.program, "hawser forward");
    assertMatch(error.message, /^[^\n]{10,160}$/);
  }
});

Deno.test("the help of a command names exactly the options that there are", () => {
  const help = (command: string) => {
    const line = parseCommandLine([command, "--help"]);
    return line.kind === "text" ? line.text : "";
  };
  for (const [command, rows] of [["run", RUN_ROWS], ["forward", FORWARD_ROWS]] as const) {
    const named = [...help(command).matchAll(/^ {2}(?:-\w,| {3}) --([\w-]+)/gm)].map((match) => match[1]!);
    assertEquals(named, Object.keys(rows));
  }
  const text = help("run");
  assertMatch(text, /^ {2}-m, --mtu N +MTU of eth0, 576 to 65520; below 1280 IPv4 alone \[65520\]$/m);
  assertMatch(text, /^ {6}--log-level LEVEL +debug, info, warn or error \[warn\]$/m);
});

Deno.test("parseCommandLine refuses commands and options that there are not", () => {
  const complaint = (args: string[]) => {
    const error = assertThrows(() => parseCommandLine(args), UsageError);
    return `${error.program}: ${error.message}`;
  };
  assertEquals(complaint([]), "hawser: missing command, say run, serve, forward, check, demo or --help");
  assertEquals(complaint(["rnu"]), "hawser: unknown command rnu, did you mean run?");
  assertEquals(complaint(["server"]), "hawser: unknown command server, did you mean serve?");
  assertEquals(complaint(["foward", "a", "b"]), "hawser: unknown command foward, did you mean forward?");
  assertEquals(complaint(["--hepl"]), "hawser: unknown option --hepl, did you mean --help?");
  assertEquals(complaint(["-V"]), "hawser: unknown option -V, see hawser --help");
  assertEquals(complaint(["demo", "x"]), "hawser demo: unexpected x, it takes no options and no arguments");
});

Deno.test("what is given is what the library is told, and what is left out the library knows", () => {
  const line = parseCommandLine(["run", "--max-flows", "5", "--subnet", "10.9.0.0/24", "--no-host", "x"]);
  if (line.kind !== "run") throw new Error(line.kind);
  const { host: _, logger: __, ...told } = gatewayOptions(line.options, {} as HostNetwork);
  assertEquals(told, { ...GATEWAY, maxFlows: 5, subnet: "10.9.0.0/24", hostAddresses: false });
  assertEquals(structuredClone(line.options), line.options);
  assertEquals(`${gatewayRules(line.options.gateway).ipv4!.guest}`, "10.9.0.15");
});
