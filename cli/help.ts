/**
 * What `--help` and `--version` print.
 *
 * @module
 */
import { optionHelp, type OptionTable } from "./option_table.ts";
import { VERSION } from "./version.ts";

const HAWSER = `Hawser: user-mode networking. Gives a command, a sandbox or a virtual machine a network, without root.

Usage:
  hawser run [options] [--] COMMAND [ARG…]   run COMMAND in a fresh network namespace behind a gateway (Linux; root or not)
  hawser serve [options] --listen LINK       serve guests on a link until interrupted
  hawser forward [options] LISTEN TARGET     host only: a forwarder with true half-close, no guest
  hawser slirp4netns [options] PID|PATH TAP  in place of slirp4netns, for podman, Docker rootless and others
  hawser pasta [options] [PID|COMMAND…]      in place of pasta, for podman, buildah, rootlesskit and others
  hawser check [options] TARGET…             what rules say of a name, an address or an audit, asking nobody
  hawser demo                                show it working, on any machine, in seconds
  hawser --help | --version | COMMAND --help

Exit codes: run returns the command's own, 128+n if signal n ended it, 126/127 if it cannot be executed or found, 125 if
Hawser failed; 2 is a usage error.
`;

const RUN = `Runs COMMAND in a fresh network namespace whose only way out is Hawser. Linux; root or not.

Usage:
  hawser run [options] [--] COMMAND [ARG…]

Options end at -- or at the first word that is none:
OPTIONS

10.0.2.2 and fd00::2 are the host's loopback. COMMAND keeps the terminal, the process group, stdin, stdout and stderr. TERM,
HUP, USR2 and CONT are passed on to it; PWR prints the open flows to stderr. What it leaves running in the namespace is ended with it.

Exit codes: COMMAND's own, 128+n if signal n ended it, 126/127 if it cannot be executed or found, 125 if Hawser failed, 2
for a usage error.
`;

const SERVE = `Serves guests that come from outside: virtual machines, browsers, prepared namespaces.

Usage:
  hawser serve [options] --listen LINK

Options:
OPTIONS

LINK:
  unix:PATH[,offload]       QEMU's -netdev stream: a 32-bit big-endian length before each frame; offload: guests leave
                            checksums and segmentation to Hawser, as libkrun's do (krunkit, muvm)
  tcp:HOST:PORT             the same over TCP; port 0 takes a free one
  unixgram:PATH[,offload]   QEMU's -netdev dgram, vfkit: a frame a datagram; krunkit's offload is noticed
  unixpacket:PATH           User Mode Linux's bess: a frame a packet (Linux)
  ws:HOST:PORT              WebSocket: a frame a message, as v86, or QEMU's framing inside, as container2wasm
  tap:NAME[@NETNS]          a TAP interface; NETNS is a name of "ip netns", a path, or pid:N (Linux)

A line "listening on LINK", with the real port, says when it is ready. Every guest has an Ethernet link of its own with the same
addresses, and never sees another. INT, TERM and HUP end it with exit code 0; PWR prints the open flows to stderr.

Exit codes: 0 when it was told to end, 125 if it cannot begin or go on (as when its last TAP is gone, and there is no other link), 2 for a usage error.
`;

const FORWARD =
  `Forwards every connection to LISTEN to TARGET, on the host alone. Each direction ends by itself: when one side has
finished, the other goes on.

Usage:
  hawser forward [options] LISTEN TARGET

LISTEN and TARGET are HOST:PORT, [V6]:PORT or unix:PATH; port 0 of LISTEN takes a free one. Options go before them:
OPTIONS

When it is ready it prints "listening on LISTEN" to stderr, with the real port. A target that cannot be reached closes the client. A
socket file that nobody listens on is replaced; no other file is. INT or TERM ends it: it accepts no more, gives
connections 5 seconds, and cuts them at a second signal.

Exit codes: 0 once it was told to end, 125 if it cannot listen, 2 for a usage error.
`;

const CHECK = `Says whether rules allow a target, and by which rule. It asks no DNS and connects to nothing.

Usage:
  hawser check [options] TARGET…
  hawser check [options] --audit LOG

TARGET is NAME[:PORT], ADDRESS[:PORT] or [V6]:PORT, with udp:, icmp: or dns: in front of it if it is not TCP; without a
port it is allowed if any port is. Options go before it:
OPTIONS

A name is weighed by rules about names, an address by rules about addresses: what a name leads to, and what maps and the
gateway's address stand for, is not known here. A line each says what decides and where that rule stands.

With --audit LOG it says what the rules would decide otherwise than LOG has recorded.

Exit codes: 0 if all targets are allowed or nothing would be otherwise, 1 if not, 2 for a usage error, rules and records that
cannot be read included.
`;

const DEMO = `Shows Hawser working: a conversation through the gateway, in seconds, checked byte by byte.

Usage:
  hawser demo

On Linux with /dev/net/tun, real clients in a network namespace; elsewhere the same over a link in memory. Exit code 0
only if every byte arrived.
`;

/** The help of `hawser` itself or of one command, whose options are those of `table`. */
export function helpText(
  topic: "hawser" | "run" | "serve" | "forward" | "check" | "demo",
  table: OptionTable = {},
): string {
  return { hawser: HAWSER, run: RUN, serve: SERVE, forward: FORWARD, check: CHECK, demo: DEMO }[topic].replace(
    "OPTIONS",
    () => optionHelp(table),
  );
}

/** `hawser 0.1.0`, and what it runs on. */
export function versionText(): string {
  return `hawser ${VERSION} (Deno ${Deno.version.deno}, ${Deno.build.target})\n`;
}
