/**
 * The `hawser` command. `hawser --help` tells what it does.
 *
 * This file is only the door: it closes Deno's debugger and hides the process from others, then checks Deno's version
 * before anything is loaded that an older one could not read.
 *
 * @module
 */
import { hide } from "./cli/hardening.ts";
import { guardSignals } from "./cli/signals.ts";
import { denoVersionProblem } from "./cli/version.ts";

if (import.meta.main) {
  guardSignals();
  hide();
  const problem = denoVersionProblem(Deno.version.deno);
  if (problem !== undefined) {
    console.error(`hawser: ${problem}`);
    Deno.exit(125);
  }
  const { main } = await import("./cli/main.ts");
  Deno.exit(await main(Deno.args));
}
