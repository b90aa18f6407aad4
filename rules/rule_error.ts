/**
 * What is wrong with a rule.
 *
 * @module
 */

/** A rule that cannot be followed. */
export class RuleError extends TypeError {
  /** The class's name, for messages. */
  override readonly name = "RuleError";
  /** Where it stands: `rules.txt:12`, `--allow`. */
  readonly source: string;
  /** Its text as it was given. */
  readonly text: string;
  /** What is wrong and what would be right. */
  readonly problem: string;

  /** For the rule `text` that stands at `source`. */
  constructor(source: string, text: string, problem: string) {
    super(`Cannot follow ${source} "${printable(text)}": ${printable(problem)}`);
    this.source = source;
    this.text = text;
    this.problem = printable(problem);
  }
}

/** A text on one line, whatever is in it: control characters as `\\uXXXX`. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (char) => `\\u${char.codePointAt(0)!.toString(16).padStart(4, "0")}`);
}
