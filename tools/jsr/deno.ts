/**
 * Deno as somebody would call it who has only a registry on loopback: whatever it would fetch from elsewhere fails.
 *
 * @module
 */

/** Where and how `runDeno` runs. */
export interface DenoCall {
  /** What `JSR_URL` is. */
  readonly jsrUrl: string;
  /** The working directory. */
  readonly cwd: string;
  /** Deno's cache. Default that of the user. */
  readonly denoDir?: string;
  /** Whether packages of npm may be fetched; else they must be in the cache. */
  readonly npm?: boolean;
  /** The program. Default Deno. */
  readonly program?: string;
}

/** What it came to. */
export interface DenoResult {
  /** Its exit code. */
  readonly code: number;
  /** What it wrote to stdout. */
  readonly stdout: string;
  /** What it wrote to stderr. */
  readonly stderr: string;
}

/** Runs Deno, or a program that starts it, to its end. */
export async function runDeno(args: readonly string[], call: DenoCall): Promise<DenoResult> {
  // Nobody listens on port 1.
  const nobody = "http://127.0.0.1:1";
  const env = {
    JSR_URL: call.jsrUrl,
    NO_COLOR: "1",
    DENO_NO_UPDATE_CHECK: "1",
    ...(call.npm ? {} : { HTTP_PROXY: nobody, HTTPS_PROXY: nobody, NO_PROXY: "127.0.0.1,localhost,::1" }),
    ...(call.denoDir === undefined ? {} : { DENO_DIR: call.denoDir }),
  };
  const command = new Deno.Command(call.program ?? Deno.execPath(), { args: [...args], cwd: call.cwd, env });
  const { code, stdout, stderr } = await command.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** Publishes the package of `call.cwd` as it is, without the checks of types, which a dry run makes. */
export async function publish(call: DenoCall): Promise<DenoResult> {
  const options = ["--no-check", "--allow-slow-types", "--allow-dirty", "--no-lock", "--no-provenance"];
  return await runDeno(["publish", ...options, "--token", "loopback"], call);
}
