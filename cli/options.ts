/**
 * The command line: from words to what is to be done.
 *
 * Each command has a table of options (`option_table.ts`); those that concern its gateway are shared
 * (`gateway_settings.ts`).
 *
 * @module
 */
import { parseStreamEndpoint, type StreamEndpoint } from "../forward/stream_endpoint.ts";
import { CHECK_ROWS, type CheckOptions, parseCheck } from "./check_options.ts";
import { GATEWAY_ROWS, type GatewaySettings, gatewaySettings } from "./gateway_settings.ts";
import { helpText, versionText } from "./help.ts";
import { LINK_ROWS, type LinkSettings, linkSettings } from "./link_settings.ts";
import { HELP_ROW, readOptions } from "./option_table.ts";
import { parseServe, SERVE_ROWS, type ServeOptions } from "./serve_options.ts";
import { nearestWord, UsageError } from "./usage_error.ts";
import { type LogLevel, readMaxConnections, readMtu, readSeconds } from "./values.ts";

/** What `hawser run` was told. */
export interface RunOptions extends GatewaySettings, LinkSettings {
  /** The link's MTU in bytes. */
  readonly mtu: number;
  /** Whether the TAP leaves segmentation and checksums to the other side. */
  readonly offload: boolean;
  /**
   * Whether COMMAND has PID and IPC namespaces of its own and reaches no socket and no file of the host's that leads
   * around the rules.
   */
  readonly isolate: boolean;
}

/** What `hawser forward` was told. */
export interface ForwardOptions {
  /** After how many seconds without a byte a connection is cut; never where it was left out. */
  readonly idleTimeoutS: number | undefined;
  /** Clients served at once. */
  readonly maxConnections: number | undefined;
  /** How much is logged. */
  readonly logLevel: LogLevel;
}

/** `hawser forward`: whence, whither and how. */
export interface ForwardLine {
  /** Tells the commands apart. */
  readonly kind: "forward";
  /** The options. */
  readonly options: ForwardOptions;
  /** Where clients connect. */
  readonly listen: StreamEndpoint;
  /** With what they are joined. */
  readonly target: StreamEndpoint;
}

/** What a command line asks for. */
export type CommandLine =
  | ForwardLine
  | { readonly kind: "run"; readonly options: RunOptions; readonly command: readonly string[] }
  | { readonly kind: "serve"; readonly options: ServeOptions }
  | { readonly kind: "check"; readonly options: CheckOptions }
  | { readonly kind: "demo" }
  | { readonly kind: "demo-client"; readonly words: readonly string[] }
  | { readonly kind: "text"; readonly text: string };

/** The options of `run`. */
export const RUN_ROWS = {
  "mtu": {
    letter: "m",
    metavar: "N",
    help: "MTU of eth0, 576 to 65520; below 1280 IPv4 alone",
    shown: "65520",
    read: readMtu,
  },
  "no-offload": { help: "plain frames: no segmentation, no checksum offload" },
  "isolate": { help: "own processes, shared memory and /proc; the host's sockets are covered" },
  ...GATEWAY_ROWS,
  ...LINK_ROWS,
  "log-level": { ...GATEWAY_ROWS["log-level"], shown: "warn" },
  ...HELP_ROW,
} as const;

/** The options of `forward`. */
export const FORWARD_ROWS = {
  "idle-timeout": {
    metavar: "SECONDS",
    help: "cut a connection on which nothing has moved for so long",
    shown: "never",
    read: readSeconds,
  },
  "max-connections": {
    metavar: "N",
    help: "clients served at once; further ones wait",
    shown: "1024",
    read: readMaxConnections,
  },
  "log-level": { ...GATEWAY_ROWS["log-level"], shown: "warn" },
  ...HELP_ROW,
} as const;

const COMMANDS = ["run", "serve", "forward", "check", "demo"];

/** Reads the words after `hawser`. Throws a `UsageError`. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const [word, ...rest] = args;
  switch (word) {
    case undefined:
      throw new UsageError("hawser", "missing command, say run, serve, forward, check, demo or --help");
    case "--help":
    case "-h":
      return { kind: "text", text: helpText("hawser") };
    case "--version":
      return { kind: "text", text: versionText() };
    case "run":
      return parseRun(rest);
    case "serve": {
      const options = parseServe(rest);
      return options ? { kind: "serve", options } : { kind: "text", text: helpText("serve", SERVE_ROWS) };
    }
    case "forward":
      return parseForward(rest);
    case "check": {
      const options = parseCheck(rest);
      return options ? { kind: "check", options } : { kind: "text", text: helpText("check", CHECK_ROWS) };
    }
    case "demo":
      return parseDemo(rest);
    // The demo starts itself once more in its namespace; nobody else says this.
    case "demo-client":
      return { kind: "demo-client", words: rest };
    default: {
      const isOption = word.startsWith("-") && word.length > 1;
      const near = nearestWord(word, isOption ? ["--help", "--version"] : COMMANDS);
      const right = near ? `did you mean ${near}?` : `see hawser --help`;
      throw new UsageError("hawser", `unknown ${isOption ? "option" : "command"} ${word}, ${right}`);
    }
  }
}

function parseDemo(args: readonly string[]): CommandLine {
  const [word] = args;
  if (word === undefined) return { kind: "demo" };
  if (word === "--help" || word === "-h") return { kind: "text", text: helpText("demo") };
  throw new UsageError("hawser demo", `unexpected ${word}, it takes no options and no arguments`);
}

function parseForward(args: readonly string[]): CommandLine {
  const program = "hawser forward", { values, rest } = readOptions(program, FORWARD_ROWS, args);
  if (values.help) return { kind: "text", text: helpText("forward", FORWARD_ROWS) };
  const [listen, target, further] = rest;
  if (listen === undefined || target === undefined) {
    const missing = listen === undefined ? "LISTEN and TARGET" : "TARGET";
    throw new UsageError(program, `missing ${missing}, say hawser forward [options] LISTEN TARGET`);
  }
  if (further !== undefined) {
    const right = further.startsWith("-") ? "options go before LISTEN" : "there is one LISTEN and one TARGET";
    throw new UsageError(program, `unexpected ${further}, ${right}`);
  }
  function read(name: string, text: string, leastPort: 0 | 1): StreamEndpoint {
    try {
      return parseStreamEndpoint(text, leastPort);
    } catch (error) {
      throw new UsageError(program, `bad ${name} ${text}: ${(error as Error).message}`);
    }
  }
  if (listen === target) throw new UsageError(program, `LISTEN and TARGET are both ${listen}, it would lead to itself`);
  return {
    kind: "forward",
    listen: read("LISTEN", listen, 0),
    target: read("TARGET", target, 1),
    options: {
      idleTimeoutS: values["idle-timeout"],
      maxConnections: values["max-connections"],
      logLevel: values["log-level"] ?? "warn",
    },
  };
}

function parseRun(args: readonly string[]): CommandLine {
  const program = "hawser run", { values, rest: command } = readOptions(program, RUN_ROWS, args);
  if (values.help) return { kind: "text", text: helpText("run", RUN_ROWS) };
  const options: RunOptions = {
    ...gatewaySettings(program, values, { logLevel: "warn", shared: false, mtu: values.mtu }),
    ...linkSettings(values),
    mtu: values.mtu ?? 65520,
    offload: !values["no-offload"],
    isolate: values.isolate,
  };
  if (command.length === 0) {
    throw new UsageError(program, "missing COMMAND, say what to run: hawser run [options] [--] COMMAND [ARG…]");
  }
  if (command[0] === "") throw new UsageError(program, "COMMAND is empty, it is a program's name or path");
  return { kind: "run", options, command };
}
