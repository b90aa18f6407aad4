import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Serve } from "./serve_support.ts";
import { complaintsAbout, FIRMWARE, Vm } from "./vm_support.ts";

const { ignore, reason } = requires("linux", "ffi", "root", "ip", "unshare", "qemu-system-x86_64", "tshark");
/** What iPXE has found out once it is done; without an answer to its router solicitations it asks for 16 s. */
const CONFIGURED = /Configuring \(net0 [0-9a-f:]+\)\.* ok\n([^]*)Nothing to boot/g;

Deno.test({
  name: `iPXE in a network card that boots from Hawser has the lease and router of both families${reason}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-ipxe-" }), capture = `${folder}/vm.pcap`;
    let found = "";
    {
      // The host has a default route of its own, so that what the router advertises does not depend on the machine.
      const around =
        'exec unshare --net sh -c \'ip link set lo up && ip -6 route add default dev lo && exec "$@"\' sh "$@"';
      await using _serve = await Serve.start(["--listen", `unix:${folder}/vm.sock`, "--dns", "none"], { around });
      await using vm = new Vm({
        boots: FIRMWARE,
        netdev: `stream,server=off,addr.type=unix,addr.path=${folder}/vm.sock`,
        capture,
      });
      await vm.says(CONFIGURED, 1);
      found = [...vm.console.matchAll(CONFIGURED)][0]![1]!;
    }
    assertMatch(found, /^net0: 10\.0\.2\.15\/255\.255\.255\.0 gw 10\.0\.2\.2$/m);
    assertMatch(found, /^net0: fd00::15\/64 gw fe80::2$/m);
    assertEquals(await complaintsAbout(capture), "");
    await Deno.remove(folder, { recursive: true });
  },
});
