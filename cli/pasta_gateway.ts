/**
 * What `hawser pasta` does with a command line: a gateway for a namespace that is there, or a COMMAND behind one.
 *
 * @module
 */
import { readHostConnection } from "../net/linux/host_network.ts";
import { AF_INET6, cString, libc, SOCK_CLOEXEC, SOCK_DGRAM } from "../net/linux/libc.ts";
import { withRules } from "./gateway_settings.ts";
import { writeStdout } from "./log.ts";
import { NamespaceWatch } from "./namespace_watch.ts";
import { isLaunched, launch, tellLauncher } from "./pasta_launcher.ts";
import { parsePasta, PASTA, type PastaOptions } from "./pasta_options.ts";
import { keepOnly, neededByRun, neededByServe } from "./permissions.ts";
import { openLog, replaceStderr } from "./standard_descriptors.ts";
import { fromEnvironment } from "./values.ts";

const DEFAULT_SHELL = "/bin/sh";

/** Does what the words after `pasta` say. Resolves to the exit code. Throws an `Error` that says what is wrong. */
export async function followPasta(args: readonly string[]): Promise<number> {
  const shell = fromEnvironment("SHELL") ?? DEFAULT_SHELL;
  const line = parsePasta(args, { shell, hasIpv6: hasIpv6(), connection: readHostConnection });
  if ("text" in line) {
    writeStdout(line.text);
    return 0;
  }
  if (Deno.build.os !== "linux") throw new Error(`this needs Linux, not ${Deno.build.os}`);
  if ("options" in line) return await serveNamespace(line.options);
  const options = await withRules(PASTA, line.run);
  keepOnly(neededByRun(options));
  const { run } = await import("./run.ts");
  return await run({ options, command: line.command });
}

async function serveNamespace(options: PastaOptions): Promise<number> {
  const { serve: told, netns, tap, usernsPath, logFile, foreground, quiet } = options;
  const { audit } = told, kept = audit !== undefined && "fd" in audit ? [audit.fd] : [];
  if (!foreground && !isLaunched()) return await launch(kept);
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
      // What is learnt is written at the end, where its name leads from here.
      if (!foreground && serving.learn === undefined) Deno.chdir("/");
      if (!foreground) tellLauncher({ log, kept });
      else if (log !== undefined) replaceStderr(log, kept);
    },
  });
}

/** Whether this kernel has IPv6. */
function hasIpv6(): boolean {
  const fd = libc().socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) libc().close(fd);
  return fd >= 0;
}
