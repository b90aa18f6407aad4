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

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;

/** Compiles if the type is `true`. */
function holds<T extends true>(_?: T): void {}

// Nothing of this can fail when it runs: what counts is that it compiles, here and in `deno task publish:check`.
Deno.test("parseArgs has the types of @std/cli, which stand-ins must not soften", () => {
  const words = ["--flag", "--many=1", "--many=2", "--one=3"];
  const args = parseArgs(words, { boolean: ["flag"], string: ["one", "many"], collect: ["many"] });
  holds<Same<typeof args.flag, boolean>>();
  holds<Same<typeof args.one, string | undefined>>();
  holds<Same<typeof args.many, string[]>>();
  holds<Same<typeof args._, (string | number)[]>>();
  assertEquals([args.flag, args.one, args.many, args._], [true, "3", ["1", "2"], []]);

  // Where names are known only when it runs, every key is an array as far as the compiler sees.
  const names = ["flag"], byName = parseArgs(words, { boolean: names, string: ["one"] as string[], collect: names });
  // @ts-expect-error: such a key is no boolean to be compared with.
  assertEquals(byName["flag"] === true, false);

  const untyped = parseArgs(["--x"]);
  // A key of type `unknown` would not have a method.
  assertEquals(untyped["x"].valueOf(), true);
});

Deno.test("assertThrows and assertRejects of @std/assert take a part of the message and no pattern", () => {
  const fail = () => {
    throw new RangeError("too far");
  };
  holds<Same<ReturnType<typeof throwing>, RangeError>>();
  function throwing() {
    return assertThrows(fail, RangeError, "far");
  }
  function notCalled() {
    // @ts-expect-error: upstream takes a string.
    assertThrows(fail, RangeError, /far/);
    // @ts-expect-error: upstream takes a string.
    return assertRejects(() => Promise.reject(new RangeError("too far")), RangeError, /far/);
  }
  assertEquals([throwing().message, typeof notCalled], ["too far", "function"]);
});
