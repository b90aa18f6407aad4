/**
 * The options of the audit: where records go, and rules that are learnt of them.
 *
 * What they name is opened when the gateway starts. A descriptor is claimed for Hawser alone before that, so that no
 * program that is started gets it.
 *
 * @module
 */
import { claimDescriptor, DescriptorOutput } from "../audit/descriptor_output.ts";
import { LearnFile } from "../audit/learn_file.ts";
import { FileOutput, LineSink, type RecordSink } from "../audit/sink.ts";
import type { OptionValues } from "./option_table.ts";
import { UsageError } from "./usage_error.ts";
import { fromEnvironment, readInteger } from "./values.ts";

/** Where records go: to a file, or to a descriptor that the caller has opened. */
export type AuditTarget = { readonly path: string } | { readonly fd: number };

/** What was asked for. Plain data: nothing is open yet. */
export interface AuditSettings {
  /** Where records go, if anywhere. */
  readonly audit: AuditTarget | undefined;
  /** The file to which what was learnt goes, if it does. */
  readonly learn: string | undefined;
}

/** The variable that stands for `--audit`. */
const VARIABLE = "HAWSER_AUDIT";
const MOST_DESCRIPTOR = 0xffff;
const STDERR = 2;

/** The rows of these options, for commands whose standard descriptors belong to somebody else. */
export const AUDIT_ROWS = {
  "audit": {
    metavar: "FILE|fd:N",
    help: "append a record of each flow, name and refusal, as JSON Lines; what cannot be\n" +
      "recorded is refused; fd:N: a descriptor that COMMAND does not get",
    shown: `$${VARIABLE}`,
    read: (text: string) => readAudit(text, { leastFd: STDERR + 1 }),
  },
  "report-only": { help: "rules refuse nothing, the default deny apart; warnings and records say what they would" },
  "learn": {
    metavar: "FILE",
    help: "--report-only, and at the end write rules to FILE that allow just what was used",
    read: readLearn,
  },
} as const;

/** The row of `--audit` for a command that has its standard output to itself. */
export const SERVE_AUDIT_ROW = {
  ...AUDIT_ROWS.audit,
  metavar: "FILE|fd:N|-",
  help: "append a record of each flow, name and refusal, as JSON Lines; what cannot be\n" +
    "recorded is refused; fd:N: to an open descriptor; -: to stdout",
  read: (text: string) => text === "-" ? { fd: 1 } : readAudit(text, { leastFd: 0 }),
} as const;

/** The settings that these values make. Throws a `UsageError` if they contradict each other. */
export function auditSettings(
  program: string,
  { audit, learn }: Pick<OptionValues<typeof AUDIT_ROWS>, "audit" | "learn">,
  read: (text: string) => AuditTarget,
): AuditSettings {
  const target = audit ?? ofVariable(program, read);
  if (learn !== undefined && target !== undefined && "path" in target && target.path === learn) {
    throw new UsageError(program, `bad --learn ${learn}: it is the file of --audit, name another one`);
  }
  return { audit: target, learn };
}

/** Takes the descriptor for Hawser alone, if there is one. Throws an `Error` if it cannot be had. */
export function claimAudit({ audit }: AuditSettings): void {
  if (audit !== undefined && "fd" in audit) {
    needDescriptors(audit.fd);
    claimDescriptor(audit.fd);
  }
}

/**
 * Opens what records go to. `report` is told a line of what was learnt at the end. Throws an `Error` for what cannot be
 * had.
 */
export function openSinks({ audit, learn }: AuditSettings, report: (line: string) => void): RecordSink[] {
  const sinks: RecordSink[] = [];
  try {
    if (audit !== undefined) sinks.push(new LineSink(outputOf(audit)));
    if (learn !== undefined) sinks.push(LearnFile.open(learn, report));
  } catch (error) {
    for (const sink of sinks) sink[Symbol.dispose]();
    throw error;
  }
  return sinks;
}

function outputOf(audit: AuditTarget): FileOutput | DescriptorOutput {
  return "path" in audit ? FileOutput.open(audit.path) : DescriptorOutput.open(audit.fd);
}

function needDescriptors(fd: number): void {
  if (Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted") return;
  throw new Error(`Cannot write to descriptor ${fd}: this needs Linux and --allow-ffi, name a file`);
}

function readAudit(text: string, { leastFd }: { leastFd: number }): AuditTarget {
  if (text === "-") throw new TypeError("standard output is the command's, name a file or fd:N");
  const [, number] = /^fd:(.*)$/.exec(text) ?? [];
  return number === undefined ? { path: text } : { fd: readInteger(number, leastFd, MOST_DESCRIPTOR) };
}

function readLearn(text: string): string {
  if (text === "-" || text.startsWith("fd:")) throw new TypeError("rules are written to a file at the end, name one");
  return text;
}

function ofVariable(program: string, read: (text: string) => AuditTarget): AuditTarget | undefined {
  const text = fromEnvironment(VARIABLE);
  if (text === undefined) return undefined;
  try {
    return read(text);
  } catch (error) {
    throw new UsageError(program, `bad ${VARIABLE} ${text}: ${error instanceof Error ? error.message : error}`);
  }
}
