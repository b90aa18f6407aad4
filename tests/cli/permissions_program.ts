/**
 * Gives up permissions beside a Worker, and says what either has left; for `permissions_test.ts`.
 *
 * @module
 */
import { keepOnly } from "../../cli/permissions.ts";

const NAMES = ["read", "write", "net", "env", "run", "sys", "ffi"] as const;
const query = `NAMES.filter((name) => Deno.permissions.querySync({ name }).state === "granted")`;
const source = `const NAMES = ${JSON.stringify(NAMES)}; onmessage = () => postMessage(${query})`;
const worker = new Worker(URL.createObjectURL(new Blob([source])), { type: "module" });

function ask(): Promise<string[]> {
  return new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage("");
  });
}

const before = await ask();
keepOnly(["read", "env", "sys"]);
const own = NAMES.filter((name) => Deno.permissions.querySync({ name }).state === "granted");
console.log(JSON.stringify({ before, own, workers: await ask() }));
Deno.exit();
