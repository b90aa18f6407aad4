import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { type LinkSpec, readLink } from "../../cli/link_spec.ts";
import { parseCommandLine } from "../../cli/options.ts";
import { SERVE_ROWS, type ServeOptions } from "../../cli/serve_options.ts";
import { UsageError } from "../../cli/usage_error.ts";

const UNIX: LinkSpec = { kind: "unix", path: "/tmp/vm.sock" };
const LISTEN = ["--listen", "unix:/tmp/vm.sock"];

function optionsOf(...words: string[]): ServeOptions {
  const line = parseCommandLine(["serve", ...words]);
  if (line.kind !== "serve") throw new Error(`${words} is a ${line.kind}`);
  return line.options;
}

Deno.test("parseCommandLine of serve reads each option, and knows the defaults", () => {
  const { links, mtu, offload, logLevel, readyFd, exitFd, wsToken, wsOrigins, gateway } = optionsOf(
    ...LISTEN,
  );
  assertEquals(links, [UNIX]);
  assertEquals({ mtu, offload, logLevel, readyFd, exitFd, wsToken, wsOrigins, shared: gateway.shared }, {
    mtu: undefined,
    offload: true,
    logLevel: "info",
    readyFd: undefined,
    exitFd: undefined,
    wsToken: undefined,
    wsOrigins: [],
    shared: true,
  });
  const all: [string[], Partial<ServeOptions>][] = [
    [["--listen=tcp:127.0.0.1:0"], { links: [UNIX, { kind: "tcp", hostname: "127.0.0.1", port: 0 }] }],
    [["-m", "9000"], { mtu: 9000 }],
    [["--no-offload"], { offload: false }],
    [["--ready-fd", "3", "--exit-fd=4"], { readyFd: 3, exitFd: 4 }],
    [["--ws-token", "s3cret"], { wsToken: "s3cret" }],
    [["--ws-origin", "https://vm.example", "--ws-origin=null"], { wsOrigins: ["https://vm.example", "null"] }],
    [["--no-host-loopback", "--log-level", "debug", "--subnet", "10.9.0.0/24", "-D", "none"], {
      logLevel: "debug",
      gateway: { ...optionsOf(...LISTEN).gateway, hostLoopback: false, subnet: "10.9.0.0/24", dns: "none" },
    }],
  ];
  for (const [words, changed] of all) {
    assertEquals(optionsOf(...LISTEN, ...words), { ...optionsOf(...LISTEN), ...changed }, words.join(" "));
  }
});

Deno.test("parseCommandLine of serve says in one line what is wrong and what would be right", () => {
  const bad: [string[], string][] = [
    [[], "missing --listen LINK, say where guests come, such as --listen unix:/tmp/vm.sock"],
    [["--mtu", "1500"], "missing --listen LINK"],
    [["unix:/tmp/vm.sock"], "unexpected unix:/tmp/vm.sock, it takes options alone: --listen LINK"],
    [[...LISTEN, "--", "x"], "unexpected x"],
    [["--listen"], "--listen needs a value"],
    [["--lisen", "unix:/x"], "unknown option --lisen, did you mean --listen?"],
    [["--listen", "/tmp/vm.sock"], "bad --listen /tmp/vm.sock: it is unix:PATH, tcp:HOST:PORT, unixgram:PATH"],
    [[...LISTEN, "--ready-fd", "x"], "bad --ready-fd x: it is a whole number from 0 to 65535"],
    [[...LISTEN, "--ready-fd", "3", "--exit-fd", "3"], "it is that of --ready-fd, give two"],
    [[...LISTEN, "--ws-origin", "vm.example"], "it is an origin as browsers send it"],
    [[...LISTEN, "--ws-origin", "https://vm.example/"], "it is an origin as browsers send it"],
    [[...LISTEN, "--map", "10.0.2.15=127.0.0.1"], "10.0.2.15 is the guest's own address"],
  ];
  for (const [words, part] of bad) {
    const error = assertThrows(() => parseCommandLine(["serve", ...words]), UsageError, undefined, words.join(" "));
    assertStringIncludes(error.message, part, words.join(" "));
    assertEquals(error.program, "hawser serve");
    assertMatch(error.message, /^[^\n]{10,200}$/);
  }
});

Deno.test("the help of serve names exactly the options that there are", () => {
  const line = parseCommandLine(["serve", "--help"]);
  const text = line.kind === "text" ? line.text : "";
  const named = [...text.matchAll(/^ {2}(?:-\w,| {3}) --([\w-]+)/gm)].map((match) => match[1]!);
  assertEquals(named, Object.keys(SERVE_ROWS));
  assertMatch(text, /^ {6}--log-level LEVEL +debug, info, warn or error \[info\]$/m);
});

Deno.test("readLink reads every kind of link", () => {
  const good: [string, LinkSpec][] = [
    ["unix:/tmp/vm.sock", UNIX],
    ["unix:vm.sock", { kind: "unix", path: "vm.sock" }],
    ["unix:/tmp/a:b", { kind: "unix", path: "/tmp/a:b" }],
    ["unixgram:/tmp/d", { kind: "unixgram", path: "/tmp/d" }],
    ["unix:/tmp/d,offload", { kind: "unix", path: "/tmp/d", offload: true }],
    ["unixpacket:/tmp/p,offload", { kind: "unixpacket", path: "/tmp/p,offload" }],
    ["unixgram:d,offload", { kind: "unixgram", path: "d", offload: true }],
    ["unix:/tmp/a,b", { kind: "unix", path: "/tmp/a,b" }],
    ["tcp:127.0.0.1:5000", { kind: "tcp", hostname: "127.0.0.1", port: 5000 }],
    ["tcp:localhost:0", { kind: "tcp", hostname: "127.0.0.1", port: 0 }],
    ["tcp:[::1]:65535", { kind: "tcp", hostname: "::1", port: 65535 }],
    ["ws:0.0.0.0:80", { kind: "ws", hostname: "0.0.0.0", port: 80 }],
    ["tap:tap0", { kind: "tap", name: "tap0", netns: undefined }],
    ["tap:tap0@blue", { kind: "tap", name: "tap0", netns: { path: "/run/netns/blue" } }],
    ["tap:tap0@/proc/7/ns/net", { kind: "tap", name: "tap0", netns: { path: "/proc/7/ns/net" } }],
    ["tap:eth0@./ns", { kind: "tap", name: "eth0", netns: { path: "./ns" } }],
    ["tap:tap0@pid:4711", { kind: "tap", name: "tap0", netns: { pid: 4711 } }],
  ];
  for (const [text, spec] of good) assertEquals(readLink(text), spec, text);
});

Deno.test("readLink says what would be right", () => {
  const bad: [string, string][] = [
    ["", "it is unix:PATH"],
    ["unix", "it is unix:PATH"],
    ["qemu:/tmp/x", "it is unix:PATH"],
    ["unix:", "a path follows unix:"],
    ["unixgram:", "a path follows unixgram:"],
    ["unix:,offload", "a path follows unix:, such as unix:/tmp/vm.sock or unix:/tmp/vm.sock,offload"],
    ["tcp:127.0.0.1:5000,offload", "an address and a port follow tcp:"],
    ["tcp:5000", "an address and a port follow tcp:"],
    ["tcp::5000", "an address and a port follow tcp:"],
    ["tcp:example.com:80", "an address and a port follow tcp:"],
    ["tcp:::1:80", "an address and a port follow tcp:"],
    ["tcp:127.0.0.1:65536", "a whole number from 0 to 65535"],
    ["ws:127.0.0.1:", "an address and a port follow ws:"],
    ["tap:", "an interface's name of 1 to 15 letters"],
    ["tap:a/b", "an interface's name"],
    ["tap:0123456789abcdef", "an interface's name"],
    ["tap:tap%d", "an interface's name"],
    ["tap:tap0@", "a namespace's name, its path or pid:N"],
    ["tap:tap0@..", "a namespace's name, its path or pid:N"],
    ["tap:tap0@pid:", "a process's number"],
    ["tap:tap0@pid:0", "a process's number"],
    ["tap:tap0@pid:self", "a process's number"],
  ];
  for (const [text, part] of bad) assertStringIncludes(assertThrows(() => readLink(text), Error).message, part, text);
});
