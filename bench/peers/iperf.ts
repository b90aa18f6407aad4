/**
 * What `iperf3 -J` prints, reduced to what is compared.
 *
 * @module
 */

/** A bulk transfer as the receiver saw it. */
export interface Bulk {
  /** Megabits a second that arrived. */
  mbps: number;
  /** Bytes that arrived. */
  bytes: number;
}

/** Datagrams as the receiver saw them. */
export interface Datagrams {
  /** Datagrams a second that arrived. */
  perSecond: number;
  /** Percent of those sent that did not. */
  lossPercent: number;
}

interface Sum {
  bits_per_second?: number;
  bytes?: number;
  packets?: number;
  lost_packets?: number;
  seconds?: number;
}

/** Reads a TCP run. Throws an `Error` where it failed. */
export function parseBulk(json: string): Bulk {
  const received = sumOf(json, "sum_received");
  return { mbps: received.bits_per_second! / 1e6, bytes: received.bytes! };
}

/** Reads a UDP run. Throws an `Error` where it failed. */
export function parseDatagrams(json: string): Datagrams {
  const { packets = 0, lost_packets = 0, seconds = 0 } = sumOf(json, "sum");
  if (packets === 0 || seconds === 0) throw new Error("Cannot read iperf3: no datagram was counted");
  return { perSecond: (packets - lost_packets) / seconds, lossPercent: 100 * lost_packets / packets };
}

function sumOf(json: string, name: "sum" | "sum_received"): Sum {
  let report: { error?: string; end?: Partial<Record<string, Sum>> };
  try {
    report = JSON.parse(json);
  } catch {
    throw new Error(`Cannot read iperf3: no JSON but ${JSON.stringify(json.slice(0, 80))}`);
  }
  if (report.error !== undefined) throw new Error(`Cannot measure with iperf3: ${report.error}`);
  const sum = report.end?.[name];
  if (sum === undefined) throw new Error(`Cannot read iperf3: it has no end.${name}`);
  return sum;
}
