/**
 * Guests that try names and addresses in the internet of the tests, and what Hawser's audit says of them.
 *
 * @module
 */
import type { Internet } from "./internet.ts";
import type { HawserOptions, Outcome } from "./run_support.ts";

/** The functions of a guest in Python. */
export const PROBE = decodeURIComponent(new URL("./names_probe.py", import.meta.url).pathname);

/** A line of the audit. */
export type AuditLine = Readonly<Record<string, unknown>> & { readonly event: string };

/** What a guest's attempts came to. */
export interface Probed extends Outcome {
  /** What each attempt printed. */
  readonly answers: readonly string[];
  /** The audit. */
  readonly audit: readonly AuditLine[];
}

/**
 * Runs lines of Python with the functions of `names_probe.py` under `hawser run` with these options. Throws an `Error`
 * if Python fails.
 */
export async function probe(
  internet: Internet,
  options: readonly string[],
  lines: string,
  more: HawserOptions = {},
): Promise<Probed> {
  const code = `exec(open("${PROBE}").read())\n${lines.replace(/^ +/gm, "")}`;
  const audit = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    const words = ["run", ...options, "--audit", audit, "--", "python3", "-c", code];
    const outcome = await internet.hawser(words, more);
    if (outcome.code !== 0) throw new Error(`The guest ended with ${outcome.code}: ${outcome.stderr}`);
    const answers = outcome.stdout.split("\n").slice(0, -1);
    return { ...outcome, answers, audit: readAudit(await Deno.readTextFile(audit)) };
  } finally {
    await Deno.remove(audit);
  }
}

/** The lines of an audit. Throws a `SyntaxError` if one is no JSON. */
export function readAudit(text: string): AuditLine[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** Of the lines with this event, these members, joined by spaces. */
export function auditColumn(audit: readonly AuditLine[], event: string, ...members: string[]): string[] {
  return audit.filter((line) => line.event === event).map((line) =>
    members.map((member) => {
      const value = line[member];
      // A rule says its text and where it stands.
      const isRule = typeof value === "object" && value !== null && "text" in value;
      return Array.isArray(value) ? value.join() : `${isRule ? value.text : value}`;
    }).join(" ")
  );
}
