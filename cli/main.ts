/**
 * The `hawser` command: reads the command line and does what it says.
 *
 * @module
 */
import { withRules } from "./gateway_settings.ts";
import { writeStderr } from "./log.ts";
import { type CommandLine, parseCommandLine } from "./options.ts";
import { keepOnly, neededByRun, neededByServe } from "./permissions.ts";
import { UsageError } from "./usage_error.ts";

/** Exit code for a command line that cannot be followed. */
const USAGE = 2;
/** Exit code when Hawser itself failed. */
const HAWSER_FAILED = 125;

/**
 * Does what these words say. `file` is the URL of the file that is the command, if the command is to start itself once
 * more. Resolves to the exit code.
 */
export async function main(args: readonly string[], file?: string): Promise<number> {
  try {
    return await follow(parseCommandLine(args), file);
  } catch (error) {
    if (error instanceof UsageError) {
      writeStderr(`${error.program}: ${error.message}\n`);
      return USAGE;
    }
    writeStderr(`hawser: ${error instanceof Error ? error.message : error}\n`);
    return HAWSER_FAILED;
  }
}

async function follow(line: CommandLine, file: string | undefined): Promise<number> {
  switch (line.kind) {
    case "text":
      console.log(line.text.trimEnd());
      return 0;
    case "forward": {
      // FFI is given up later, by what it still does to harden the process.
      const usesPaths = line.listen.transport === "unix" || line.target.transport === "unix";
      keepOnly(["net", "ffi", ...(usesPaths ? ["read", "write"] as const : [])]);
      const { forward } = await import("./forward.ts");
      return await forward(line);
    }
    case "demo": {
      const { demo } = await import("./demo.ts");
      return await demo(file === undefined ? {} : { file });
    }
    case "demo-client": {
      keepOnly(["net"]);
      const { demoClient } = await import("./demo_client.ts");
      return await demoClient(line.words);
    }
    case "check": {
      const { check } = await import("./check.ts");
      return await check(line.options);
    }
    case "serve": {
      const options = await withRules("hawser serve", line.options);
      keepOnly(neededByServe(options));
      const { serve } = await import("./serve.ts");
      return await serve(options);
    }
    case "run": {
      if (Deno.build.os !== "linux") {
        throw new Error(`cannot run a command in a namespace: this needs Linux, not ${Deno.build.os}`);
      }
      const options = await withRules("hawser run", line.options);
      keepOnly(neededByRun(options));
      const { run } = await import("./run.ts");
      return await run({ ...line, options });
    }
  }
}
