import { assertEquals, assertThrows } from "@std/assert";
import { getopt } from "../../cli/getopt.ts";
import { UsageError } from "../../cli/usage_error.ts";
import { readInteger } from "../../cli/values.ts";

const TABLE = {
  "configure": { letter: "c", help: "" },
  "enable-ipv6": { letter: "6", help: "" },
  "enable-sandbox": { help: "" },
  "mtu": { letter: "m", metavar: "N", help: "", read: (text: string) => readInteger(text, 1, 9) },
  "map": { metavar: "X", help: "", repeatable: true, read: (text: string) => text },
} as const;

Deno.test("getopt reads options and operands in any order, letters together, names cut short, values attached or behind", () => {
  const lines: [string, Record<string, unknown>, string[]][] = [
    ["", {}, []],
    ["a -c b", { configure: true }, ["a", "b"]],
    ["-c6m7 a", { "configure": true, "enable-ipv6": true, "mtu": 7 }, ["a"]],
    ["-cm 7 a", { configure: true, mtu: 7 }, ["a"]],
    ["--mtu=7 --mtu 8 a", { mtu: 8 }, ["a"]],
    ["--conf --enable-i --mt 3", { "configure": true, "enable-ipv6": true, "mtu": 3 }, []],
    ["a --map x --map=y=z", { map: ["x", "y=z"] }, ["a"]],
    ["--map --configure", { map: ["--configure"] }, []],
    ["-c -- --mtu -6", { configure: true }, ["--mtu", "-6"]],
    ["- -c", { configure: true }, ["-"]],
  ];
  const nothing = { "configure": false, "enable-ipv6": false, "enable-sandbox": false, "mtu": undefined, "map": [] };
  for (const [line, values, operands] of lines) {
    const words = line === "" ? [] : line.split(" ");
    assertEquals(getopt("it", TABLE, words), { values: { ...nothing, ...values }, operands } as never, line);
  }
});

Deno.test("getopt ends at the first operand if it is told to, and the rest is the operand's", () => {
  const end = { endAtOperand: true };
  for (const line of ["-c a -c --foo", "-c -- a -c --foo"]) {
    assertEquals(getopt("it", TABLE, line.split(" "), end).operands, ["a", "-c", "--foo"]);
  }
  assertEquals(getopt("it", TABLE, ["--map", "a", "-"], end).operands, ["-"]);
  assertEquals(getopt("it", TABLE, ["--", "--", "a"], end).operands, ["--", "a"]);
});

Deno.test("getopt says what is wrong as the C library does", () => {
  const wrong: [string, string][] = [
    ["--foo", "unrecognized option '--foo'"],
    ["--constructor", "unrecognized option '--constructor'"],
    ["--=7", "unrecognized option '--'"],
    ["--enable-", "option '--enable-' is ambiguous; possibilities: '--enable-ipv6' '--enable-sandbox'"],
    ["--configure=yes", "option '--configure' doesn't allow an argument"],
    ["--mtu", "option '--mtu' requires an argument"],
    ["-cm", "option requires an argument -- 'm'"],
    ["-cx", "invalid option -- 'x'"],
    ["-m 10", "bad --mtu 10: it is a whole number from 1 to 9"],
  ];
  for (const [line, message] of wrong) {
    const error = assertThrows(() => getopt("it", TABLE, line.split(" ")), UsageError);
    assertEquals([error.program, error.message], ["it", message]);
  }
});
