/**
 * `@std/bytes` where only the npm registry is in reach: the functions in use, from `npm:deno-std`.
 *
 * @module
 */
// @ts-types="./bytes.d.ts"
export { concat } from "npm:deno-std@1.4.0/bytes/concat.js";
// @ts-types="./bytes.d.ts"
export { equals } from "npm:deno-std@1.4.0/bytes/equals.js";
