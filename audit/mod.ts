/**
 * The audit: what guests did and were kept from, as records, and where they go.
 *
 * @module
 */
export * from "./descriptor_output.ts";
export * from "./records.ts";
export * from "./sink.ts";
