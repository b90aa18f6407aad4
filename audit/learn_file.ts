/**
 * The file of `--learn`: rules are learnt of records while they come, and written when the last one has.
 *
 * The file is opened, and marked as unfinished, before anything begins, so that nobody finds out at the end that it
 * cannot be written. A file that `--learn` did not write is left alone.
 *
 * @module
 */
import { parseRule } from "../rules/parse_rule.ts";
import { createRuleList } from "../rules/read.ts";
import { isLearnt, learn, UNFINISHED_TEXT } from "./learn.ts";
import type { AuditRecord } from "./records.ts";
import { describeDifference, differencesOf } from "./replay.ts";
import { openOwnFile, type RecordSink } from "./sink.ts";
import { UsageReader } from "./usage.ts";

/** Differences that are told one by one. */
const MOST_TOLD = 20;

/** A sink that learns. */
export class LearnFile implements RecordSink {
  /** It always takes records. */
  readonly isAvailable: boolean = true;
  /** Nothing is wrong. */
  readonly problem: string = "";
  /** Nothing waits. */
  readonly waits: boolean = false;
  readonly #path: string;
  readonly #file: Deno.FsFile;
  readonly #report: (line: string) => void;
  readonly #usage = new UsageReader();

  private constructor(path: string, file: Deno.FsFile, report: (line: string) => void) {
    this.#path = path;
    this.#file = file;
    this.#report = report;
  }

  /**
   * Opens `path` and marks it as unfinished. At the end `report` is told how many rules were learnt, and what of this
   * run would be refused under them. Throws an `Error` if the file cannot be had or is somebody else's.
   */
  static open(path: string, report: (line: string) => void): LearnFile {
    return new LearnFile(path, openUnfinished(path), report);
  }

  /** Makes the file, or finds out that it cannot be had, as `open` does, and closes it again. */
  static prepare(path: string): void {
    openUnfinished(path).close();
  }

  /** Learns from a record. */
  put(record: AuditRecord): boolean {
    this.#usage.take(record);
    return true;
  }

  /** Does nothing. */
  flush(): void {}

  /** Writes what was learnt. */
  [Symbol.dispose](): void {
    this.#usage.finish();
    const { text, rules } = learn(this.#usage, (rule) => parseRule(rule, { verdict: "allow", source: this.#path }));
    try {
      writeAll(this.#file, text);
    } catch (error) {
      this.#report(`cannot write ${this.#path}: ${error instanceof Error ? error.message : error}`);
      return;
    } finally {
      this.#file.close();
    }
    this.#report(`learnt ${rules} ${rules === 1 ? "rule" : "rules"}: ${this.#path}`);
    if (this.#usage.left > 0) this.#report(`not learnt, there was too much of it: ${this.#usage.left} flows and names`);
    this.#replay(text);
  }

  /** Says what of this run would be refused under the rules that were learnt. */
  #replay(text: string): void {
    const { differences } = differencesOf(createRuleList({ rules: { name: this.#path, text } }), this.#usage, {
      deeds: true,
    });
    const refused = differences.filter(({ isAllowed }) => !isAllowed);
    for (const difference of refused.slice(0, MOST_TOLD)) this.#report(describeDifference(difference));
    const more = refused.length - MOST_TOLD;
    if (more > 0) this.#report(`and ${more} more that would be refused`);
  }
}

/** Opens a file of `--learn`, and marks it as unfinished. */
function openUnfinished(path: string): Deno.FsFile {
  const file = openOwnFile(path, { append: false });
  try {
    if (!isLearnt(readStart(file))) {
      throw new Error(`Cannot overwrite ${path}: --learn did not write it, name another file or delete it`);
    }
    writeAll(file, UNFINISHED_TEXT);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

/** As much of a file as shows whose it is. */
function readStart(file: Deno.FsFile): string {
  const bytes = new Uint8Array(256);
  return new TextDecoder().decode(bytes.subarray(0, file.readSync(bytes) ?? 0));
}

function writeAll(file: Deno.FsFile, text: string): void {
  const bytes = new TextEncoder().encode(text);
  file.seekSync(0, Deno.SeekMode.Start);
  for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
  file.truncateSync(bytes.length);
}
