/**
 * The published schema of the audit, to hold lines against it.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { AuditRecord } from "../../audit/records.ts";
import schema from "../../docs/audit.schema.json" with { type: "json" };

const validate = new Ajv2020({ allErrors: true }).compile(schema);

/** What is wrong with a record by the schema, empty if nothing is. */
export function schemaProblems(record: unknown): string[] {
  return validate(record) ? [] : validate.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`);
}

/** The records of an audit's text. Asserts that each line is one by the schema, and that no number is left out. */
export function checkedRecords(text: string): AuditRecord[] {
  assert(text === "" || text.endsWith("\n"), `the last line is cut off: ${text.slice(-100)}`);
  const records = text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as AuditRecord);
  const seen = new Map<string, number>();
  for (const record of records) {
    assertEquals(schemaProblems(record), [], JSON.stringify(record));
    assertEquals(record.seq, (seen.get(record.run) ?? 0) + 1, "a record is missing");
    seen.set(record.run, record.seq);
  }
  return records;
}
