import { assertEquals } from "@std/assert";
import { parseCommandLine } from "../../cli/options.ts";
import { neededByGateway, neededByRun, neededByServe } from "../../cli/permissions.ts";

const PROGRAM = decodeURIComponent(new URL("./permissions_program.ts", import.meta.url).pathname);

Deno.test("keepOnly leaves what is named and was there", async () => {
  const permissions = [
    "--allow-read",
    "--allow-write=/tmp",
    "--allow-net=127.0.0.1",
    "--allow-env",
    "--allow-run=sh",
    "--allow-ffi",
  ];
  const args = ["run", "--no-prompt", ...permissions, PROGRAM];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  const { before, after } = JSON.parse(new TextDecoder().decode(stdout));
  // Permissions for parts of something are not "granted" for the whole.
  assertEquals(before, ["read", "env", "ffi"]);
  assertEquals(after, ["read", "env"]);
});

/** What `run` or `serve` needs with these words, sorted. */
function needed(...words: string[]): string[] {
  const line = parseCommandLine(words);
  if (line.kind === "run") return neededByRun(line.options).sort();
  if (line.kind === "serve") return neededByServe(line.options).sort();
  throw new Error(`Cannot tell: ${line.kind}`);
}

Deno.test("run needs neither net nor write, but for Deno's sockets and a capture", () => {
  const always = ["env", "ffi", "read"];
  assertEquals(needed("run", "--host", "ffi", "true"), always);
  assertEquals(needed("run", "--host", "deno", "true"), [...always, "net"].sort());
  assertEquals(needed("run", "--host", "ffi", "--pcap", "x", "true"), [...always, "write"].sort());
  assertEquals(needed("run", "--host", "ffi", "--audit", "x", "true"), [...always, "write"].sort());
  assertEquals(needed("run", "--host", "ffi", "--learn", "x", "true"), [...always, "write"].sort());
  assertEquals(needed("run", "--host", "ffi", "--audit", "fd:3", "true"), always);
});

Deno.test("serve needs no right to run programs, also for a TAP in a namespace; net and write for Deno's sockets", () => {
  const serve = (link: string, host: string, ...more: string[]) =>
    needed("serve", "--listen", link, "--host", host, ...more);
  assertEquals(serve("ws:127.0.0.1:0", "ffi"), ["ffi", "read"]);
  assertEquals(serve("unix:/x", "ffi"), ["ffi", "read"]);
  assertEquals(serve("tcp:127.0.0.1:0", "deno"), ["ffi", "net", "read"]);
  assertEquals(serve("unix:/x", "deno"), ["ffi", "net", "read", "write"]);
  assertEquals(serve("unix:/x", "ffi", "--pcap", "x"), ["ffi", "read", "write"]);
  assertEquals(serve("unix:/x", "ffi", "--pcap", "-"), ["ffi", "read"]);
  assertEquals(serve("unix:/x", "ffi", "--audit", "x"), ["ffi", "read", "write"]);
  assertEquals(serve("unix:/x", "ffi", "--audit", "-"), ["ffi", "read"]);
  assertEquals(serve("tap:t0@pid:1", "ffi"), ["ffi", "read"]);
  assertEquals(serve("tap:t0", "ffi"), ["ffi", "read"]);
});

Deno.test("a gateway that serves needs neither programs nor the environment, and writes nothing with FFI sockets", () => {
  const { options } = parseCommandLine(["run", "--host", "ffi", "true"]) as {
    options: Parameters<typeof neededByGateway>[0];
  };
  const unix = { kind: "unix", path: "/x", mtu: 1500 } as const;
  assertEquals(neededByGateway(options, [unix]), ["read", "ffi"]);
  assertEquals(neededByGateway({ ...options, host: "deno" }, []), ["read", "ffi", "net"]);
  assertEquals(neededByGateway({ ...options, host: "deno" }, [unix]), ["read", "ffi", "net", "write"]);
});
