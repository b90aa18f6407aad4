/**
 * Containers of an ordinary user with Hawser in place of slirp4netns, by the real programs: what `containers.sh` does,
 * but for 200 containers in a row and the measurement.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";

const SCRIPT = new URL("./containers.sh", import.meta.url).pathname;
const PARTS = [
  ...["default", "bridge", "published", "handler", "keepid", "pod", "dns", "ipv6", "rules", "endings", "killed"],
  ...["buildah", "rootlesskit", "bwrap", "many"],
];
const needs = requires(
  ...["linux", "root", "tun", "unshare", "nsenter", "ip", "socat", "iperf3", "busybox", "useradd", "newuidmap"],
  ...["podman", "buildah", "crun", "catatonit", "rootlesskit", "bwrap"],
);

Deno.test({
  name: `podman, buildah, rootlesskit and bubblewrap run on hawser slirp4netns${needs.reason}`,
  ignore: needs.ignore,
  fn: async (t) => {
    const output = await new Deno.Command("bash", { args: [SCRIPT, ...PARTS], env: { HWC_COUNT: "5" }, stdin: "null" })
      .output();
    const text = new TextDecoder().decode(output.stdout), errors = new TextDecoder().decode(output.stderr);
    for (const part of PARTS) {
      await t.step(part, () => assertEquals(new RegExp(`^ok +${part} `, "m").test(text), true, `${text}\n${errors}`));
    }
    assertEquals(output.code, 0, errors);
  },
});
