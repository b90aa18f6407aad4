/**
 * The rule that keeps flows fit to be saved: a class that makes a flow has one `record` of plain data, and beside
 * it references to others and nothing else.
 *
 * It reads the fields that classes declare, one a line at the first depth, as the formatter leaves them. A field is a
 * reference if its type is one class or interface of the tree (or `null`), or if it begins with `new` of a class.
 * Numbers, texts, lists, maps, unions and functions are state, whatever they are called, and so is what the constructor
 * makes there and then.
 *
 * @module
 */
import { blankComments, type SourceFile } from "./source.ts";

/** The files whose classes make flows. */
export const STATE_FILES =
  /^nat\/(tcp\/\w+|relay\/(tcp_(relay|close|host_opening)|datagram_(flow|relay)|(udp|echo)_relay|udp_forward))\.ts$/;

const FIELD =
  /^ {2}(?:(?:readonly|override|abstract|static|declare|private|protected|public|accessor) )*(#?\w+)[!?]?(?:: ((?:[^=]|=>)+?))?(?: = (.+?))?;?$/;
const MEMBER =
  /^ {2}(?:(?:readonly|override|abstract|static|declare|private|protected|public|accessor) )*#?\w+[!?]?(?::| =|;)/;

/** Complaints about the fields of classes that make a flow. */
export function stateInRecords(tree: readonly SourceFile[]): string[] {
  const named = new Set<string>(), complaints: string[] = [];
  for (const { text } of tree) {
    const code = blankComments(text, { texts: false });
    for (const found of code.matchAll(/\b(?:class|interface) (\w+)/g)) named.add(found[1]!);
  }
  const isReference = (type: string) => named.has(type.replace(/ \| null$/, "").replace(/<.*>$/, ""));
  for (const file of tree.filter(({ path }) => STATE_FILES.test(path))) {
    for (const { name, lines } of classesOf(blankComments(file.text, { texts: false }))) {
      for (const line of lines.filter((line) => MEMBER.test(line))) {
        const [, field, type, value] = line.match(FIELD) ?? [];
        if (field === "record") continue;
        const made = value?.match(/^new (\w+)(?:<.*>)?\(/)?.[1];
        const isPlain = value !== undefined && made === undefined && value !== "null" && !/^[A-Z_]+$/.test(value);
        const isKept = type !== undefined ? isReference(type) && !isPlain : made !== undefined && named.has(made);
        if (!isKept) complaints.push(`${file.path} keeps ${field ?? line.trim()} of ${name} beside its record`);
      }
      for (const line of lines) {
        const literal = line.match(/\bthis\.(#?\w+) (?:\?\?)?= [[{]/)?.[1];
        if (literal !== undefined && literal !== "record") {
          complaints.push(`${file.path} makes data for ${literal} of ${name} beside its record`);
        }
        if (/^ {2}constructor\(.*\b(private|protected|public|readonly) \w/.test(line)) {
          complaints.push(`${file.path} declares fields of ${name} in its constructor`);
        }
      }
    }
  }
  return complaints;
}

/** The classes of a formatted file, each with the lines of its body. */
function classesOf(code: string): { name: string; lines: string[] }[] {
  const found: { name: string; lines: string[] }[] = [];
  let body: string[] | null = null;
  for (const line of code.split("\n")) {
    const name = line.match(/^(?:export )?(?:abstract )?class (\w+)/)?.[1];
    if (name !== undefined) found.push({ name, lines: body = [] });
    else if (line.startsWith("}")) body = null;
    else body?.push(line);
  }
  return found;
}
