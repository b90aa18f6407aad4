/**
 * What makes a connection, as plain data.
 *
 * Each class of `nat/tcp/` that has state keeps all of it in one `record`: numbers, booleans and strings by name, and
 * arrays of them. Beside the record a class has references to others and nothing else; a house test looks. So a
 * connection can be written down at the end of a turn: these records and the bytes of the two queues are all of it.
 *
 * Times are in `now()` time, so what is left of a deadline is its difference to `now()`. The timer holds nothing of its
 * own: `Deadlines.schedule` arms it from the records.
 *
 * @module
 */
import type { CongestionRecord } from "./congestion.ts";
import type { DeadlinesRecord } from "./deadlines.ts";
import type { OutputRecord } from "./output.ts";
import type { ReassemblyRecord } from "./reassembly.ts";
import type { ReceiveRecord } from "./receive_side.ts";
import type { RecoveryRecord } from "./recovery.ts";
import type { RttRecord } from "./rtt.ts";
import type { ScoreboardRecord } from "./scoreboard.ts";
import type { SendRecord } from "./send_side.ts";
import type { SilenceRecord } from "./silence.ts";
import type { TransmitterRecord } from "./transmitter.ts";
import type { TcpState } from "./transitions.ts";

/** The state of an endpoint beside that of its parts. */
export interface EndpointRecord {
  /** The state by its RFC 9293 name. */
  state: TcpState;
  /** Whether it has ended; TIME-WAIT may be left of it. */
  ended: boolean;
  /** Whether its user knows that something is due at the end of the turn. */
  turnDue: boolean;
  /** Whether the user asked for an end by RST once everything queued is acknowledged. */
  resetWhenSent: boolean;
}

/** The records of an endpoint and all of its parts. */
export interface TcpRecords {
  /** The endpoint's own. */
  readonly endpoint: EndpointRecord;
  /** What is sent; the bytes are in its queue. */
  readonly send: SendRecord;
  /** Round trips. */
  readonly rtt: RttRecord;
  /** The congestion window. */
  readonly congestion: CongestionRecord;
  /** What was lost. */
  readonly recovery: RecoveryRecord;
  /** What the peer has reported; `null`: nothing. */
  readonly scoreboard: ScoreboardRecord | null;
  /** What is sent when. */
  readonly output: OutputRecord;
  /** Segments as bytes. */
  readonly transmitter: TransmitterRecord;
  /** What was received; the bytes are in its queue. */
  readonly receive: ReceiveRecord;
  /** What came before its turn; `null`: nothing. */
  readonly reassembly: ReassemblyRecord | null;
  /** Deadlines. */
  readonly deadlines: DeadlinesRecord;
  /** How long the peer has been silent. */
  readonly silence: SilenceRecord;
}
