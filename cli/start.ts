/**
 * How the `hawser` command begins, from a checkout or as one file.
 *
 * It closes Deno's debugger and hides the process from others, then checks Deno's version before anything is loaded
 * that an older one could not read.
 *
 * @module
 */
import { hide } from "./hardening.ts";
import { AGENT_WORD } from "./itself.ts";
import { calledProgram } from "./program_name.ts";
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
  Deno.exit(await begin(url));
}

/** Each program loads what it needs alone. */
async function begin(url: string): Promise<number> {
  if (Deno.args[0] === AGENT_WORD) {
    const { loopbackAgent } = await import("./loopback_agent.ts");
    return await loopbackAgent();
  }
  const { program, words } = calledProgram(url, Deno.args);
  switch (program) {
    case "pasta": {
      const { pasta } = await import("./pasta.ts");
      return await pasta(words);
    }
    case "slirp4netns": {
      const { slirp4netns } = await import("./slirp4netns.ts");
      return await slirp4netns(words);
    }
    case "hawser": {
      const { main } = await import("./main.ts");
      return await main(words, url);
    }
  }
}
