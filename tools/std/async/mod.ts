/**
 * `@std/async` where only the npm registry is in reach: the functions in use, from `npm:deno-std`.
 *
 * @module
 */
// @ts-types="./async.d.ts"
export { deadline } from "npm:deno-std@1.4.0/async/deadline.js";
// @ts-types="./async.d.ts"
export { delay } from "npm:deno-std@1.4.0/async/delay.js";
