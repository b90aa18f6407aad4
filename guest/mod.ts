/**
 * A guest inside this program, for tests and demonstrations: TCP over a `Link`, without a kernel.
 *
 * @module
 */
export * from "./conn.ts";
export * from "./listener.ts";
export * from "./stack.ts";
