/**
 * The command line: from words to what is to be done.
 *
 * Each command has a table of options (`option_table.ts`); those that concern its gateway are shared (`gateway_settings.ts`).
 *
 * @module
 */
import { GATEWAY_ROWS, type GatewaySettings, gatewaySettings } from "./gateway_settings.ts";
import { helpText, versionText } from "./help.ts";
import { HELP_ROW, readOptions } from "./option_table.ts";
import { parseServe, SERVE_ROWS, type ServeOptions } from "./serve_options.ts";
import { nearestWord, UsageError } from "./usage_error.ts";
import { readMtu } from "./values.ts";

/** What `hawser run` was told. */
export interface RunOptions extends GatewaySettings {
  /** The link's MTU in bytes. */
  readonly mtu: number;
  /** Whether the TAP leaves segmentation and checksums to the other side. */
  readonly offload: boolean;
}

/** What a command line asks for. */
export type CommandLine =
  | { readonly kind: "run"; readonly options: RunOptions; readonly command: readonly string[] }
  | { readonly kind: "serve"; readonly options: ServeOptions }
  | { readonly kind: "demo" }
  | { readonly kind: "text"; readonly text: string };

/** The options of `run`. */
export const RUN_ROWS = {
  "mtu": { letter: "m", metavar: "N", help: "MTU of eth0, 576 to 65520", shown: "65520", read: readMtu },
  "no-offload": { help: "plain frames: no segmentation, no checksum offload" },
  ...GATEWAY_ROWS,
  "log-level": { ...GATEWAY_ROWS["log-level"], shown: "warn" },
  ...HELP_ROW,
} as const;

const COMMANDS = ["run", "serve", "demo"];

/** Reads the words after `hawser`. Throws a `UsageError`. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const [word, ...rest] = args;
  switch (word) {
    case undefined:
      throw new UsageError("hawser", "missing command, say run, serve, demo or --help");
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
    case "demo":
      return parseDemo(rest);
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

function parseRun(args: readonly string[]): CommandLine {
  const program = "hawser run", { values, rest: command } = readOptions(program, RUN_ROWS, args);
  if (values.help) return { kind: "text", text: helpText("run", RUN_ROWS) };
  const options: RunOptions = {
    ...gatewaySettings(program, values, { logLevel: "warn" }),
    mtu: values.mtu ?? 65520,
    offload: !values["no-offload"],
  };
  if (command.length === 0) {
    throw new UsageError(program, "missing COMMAND, say what to run: hawser run [options] [--] COMMAND [ARG…]");
  }
  if (command[0] === "") throw new UsageError(program, "COMMAND is empty, it is a program's name or path");
  return { kind: "run", options, command };
}
