import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { deadline, delay } from "@std/async";
import { concat, equals } from "@std/bytes";
import { parseArgs } from "@std/cli";
import { BaseHandler, Logger } from "@std/log";

class Lines extends BaseHandler {
  readonly lines: string[] = [];
  log(msg: string): void {
    this.lines.push(msg);
  }
}

Deno.test("@std resolves to working functions without JSR", async () => {
  assertThrows(() => assertEquals<unknown>({ a: 1 }, { a: 2 }), Error, "Values are not equal");
  assert(equals(concat([new Uint8Array([1]), new Uint8Array([2])]), new Uint8Array([1, 2])));
  await delay(0);
  await assertRejects(() => deadline(new Promise<void>(() => {}), 1), DOMException, "timeout");
  assertEquals(parseArgs(["--x=1"], { string: ["x"] })["x"], "1");
});

Deno.test("Logger of @std/log passes on its level and above alone", () => {
  const handler = new Lines("DEBUG", { formatter: (record) => `${record.levelName} ${record.msg}` });
  const logger = new Logger("hawser", "WARN", { handlers: [handler] });
  logger.debug("a");
  logger.info("b");
  logger.warn("c");
  logger.error("d");
  assertEquals(handler.lines, ["WARN c", "ERROR d"]);
});
