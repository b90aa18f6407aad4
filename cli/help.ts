/**
 * What `--help` and `--version` print.
 *
 * @module
 */
import { VERSION } from "./version.ts";

const HAWSER = `Hawser: user-mode networking. Gives a command, a sandbox or a virtual machine a network, without root.

Usage:
  hawser run [options] [--] COMMAND [ARG…]   run COMMAND in a fresh network namespace behind a gateway (Linux; root or not)
  hawser demo                                show it working, on any machine, in seconds
  hawser --help | --version | COMMAND --help

Exit codes: run returns the command's own, 128+n if signal n ended it, 126/127 if it cannot be executed or found, 125 if
Hawser failed; 2 is a usage error.
`;

const RUN = `Runs COMMAND in a fresh network namespace whose only way out is Hawser. Linux; root or not.

Usage:
  hawser run [options] [--] COMMAND [ARG…]

Options end at -- or at the first word that is none:
      --subnet CIDR               gateway .2, DNS .3, COMMAND .15 (at least a /27)    [10.0.2.0/24]
  -m, --mtu N                     MTU of eth0, 576 to 65520                           [65520]
      --no-offload                plain frames: no segmentation, no checksum offload
  -D, --dns ADDR[:PORT]|none      where .3 sends queries; none: no resolver at all    [the host's]
      --map GUESTADDR=HOSTADDR    an address in the namespace for one of the host; repeatable
      --no-host-loopback          nothing leads to 127.0.0.0/8 unless a --map names it
      --max-flows N               connections at once                                 [4096]
      --host ffi|deno             host sockets: epoll and FFI, or Deno's own          [ffi]
      --log-level LEVEL           debug, info, warn or error                          [warn]
  -h, --help                      this text

10.0.2.2 is the host's 127.0.0.1. COMMAND keeps the terminal, the process group, stdin, stdout and stderr. TERM, HUP, USR2 and
CONT are passed on to it; USR1 prints the open flows to stderr. What it leaves running in the namespace is ended with it.

Exit codes: COMMAND's own, 128+n if signal n ended it, 126/127 if it cannot be executed or found, 125 if Hawser failed, 2
for a usage error.
`;

const DEMO = `Shows Hawser working: a conversation through the gateway, in seconds, checked byte by byte.

Usage:
  hawser demo

On Linux with /dev/net/tun, real clients in a network namespace; elsewhere the same over a link in memory. Exit code 0
only if every byte arrived.
`;

/** The help of `hawser` itself or of one command. */
export function helpText(topic: "hawser" | "run" | "demo"): string {
  return { hawser: HAWSER, run: RUN, demo: DEMO }[topic];
}

/** `hawser 0.1.0`, and what it runs on. */
export function versionText(): string {
  return `hawser ${VERSION} (Deno ${Deno.version.deno}, ${Deno.build.target})\n`;
}
