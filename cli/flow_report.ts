/**
 * What a gateway carries and has carried, as text, for people: the flow table, how flows ended, what was dropped.
 *
 * @module
 */
import { type Counters, DROP_REASONS } from "../nat/base/counters.ts";
import { type Endings, FLOW_ENDINGS } from "../nat/flow/endings.ts";
import type { Totals } from "../nat/flow/events.ts";
import type { FlowInfo } from "../nat/flow/flow.ts";

/** What there is to see of a gateway, as data that one thread may send to another. */
export interface Report {
  /** Every flow. */
  readonly flows: readonly FlowInfo[];
  /** What there was since the start, these flows included. */
  readonly totals: Totals;
  /** Flows that ended, by how. */
  readonly endings: Endings;
  /** Drops by reason. */
  readonly counters: Counters;
}

/** A gateway of which a report is made. */
export interface Observed {
  /** Every flow. */
  flows(): readonly FlowInfo[];
  /** What there was. */
  totals(): Totals;
  /** Flows that ended, by how. */
  endings(): Endings;
  /** Drops by reason. */
  counters(): Counters;
}

/** The report of `gateway`. */
export function reportOf(gateway: Observed): Report {
  return {
    flows: gateway.flows(),
    totals: gateway.totals(),
    endings: gateway.endings(),
    counters: gateway.counters(),
  };
}

interface Column {
  readonly heading: string;
  /** Whether it is aligned to the right. */
  readonly isNumber?: true;
  readonly cell: (flow: FlowInfo) => string;
}

const COLUMNS: readonly Column[] = [
  { heading: "PROTO", cell: (flow) => flow.protocol },
  { heading: "GUEST", cell: (flow) => flow.guest },
  { heading: "HOST", cell: (flow) => flow.host },
  { heading: "STATE", cell: (flow) => flow.state },
  { heading: "FROM GUEST", isNumber: true, cell: (flow) => String(flow.bytesFromGuest) },
  { heading: "TO HOST", isNumber: true, cell: (flow) => String(flow.bytesToHost) },
  { heading: "FROM HOST", isNumber: true, cell: (flow) => String(flow.bytesFromHost) },
  { heading: "TO GUEST", isNumber: true, cell: (flow) => String(flow.bytesToGuest) },
  { heading: "REPEATED", isNumber: true, cell: (flow) => String(flow.retransmissions) },
  { heading: "AGE", isNumber: true, cell: (flow) => formatSeconds(flow.ageMs) },
  { heading: "IDLE", isNumber: true, cell: (flow) => formatSeconds(flow.idleMs) },
  { heading: "TARGET", cell: (flow) => flow.target },
];
/** Only where there are several guests, whose addresses may be the same. */
const GUEST_NUMBER: Column = { heading: "NO", isNumber: true, cell: (flow) => String(flow.guestNumber) };

/** The table of flows with its totals, then what is not 0 of the endings and the drops. Ends with a newline. */
export function formatReport({ flows, totals, endings, counters }: Report): string {
  return formatFlows(flows) + formatEver(totals) +
    formatCounts("flows have ended", endings, FLOW_ENDINGS) +
    formatCounts("frames, packets or flows were dropped or refused", counters, DROP_REASONS);
}

/** What there was since the start; nothing if nothing was. */
function formatEver({ flows, refused, bytesFromGuest, bytesToGuest }: Totals): string {
  if (flows + refused === 0) return "";
  return `since the start: ${flows} flows, ${refused} refused; ${bytesFromGuest} bytes from guests, ${bytesToGuest} to them\n`;
}

/**
 * A line a flow under a heading, columns aligned, and the totals; one sentence if there are none. Ends with a newline.
 */
function formatFlows(flows: readonly FlowInfo[]): string {
  if (flows.length === 0) return "hawser: no flows\n";
  const isAlone = flows.every((flow) => flow.guestNumber === flows[0]!.guestNumber);
  const columns = isAlone ? COLUMNS : [GUEST_NUMBER, ...COLUMNS];
  const rows = flows.map((flow) => columns.map((column) => column.cell(flow)));
  const table = [columns.map((column) => column.heading), ...rows];
  const widths = columns.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  const pad = (cell: string, i: number) => columns[i]!.isNumber ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!);
  const lines = table.map((row) => row.map(pad).join("  ").trimEnd());
  return `${lines.join("\n")}\n${formatTotals(flows)}`;
}

function formatTotals(flows: readonly FlowInfo[]): string {
  const sum = (value: (flow: FlowInfo) => number) => flows.reduce((total, flow) => total + value(flow), 0);
  const protocols = [...new Set(flows.map((flow) => flow.protocol))].sort().map((protocol) =>
    `${sum((flow) => flow.protocol === protocol ? 1 : 0)} ${protocol}`
  );
  return `total: ${protocols.join(", ")}; ${sum((flow) => flow.bytesFromGuest)} bytes from the guest, ` +
    `${sum((flow) => flow.bytesToGuest)} to it, ${sum((flow) => flow.retransmissions)} segments repeated\n`;
}

/** The sum, then a line for each count that is not 0; nothing where all are. */
function formatCounts<K extends string>(what: string, counts: Record<K, number>, meanings: Record<K, string>): string {
  const names = (Object.keys(counts) as K[]).filter((name) => counts[name] > 0);
  if (names.length === 0) return "";
  const total = String(names.reduce((sum, name) => sum + counts[name], 0));
  const width = Math.max(...names.map((name) => name.length));
  const lines = names.map((name) =>
    `  ${name.padEnd(width)}  ${String(counts[name]).padStart(total.length)}  ${meanings[name]}`
  );
  return `${total} ${what}:\n${lines.join("\n")}\n`;
}

function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
