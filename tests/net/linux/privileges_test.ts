import { assertEquals } from "@std/assert";
import { requires } from "../../support/requirements.ts";

const PROGRAM = decodeURIComponent(new URL("./hardening_program.ts", import.meta.url).pathname);
/** The program reads /proc, for which Deno wants all of these. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-run",
  "--allow-ffi",
  "--allow-net",
  "--allow-env",
  "--allow-sys",
];

/** Runs the program after these words, and reads its report. */
async function report(...before: string[]): Promise<Record<string, unknown>> {
  const deno = [Deno.execPath(), "run", "--no-prompt", ...PERMISSIONS, "--allow-import", PROGRAM];
  const [command, ...args] = [...before, ...deno];
  const { stdout, stderr } = await new Deno.Command(command!, { args }).output();
  const text = new TextDecoder().decode(stdout);
  return text === "" ? { stderr: new TextDecoder().decode(stderr) } : JSON.parse(text);
}

const HARDENED = {
  problems: [null, null, null],
  isolated: ["2"],
  privileges: ["1"],
  notDenied: [],
  noProgram: "PermissionDenied",
  workers: ["works", "works"],
  threadsAfter: ["2"],
  sockets: "tcptcp",
  interfaces: true,
  descriptors: true,
  ownerOfDescriptors: 0,
};

const root = requires("linux", "ffi", "root");

Deno.test({
  name: `a hardened process keeps one capability, denies on every thread, and Deno goes on working${root.reason}`,
  ignore: root.ignore,
  fn: async () => {
    const netRaw = (1 << 13).toString(16).padStart(16, "0");
    assertEquals(await report(), { ...HARDENED, ownCapabilities: netRaw });
  },
});
