import { assertEquals } from "@std/assert";
import { identityMap } from "../../cli/isolate_machine.ts";

Deno.test("identityMap makes everybody who he is, whatever the user namespace is called from outside", () => {
  assertEquals(identityMap("         0          0 4294967295\n"), "0 0 4294967295\n");
  assertEquals(
    identityMap("         0       1000          1\n         1     100000      65536\n"),
    "0 0 1\n1 1 65536\n",
  );
  assertEquals(identityMap(""), "");
});
