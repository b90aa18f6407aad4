/**
 * The command line of `hawser serve`.
 *
 * @module
 */
import { parseOutbound } from "../host/outbound.ts";
import { SERVE_AUDIT_ROW } from "./audit_settings.ts";
import { GATEWAY_ROWS, type GatewaySettings, gatewaySettings, wantsDoor } from "./gateway_settings.ts";
import { type LinkSpec, readLink } from "./link_spec.ts";
import { LINK_ROWS, type LinkSettings, linkSettings } from "./link_settings.ts";
import { HELP_ROW, readOptions } from "./option_table.ts";
import { UsageError } from "./usage_error.ts";
import { checkedBy, readInteger, readMtu } from "./values.ts";

/** What `hawser serve` was told. */
export interface ServeOptions extends GatewaySettings, LinkSettings {
  /** Where guests are waited for, at least one. */
  readonly links: readonly LinkSpec[];
  /** The links' MTU in bytes; `undefined`: 65520 on a TAP, 1500 elsewhere. */
  readonly mtu: number | undefined;
  /** Whether a TAP leaves segmentation and checksums to the other side. */
  readonly offload: boolean;
  /** Whether each TAP gets addresses, routes and MTU in its namespace. */
  readonly configure: boolean;
  /** From where the sockets of flows go out, see `LinuxHostOptions`. */
  readonly outbound: readonly string[];
  /** The file to which the number of this process is written. */
  readonly pidFile: string | undefined;
  /** A descriptor to which `1` is written when everything is ready. */
  readonly readyFd: number | undefined;
  /** A descriptor whose end is that of Hawser. */
  readonly exitFd: number | undefined;
  /** What a WebSocket client must know. */
  readonly wsToken: string | undefined;
  /** Web origins that may connect besides those on loopback. */
  readonly wsOrigins: readonly string[];
}

/** The options of `serve`. */
export const SERVE_ROWS = {
  "listen": {
    metavar: "LINK",
    help: "where to wait for guests, see below; repeatable",
    repeatable: true,
    read: readLink,
  },
  "mtu": {
    letter: "m",
    metavar: "N",
    help: "MTU of the links, 576 to 65520; below 1280 IPv4 alone",
    shown: "1500, TAP: 65520",
    read: readMtu,
  },
  "no-offload": { help: "plain frames on a TAP and for libkrun: no segmentation, no checksum offload" },
  "configure": { help: "set addresses, routes and MTU of each TAP, and its namespace's lo up" },
  ...GATEWAY_ROWS,
  ...LINK_ROWS,
  "outbound-addr": {
    metavar: "ADDR|IFACE",
    help: "the host address from which flows go out; once for each family",
    repeatable: true,
    read: checkedBy(parseOutbound),
  },
  "audit": SERVE_AUDIT_ROW,
  "pcap": { metavar: "FILE|-", help: "write a capture of all links; -: to stdout", read: (text: string) => text },
  "ws-token": {
    metavar: "TOKEN",
    help: "what a WebSocket client must send: ?token=TOKEN",
    read: (text: string) => text,
  },
  "ws-origin": {
    metavar: "ORIGIN",
    help: "a web origin that may connect, besides those on loopback; repeatable",
    repeatable: true,
    read: readOrigin,
  },
  "pid": { metavar: "FILE", help: "write the number of this process there when ready", read: (text: string) => text },
  "ready-fd": { metavar: "N", help: "write 1 to this descriptor when ready, and close it", read: readDescriptor },
  "exit-fd": { metavar: "N", help: "end when this descriptor is closed at its other end", read: readDescriptor },
  "log-level": { ...GATEWAY_ROWS["log-level"], shown: "info" },
  ...HELP_ROW,
} as const;

/** Reads the words after `hawser serve`; `undefined`: help is asked for. Throws a `UsageError`. */
export function parseServe(args: readonly string[]): ServeOptions | undefined {
  const program = "hawser serve", { values, rest } = readOptions(program, SERVE_ROWS, args);
  if (values.help) return undefined;
  const [word] = rest;
  if (word !== undefined) throw new UsageError(program, `unexpected ${word}, it takes options alone: --listen LINK`);
  const links = values.listen;
  if (links.length === 0) {
    throw new UsageError(program, "missing --listen LINK, say where guests come, such as --listen unix:/tmp/vm.sock");
  }
  if (values["ready-fd"] !== undefined && values["ready-fd"] === values["exit-fd"]) {
    throw new UsageError(program, "bad --exit-fd: it is that of --ready-fd, give two");
  }
  const settings = gatewaySettings(program, values, {
    logLevel: "info",
    shared: true,
    mtu: values.mtu,
    readAudit: SERVE_AUDIT_ROW.read,
  });
  if (values["outbound-addr"].length > 0 && settings.host !== "ffi") {
    throw new UsageError(program, "--outbound-addr needs the sockets of --host ffi, Deno's choose for themselves");
  }
  if (values.configure && !links.some((link) => link.kind === "tap" && link.netns !== undefined)) {
    throw new UsageError(program, "--configure is for a TAP in a namespace, such as --listen tap:tap0@blue");
  }
  const [link] = links, isOneNamespace = links.length === 1 && link!.kind === "tap" && link!.netns !== undefined;
  if (wantsDoor(settings) && !isOneNamespace) {
    const wants = settings.autoPorts.length > 0
      ? '"auto" follows'
      : settings.outward !== undefined
      ? "-T and -U lead out of"
      : "--host-lo-to-ns-lo leads into";
    throw new UsageError(
      program,
      `${wants} one namespace, such as that of --listen tap:tap0@blue and no other link`,
    );
  }
  return {
    ...settings,
    ...linkSettings(values),
    links,
    mtu: values.mtu,
    offload: !values["no-offload"],
    configure: values.configure,
    outbound: values["outbound-addr"],
    pidFile: values.pid,
    readyFd: values["ready-fd"],
    exitFd: values["exit-fd"],
    wsToken: values["ws-token"],
    wsOrigins: values["ws-origin"],
  };
}

function readDescriptor(text: string): number {
  return readInteger(text, 0, 0xffff);
}

function readOrigin(text: string): string {
  if (text === "*" || text === "null") return text;
  if (URL.canParse(text) && new URL(text).origin === text) return text;
  throw new TypeError(
    "it is an origin as browsers send it, such as https://vm.example:8443, null for files, or * for any",
  );
}
