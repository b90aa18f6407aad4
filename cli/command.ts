/**
 * COMMAND of `hawser run`, as its caller gave it: arguments and environment byte for byte, and whether it can be run.
 *
 * It is looked for before anything is started, so that a command that is not there costs nothing and is told in one
 * line. That goes for the interpreter of a script too: the kernel would say of the script that it is not there.
 *
 * @module
 */
import { type ByteText, byteText, readableText, utf8ByteText } from "../net/linux/byte_text.ts";
import { originalEnvironment, originalWords, readFileStart } from "../net/linux/process.ts";
import { findProgram } from "../net/linux/spawn.ts";

/** Exit code for a command that is there and cannot be executed (POSIX shell, section 2.8.2). */
const CANNOT_EXECUTE = 126;
/** Exit code for a command that is not there. */
const NOT_FOUND = 127;
/** Where execvp(3) looks if there is no PATH. */
const DEFAULT_PATH = "/bin:/usr/bin";
/** As much of a script's first line as Linux reads. */
const FIRST_LINE_BYTES = 256;

/** A command, and what it is to find. */
export interface Command {
  /** Its words. */
  readonly words: readonly ByteText[];
  /** Its environment, `NAME=VALUE` each. */
  readonly env: readonly ByteText[];
}

/** Why a command cannot be run, and the exit code that says so. */
export interface Refusal {
  /** 126 or 127. */
  readonly code: number;
  /** One sentence. */
  readonly message: string;
}

/** The command of which Deno shows these words. */
export function readCommand(words: readonly string[]): Command {
  return {
    words: originalWords(words) ?? words.map(utf8ByteText),
    env: originalEnvironment() ??
      Object.entries(Deno.env.toObject()).map(([name, value]) => utf8ByteText(`${name}=${value}`)),
  };
}

/** The value of a variable. */
export function variableOf({ env }: Command, name: string): ByteText | undefined {
  return env.find((variable) => variable.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** The environment as text. */
export function textVariables({ env }: Command): Record<string, string> {
  return Object.fromEntries(env.map((variable) => {
    const equals = variable.indexOf("=");
    return [readableText(variable.slice(0, equals)), readableText(variable.slice(equals + 1))];
  }));
}

/** Why this command cannot be run, or `undefined` if nothing speaks against it. */
export function refusalOf(command: Command): Refusal | undefined {
  const name = command.words[0]!, path = variableOf(command, "PATH") ?? DEFAULT_PATH;
  const found = findProgram(name, path);
  if ("path" in found) {
    const why = badInterpreter(found.path);
    return why === undefined ? undefined : refuse(name, CANNOT_EXECUTE, why);
  }
  if (found.missing === "not executable") return refuse(name, CANNOT_EXECUTE, "it cannot be executed");
  return refuse(name, NOT_FOUND, name.includes("/") ? "there is no such file" : "it is not in PATH");
}

function refuse(name: ByteText, code: number, why: string): Refusal {
  return { code, message: `cannot run ${printable(name)}: ${why}` };
}

function badInterpreter(script: ByteText): string | undefined {
  const start = readFileStart(script, FIRST_LINE_BYTES);
  if (start === undefined) return undefined;
  const [, interpreter] = /^#![ \t]*([^ \t\n\0]+)[^\n]*\n/.exec(`${byteText(start)}\n`) ?? [];
  if (interpreter === undefined || !interpreter.startsWith("/")) return undefined;
  const found = findProgram(interpreter, "");
  if ("path" in found) return undefined;
  const why = found.missing === "absent" ? "is not there" : "cannot be executed";
  return `its first line names ${printable(interpreter)}, which ${why}`;
}

/** A text on one line, whatever is in it. */
function printable(text: ByteText): string {
  // deno-lint-ignore no-control-regex
  return readableText(text).replaceAll(/[\x00-\x1f\x7f]/g, (char) => JSON.stringify(char).slice(1, -1));
}
