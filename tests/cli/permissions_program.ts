/**
 * Gives up permissions, and says which it had and has left; for `permissions_test.ts`.
 *
 * @module
 */
import { keepOnly } from "../../cli/permissions.ts";

const NAMES = ["read", "write", "net", "env", "run", "sys", "ffi"] as const;

function granted(): string[] {
  return NAMES.filter((name) => Deno.permissions.querySync({ name }).state === "granted");
}

const before = granted();
keepOnly(["read", "env", "sys"]);
console.log(JSON.stringify({ before, after: granted() }));
