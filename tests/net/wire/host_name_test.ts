import { assertEquals } from "@std/assert";
import { HOST_NAME_MAX, readHostName } from "../../../net/wire/host_name.ts";
import { bytesOf } from "../../support/nat_script.ts";

/** The name between two bytes that are part of none. */
function read(text: string): string | null {
  const bytes = bytesOf(`.${text}.`);
  return readHostName(bytes, 1, bytes.length - 1);
}

Deno.test("readHostName gives names in lower case and without a final dot", () => {
  for (const name of ["a", "registry.example", "xn--bcher-kva.example", "_a._b", "3.a", "a-1.z9"]) {
    assertEquals([read(name), read(`${name}.`), read(name.toUpperCase())], [name, name, name]);
  }
  const label = "a".repeat(63), most = `${label}.${label}.${label}.${"b".repeat(61)}`;
  assertEquals([most.length, read(most), read(`${most}.`)], [HOST_NAME_MAX, most, most]);
});

Deno.test("readHostName gives null for what is no name", () => {
  const wrong = ["", ".", "..", "a..b", ".a", "a b", "a/b", "a@b", "a:1", "*.a", "a\0", "ä", "[::1]", "{", "`"];
  for (const text of [...wrong, "a".repeat(64), `${"a.".repeat(126)}bc`]) assertEquals(read(text), null, text);
});

Deno.test("readHostName gives null for addresses, in whatever form: the last label is a number", () => {
  for (const text of ["192.0.2.1", "192.0.2.1.", "1", "a.1", "0x7f.1", "127.0X1", "a.0x"]) {
    assertEquals(read(text), null);
  }
  assertEquals([read("1.a"), read("a.1a"), read("a.x1")], ["1.a", "a.1a", "a.x1"]);
});
