/**
 * The audit: what guests did and were kept from, as records; where they go; and what follows from them for rules.
 *
 * `Gateway.start` takes a function as `audit`, or sinks of this floor. `learn` makes rules of records, `replay` says
 * what other rules would have decided. `docs/audit.md` tells what is in each record, `docs/audit.schema.json` its form.
 *
 * @module
 */
export * from "./descriptor_output.ts";
export * from "./learn.ts";
export * from "./learn_file.ts";
export * from "./records.ts";
export * from "./replay.ts";
export * from "./sink.ts";
export * from "./usage.ts";
