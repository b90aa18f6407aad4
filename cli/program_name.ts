/**
 * The names by which the command is called: its own, and those of the programs that it stands in for.
 *
 * Docker, podman and others start a program called `slirp4netns` or `pasta`. One file under several names, by links or
 * as copies, is all of them.
 *
 * @module
 */

/** Programs that Hawser stands in for: by the file's name, or as the first word after `hawser`. */
export const STANDS_IN_FOR = ["slirp4netns", "pasta"] as const;

/** A name of the command. */
export type ProgramName = "hawser" | typeof STANDS_IN_FOR[number];

/** The program that is called by the file at `url` and these words, and the words that are left for it. */
export function calledProgram(
  url: string,
  args: readonly string[],
): { program: ProgramName; words: readonly string[] } {
  const program = programName(url),
    other = program === "hawser" ? STANDS_IN_FOR.find((name) => name === args[0]) : program;
  return other === undefined || other === program ? { program, words: args } : { program: other, words: args.slice(1) };
}

/** The program that a file is, whose URL this is: one that Hawser stands in for if it is called so, else `hawser`. */
export function programName(url: string): ProgramName {
  // The module of an executable that was compiled lies inside it, whatever its own name is.
  const name = (Deno.build.standalone ? Deno.execPath() : new URL(url).pathname).replace(/^.*\//, "");
  return STANDS_IN_FOR.find((program) => program === name) ?? "hawser";
}
