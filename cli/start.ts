/**
 * How the `hawser` command begins, from a checkout or as one file.
 *
 * It closes Deno's debugger and hides the process from others, then checks Deno's version before anything is loaded
 * that an older one could not read.
 *
 * @module
 */
import { hide } from "./hardening.ts";
import { programName } from "./program_name.ts";
import { guardSignals } from "./signals.ts";
import { denoVersionProblem } from "./version.ts";

/** Runs the command of the file at `url`, by which it knows its name, and ends the process with its exit code. */
export async function start(url: string): Promise<never> {
  guardSignals();
  hide();
  const problem = denoVersionProblem(Deno.version.deno);
  if (problem !== undefined) {
    console.error(`hawser: ${problem}`);
    Deno.exit(125);
  }
  const { main } = await import("./main.ts");
  Deno.exit(await main(Deno.args, programName(url), url));
}
