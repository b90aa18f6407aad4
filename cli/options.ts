/**
 * The command line: from words to what is to be done.
 *
 * Options end at `--` or at the first word that is none, so that whatever follows belongs to COMMAND, `--` and options of its own
 * included. Where that is has to be known before anything is parsed; so the words are first brought into the one form
 * `--name=value`, which `parseArgs` then reads without a choice to make (left alone it would take the `true` of
 * `--no-offload true` for a value).
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { Cidr, formatIpv4, IpAddress } from "../net/wire/address.ts";
import { helpText, versionText } from "./help.ts";
import { nearestWord, UsageError } from "./usage_error.ts";
import {
  type HostKind,
  type LogLevel,
  readDns,
  readHostKind,
  readLogLevel,
  readMap,
  readMaxFlows,
  readMtu,
  readSubnet,
} from "./values.ts";

/** What `hawser run` was told. What the user left out is `undefined` where something else knows the default. */
export interface RunOptions {
  /** The guest's network. */
  readonly subnet: string;
  /** The link's MTU in bytes. */
  readonly mtu: number;
  /** Whether the TAP leaves segmentation and checksums to the other side. */
  readonly offload: boolean;
  /** Where DNS queries go: `ADDR[:PORT]`, `none`, or the host's resolver. */
  readonly dns: string | undefined;
  /** Guest-visible addresses for host addresses, `GUESTADDR=HOSTADDR`. */
  readonly maps: readonly string[];
  /** Whether the gateway's address leads to the host's loopback. */
  readonly hostLoopback: boolean;
  /** How many flows there may be at once. */
  readonly maxFlows: number | undefined;
  /** Which host sockets. */
  readonly host: HostKind;
  /** How much is logged. */
  readonly logLevel: LogLevel;
}

/** What a command line asks for. */
export type CommandLine =
  | { readonly kind: "run"; readonly options: RunOptions; readonly command: readonly string[] }
  | { readonly kind: "demo" }
  | { readonly kind: "text"; readonly text: string };

/** The options of `run`, without dashes, and whether they take a value. */
const RUN_OPTIONS: Readonly<Record<string, "flag" | "value" | "values">> = {
  "subnet": "value",
  "mtu": "value",
  "no-offload": "flag",
  "dns": "value",
  "map": "values",
  "no-host-loopback": "flag",
  "max-flows": "value",
  "host": "value",
  "log-level": "value",
  "help": "flag",
};
const RUN_LETTERS: Readonly<Record<string, string>> = { m: "mtu", D: "dns", h: "help" };
const COMMANDS = ["run", "demo"];

/** Reads the words after `hawser`. Throws a `UsageError`. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const [word, ...rest] = args;
  switch (word) {
    case undefined:
      throw new UsageError("hawser", "missing command, say run, demo or --help");
    case "--help":
    case "-h":
      return { kind: "text", text: helpText("hawser") };
    case "--version":
      return { kind: "text", text: versionText() };
    case "run":
      return parseRun(rest);
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
  const { options: words, rest: command } = splitOptions("hawser run", args);
  const names = (kinds: string[]) => Object.keys(RUN_OPTIONS).filter((name) => kinds.includes(RUN_OPTIONS[name]!));
  const parsed = parseArgs(words, {
    // Spelt with "no-" they are names like any other here: nothing is negated.
    boolean: names(["flag"]),
    string: names(["value", "values"]),
    collect: names(["values"]),
  });
  if (parsed["help"] === true) return { kind: "text", text: helpText("run") };
  function value<T>(name: string, read: (text: string) => T): T | undefined {
    const text = parsed[name];
    return text === undefined ? undefined : readValue(name, String(text), read);
  }
  const options: RunOptions = {
    subnet: value("subnet", readSubnet) ?? "10.0.2.0/24",
    mtu: value("mtu", readMtu) ?? 65520,
    offload: parsed["no-offload"] !== true,
    dns: value("dns", readDns),
    maps: (parsed["map"] as string[] | undefined ?? []).map((text) => readValue("map", text, readMap)),
    hostLoopback: parsed["no-host-loopback"] !== true,
    maxFlows: value("max-flows", readMaxFlows),
    host: value("host", readHostKind) ?? "ffi",
    logLevel: value("log-level", readLogLevel) ?? "warn",
  };
  checkMaps(options);
  if (command.length === 0) {
    throw new UsageError("hawser run", "missing COMMAND, say what to run: hawser run [options] [--] COMMAND [ARG…]");
  }
  if (command[0] === "") throw new UsageError("hawser run", "COMMAND is empty, it is a program's name or path");
  return { kind: "run", options, command };
}

/** A map may rename the gateway, but neither the guest itself nor the resolver, and each address once. */
function checkMaps(options: RunOptions): void {
  const { guest, resolver } = addressesOf(options.subnet);
  const seen = new Set<string>();
  for (const map of options.maps) {
    const address = IpAddress.parse(map.split("=")[0]!).toString();
    const whose = address === guest ? "the guest's own address" : address === resolver ? "the resolver's address" : "";
    if (whose) throw new UsageError("hawser run", `bad --map ${map}: ${address} is ${whose}, take another one`);
    if (seen.has(address)) throw new UsageError("hawser run", `bad --map ${map}: ${address} is mapped already`);
    seen.add(address);
  }
}

/** The addresses of a guest's network, as text. */
export function addressesOf(subnet: string): { gateway: string; resolver: string; guest: string; prefix: number } {
  const { address, prefix } = Cidr.parse(subnet);
  return {
    gateway: formatIpv4(address.ipv4 + 2),
    resolver: formatIpv4(address.ipv4 + 3),
    guest: formatIpv4(address.ipv4 + 15),
    prefix,
  };
}

function readValue<T>(name: string, text: string, read: (text: string) => T): T {
  try {
    return read(text);
  } catch (error) {
    throw new UsageError("hawser run", `bad --${name} ${text}: ${error instanceof Error ? error.message : error}`);
  }
}

/** The options among `args` in the form `--name=value`, and what follows them. */
function splitOptions(program: string, args: readonly string[]): { options: string[]; rest: readonly string[] } {
  const options: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === "--") return { options, rest: args.slice(i + 1) };
    if (!word.startsWith("-") || word === "-") return { options, rest: args.slice(i) };
    const { name, spelling, attached } = nameOption(program, word);
    if (RUN_OPTIONS[name] === "flag") {
      if (attached !== undefined) {
        throw new UsageError(program, `${spelling} takes no value, leave out ${word.slice(spelling.length)}`);
      }
      options.push(`--${name}`);
      continue;
    }
    const value = attached ?? args[++i];
    if (value === undefined || value === "" || (attached === undefined && value.startsWith("-"))) {
      throw new UsageError(program, `${spelling} needs a value, see ${program} --help`);
    }
    options.push(`--${name}=${value}`);
  }
  return { options, rest: [] };
}

/** Which option a word is: `--mtu`, `--mtu=1500`, `-m`, `-m1500` or `-m=1500`. */
function nameOption(program: string, word: string): { name: string; spelling: string; attached: string | undefined } {
  if (!word.startsWith("--")) {
    const name = RUN_LETTERS[word[1]!];
    if (name === undefined || (RUN_OPTIONS[name] === "flag" && word.length > 2)) throw unknownOption(program, word);
    return {
      name,
      spelling: word.slice(0, 2),
      attached: word.length > 2 ? word.slice(2).replace(/^=/, "") : undefined,
    };
  }
  const equals = word.indexOf("=");
  const name = word.slice(2, equals < 0 ? undefined : equals);
  if (!Object.hasOwn(RUN_OPTIONS, name)) throw unknownOption(program, equals < 0 ? word : word.slice(0, equals));
  return { name, spelling: `--${name}`, attached: equals < 0 ? undefined : word.slice(equals + 1) };
}

function unknownOption(program: string, spelling: string): UsageError {
  const near = spelling.startsWith("--")
    ? nearestWord(spelling, Object.keys(RUN_OPTIONS).map((name) => `--${name}`))
    : undefined;
  return new UsageError(
    program,
    `unknown option ${spelling}, ${near ? `did you mean ${near}?` : `see ${program} --help`}`,
  );
}
