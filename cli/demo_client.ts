/**
 * The demo's client inside a namespace: an ordinary program over the guest kernel's TCP. Its arguments are host, port
 * and bytes of a bulk transfer.
 *
 * @module
 */
import { converse } from "./demo_conversation.ts";

/** Converses with the demo's server. Resolves to the exit code. */
export async function demoClient([hostname, port, bulkBytes]: readonly string[]): Promise<number> {
  try {
    await converse({
      connect: () => Deno.connect({ hostname: hostname!, port: Number(port) }),
      bulkBytes: Number(bulkBytes),
      print: (line) => console.log(line),
    });
    return 0;
  } catch (error) {
    console.log(`FAILED: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}
