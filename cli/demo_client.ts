/**
 * The demo's client inside a namespace: an ordinary program over the guest kernel's TCP. Its arguments are host, port
 * and bytes of a bulk transfer.
 *
 * @module
 */
import { converse } from "./demo_conversation.ts";

if (import.meta.main) {
  const [hostname, port, bulkBytes] = Deno.args;
  try {
    await converse({
      connect: () => Deno.connect({ hostname: hostname!, port: Number(port) }),
      bulkBytes: Number(bulkBytes),
      print: (line) => console.log(line),
    });
  } catch (error) {
    console.log(`FAILED: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
