/**
 * `@std/assert` where only the npm registry is in reach: the assertions that the tests use, from `npm:deno-std`.
 *
 * @module
 */
// @ts-types="./assert.d.ts"
export { assertAlmostEquals } from "npm:deno-std@1.4.0/assert/almost_equals.js";
// @ts-types="./assert.d.ts"
export { assert } from "npm:deno-std@1.4.0/assert/assert.js";
// @ts-types="./assert.d.ts"
export { AssertionError } from "npm:deno-std@1.4.0/assert/assertion_error.js";
// @ts-types="./assert.d.ts"
export { assertEquals } from "npm:deno-std@1.4.0/assert/equals.js";
// @ts-types="./assert.d.ts"
export { assertExists } from "npm:deno-std@1.4.0/assert/exists.js";
// @ts-types="./assert.d.ts"
export { fail } from "npm:deno-std@1.4.0/assert/fail.js";
// @ts-types="./assert.d.ts"
export { assertGreater } from "npm:deno-std@1.4.0/assert/greater.js";
// @ts-types="./assert.d.ts"
export { assertGreaterOrEqual } from "npm:deno-std@1.4.0/assert/greater_or_equal.js";
// @ts-types="./assert.d.ts"
export { assertInstanceOf } from "npm:deno-std@1.4.0/assert/instance_of.js";
// @ts-types="./assert.d.ts"
export { assertLess } from "npm:deno-std@1.4.0/assert/less.js";
// @ts-types="./assert.d.ts"
export { assertLessOrEqual } from "npm:deno-std@1.4.0/assert/less_or_equal.js";
// @ts-types="./assert.d.ts"
export { assertMatch } from "npm:deno-std@1.4.0/assert/match.js";
// @ts-types="./assert.d.ts"
export { assertNotEquals } from "npm:deno-std@1.4.0/assert/not_equals.js";
// @ts-types="./assert.d.ts"
export { assertRejects } from "npm:deno-std@1.4.0/assert/rejects.js";
// @ts-types="./assert.d.ts"
export { assertStrictEquals } from "npm:deno-std@1.4.0/assert/strict_equals.js";
// @ts-types="./assert.d.ts"
export { assertStringIncludes } from "npm:deno-std@1.4.0/assert/string_includes.js";
// @ts-types="./assert.d.ts"
export { assertThrows } from "npm:deno-std@1.4.0/assert/throws.js";
