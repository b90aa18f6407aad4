import { assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";

const needs = requires("linux", "root", "ffi", "unshare", "ip");

Deno.test({
  name: `LinuxHost takes clients by the interface that was named and no other${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const program = new URL("./device_program.ts", import.meta.url).pathname;
    const { stdout, stderr, code } = await new Deno.Command("unshare", {
      args: [
        ...[
          "-n",
          "sh",
          "-ec",
          'ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; exec "$@"',
        ],
        ...["sh", Deno.execPath(), "run", "--no-check", "--allow-ffi", "--allow-net", "--allow-read", "--allow-env"],
        program,
      ],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals([code, text(stderr)], [0, ""]);
    assertEquals(text(stdout).trim().split("\n"), [
      "ConnectionRefused",
      "object connected",
      "addressInUse",
      "deviceNotAvailable",
      "object",
      "object",
      "addressInUse",
    ]);
  },
});
