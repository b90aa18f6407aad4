/**
 * The audit: what guests did and were kept from, as records, and where they go.
 *
 * `Gateway.start` takes a function as `audit`, or sinks of this floor. `docs/audit.schema.json` has the form of a
 * record.
 *
 * @module
 */
export * from "./descriptor_output.ts";
export * from "./records.ts";
export * from "./sink.ts";
