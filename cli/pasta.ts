/**
 * `hawser pasta`, and a file of Hawser's that is called `pasta`: Hawser in place of pasta, for podman, buildah,
 * rootlesskit and others.
 *
 * A thin translation: the command line becomes that of `hawser serve` for one TAP in a namespace, or that of `hawser
 * run` (`pasta_options.ts`). For a namespace that is there it goes to the background when it is ready
 * (`pasta_launcher.ts`), and ends when the namespace is gone (`namespace_watch.ts`). What fails is one line on stderr
 * and exit code 1.
 *
 * podman starts it inside its user and mount namespaces, as root there, in the network namespace of the host; so
 * nothing here may need to come back from a namespace. See `netns_tun.ts`.
 *
 * @module
 */
import { readHostConnection } from "../net/linux/host_network.ts";
import { cString, libc } from "../net/linux/libc.ts";
import { withRules } from "./gateway_settings.ts";
import { writeStderr, writeStdout } from "./log.ts";
import { NamespaceWatch } from "./namespace_watch.ts";
import { isLaunched, launch, tellLauncher } from "./pasta_launcher.ts";
import { parsePasta, PASTA, type PastaOptions } from "./pasta_options.ts";
import { keepOnly, neededByRun, neededByServe } from "./permissions.ts";
import { openLog, replaceStderr } from "./standard_descriptors.ts";
import { UsageError } from "./usage_error.ts";
import { fromEnvironment } from "./values.ts";

const FAILED = 1;

/** Does what the words after `pasta` say. Resolves to the exit code. */
export async function pasta(args: readonly string[]): Promise<number> {
  try {
    const line = parsePasta(args, { shell: fromEnvironment("SHELL") ?? "/bin/sh", connection: readHostConnection });
    if ("text" in line) {
      writeStdout(line.text);
      return 0;
    }
    if (Deno.build.os !== "linux") throw new Error(`this needs Linux, not ${Deno.build.os}`);
    if ("options" in line) return await follow(line.options);
    const options = await withRules(PASTA, line.run);
    keepOnly(neededByRun(options));
    const { run } = await import("./run.ts");
    return await run({ options, command: line.command });
  } catch (error) {
    writeStderr(`${PASTA}: ${error instanceof Error ? error.message : error}\n`);
    if (error instanceof UsageError || error instanceof Error) return FAILED;
    throw error;
  }
}

async function follow(options: PastaOptions): Promise<number> {
  const { serve: told, netns, tap, usernsPath, logFile, foreground, quiet } = options;
  const { audit } = told, kept = audit !== undefined && "fd" in audit ? [audit.fd] : [];
  if (!foreground && !isLaunched()) {
    keepOnly(["read", "env", "ffi"]);
    return await launch(kept);
  }
  if (usernsPath !== undefined && libc().access(cString(usernsPath), 0) !== 0) {
    throw new Error(`there is no user namespace ${usernsPath}`);
  }
  const serving = await withRules(PASTA, told);
  keepOnly([...neededByServe(serving), ...(logFile === undefined ? [] : ["write"] as const)]);
  const { serve } = await import("./serve.ts");
  let log: number | undefined;
  return await serve(serving, {
    tap,
    quiet: quiet ? "links and forwards" : "links",
    begin: () => {
      const begun = new AsyncDisposableStack();
      const gone = options.quits ? begun.use(new NamespaceWatch(netns)).gone : undefined;
      if (logFile !== undefined) log = openLog(logFile);
      return Promise.resolve({ gone, end: begun });
    },
    ready: () => {
      if (!foreground) tellLauncher({ log, kept });
      else if (log !== undefined) replaceStderr(log, kept);
    },
  });
}
