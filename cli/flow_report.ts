/**
 * The flow table as text, for people.
 *
 * @module
 */
import type { FlowInfo } from "../nat/flow.ts";

const HEADINGS = ["PROTO", "GUEST", "HOST", "STATE", "FROM GUEST", "TO GUEST", "AGE", "IDLE"];

/** A line a flow under a heading, columns aligned; one sentence if there are none. Ends with a newline. */
export function formatFlows(flows: Iterable<FlowInfo>): string {
  const rows = [...flows].map((flow) => [
    flow.protocol,
    flow.guest,
    flow.host,
    flow.state,
    String(flow.bytesFromGuest),
    String(flow.bytesToGuest),
    formatSeconds(flow.ageMs),
    formatSeconds(flow.idleMs),
  ]);
  if (rows.length === 0) return "hawser: no flows\n";
  const table = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd());
  return lines.join("\n") + "\n";
}

function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
