/**
 * The CLI's logger: lines on stderr.
 *
 * @module
 */
import { BaseHandler, type LevelName, Logger as StdLogger } from "@std/log";
import type { Logger } from "../nat/base/logger.ts";
import type { LogLevel } from "./values.ts";

class StderrHandler extends BaseHandler {
  override log(line: string): void {
    writeStderr(`${line}\n`);
  }
}

/** A logger for `level` and above, each message a line of its own. */
export function stderrLogger(level: LogLevel): Logger {
  const levelName = level.toUpperCase() as LevelName;
  const handler = new StderrHandler(levelName, {
    formatter: (record) => `hawser: ${record.levelName.toLowerCase()}: ${record.msg}`,
  });
  return new StdLogger("hawser", levelName, { handlers: [handler] });
}

/** Writes text to stderr; where nobody reads it, it is lost. */
export function writeStderr(text: string): void {
  writeTo(Deno.stderr, text);
}

/** Writes text to stdout; where nobody reads it, it is lost. */
export function writeStdout(text: string): void {
  writeTo(Deno.stdout, text);
}

function writeTo(output: typeof Deno.stdout, text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) written += output.writeSync(bytes.subarray(written));
  } catch {
    // A closed stderr must not end the command that runs.
  }
}
