/**
 * The retransmission timeout (RFC 6298), from one timed segment at a time.
 *
 * SRTT and RTTVAR follow section 2; Karn's rule (section 3) is kept by the caller, who times no segment that was sent
 * twice. Backoff doubles the timeout (section 5.5) until a new measurement, bounded by `RTO_MAX_MS`. Where many
 * repetitions leave nothing to measure for long, the backoff is eased to what the latest answer took.
 *
 * Stated deviation: what is added to the round trip is at least 200 ms, as Linux has it, where section 2.4 has a
 * timeout of at least 1 s: the path is one virtual link and a second of silence after a lost frame is what users
 * complain of.
 *
 * @module
 */

/** Timeout before the first measurement (RFC 6298 section 2.1), in milliseconds. */
export const RTO_INITIAL_MS = 1000;
/** Least time that is waited beyond a round trip, in milliseconds. */
export const RTO_MIN_MS = 200;
/** Greatest timeout, in milliseconds (RFC 6298 section 2.5). */
export const RTO_MAX_MS = 60_000;

/** The state of a round-trip estimator, in milliseconds. */
export interface RttRecord {
  /** The smoothed round-trip time; -1 before the first measurement. */
  srttMs: number;
  /** How much round trips vary. */
  rttvarMs: number;
  /** The timeout, backed off. */
  rtoMs: number;
}

/** Round-trip estimator and retransmission timeout of one connection. */
export class RttEstimator {
  /** All of its state. */
  readonly record: RttRecord = { srttMs: -1, rttvarMs: 0, rtoMs: RTO_INITIAL_MS };

  /** The smoothed round-trip time in milliseconds; -1 before the first measurement. */
  get srttMs(): number {
    return this.record.srttMs;
  }

  /** The current timeout in milliseconds, backed off. */
  get rtoMs(): number {
    return this.record.rtoMs;
  }

  /**
   * When an answer is overdue, in milliseconds: two round trips, or as much as they vary; -1 before the first
   * measurement.
   */
  get overdueMs(): number {
    const { srttMs, rttvarMs } = this.record;
    return srttMs < 0 ? -1 : srttMs + Math.max(srttMs, 4 * rttvarMs);
  }

  /** Takes a measurement in milliseconds; ends any backoff. */
  sample(rttMs: number): void {
    const { record } = this;
    if (record.srttMs < 0) {
      record.srttMs = rttMs;
      record.rttvarMs = rttMs / 2;
    } else {
      record.rttvarMs = 0.75 * record.rttvarMs + 0.25 * Math.abs(record.srttMs - rttMs);
      record.srttMs = 0.875 * record.srttMs + 0.125 * rttMs;
    }
    record.rtoMs = this.#bounded();
  }

  /** Doubles the timeout (section 5.5). */
  backOff(): void {
    this.record.rtoMs = Math.min(this.record.rtoMs * 2, RTO_MAX_MS);
  }

  /**
   * Eases the backoff because data was acknowledged, though no segment could be timed. The answer came `waitedMs` after
   * the first transmission, so a timeout a little longer than that is not too short even if it is the first that was
   * answered.
   */
  restore(waitedMs: number): void {
    const measured = this.record.srttMs < 0 ? RTO_INITIAL_MS : this.#bounded();
    this.record.rtoMs = Math.min(Math.max(measured, waitedMs * 1.125), RTO_MAX_MS);
  }

  #bounded(): number {
    const { srttMs, rttvarMs } = this.record;
    return Math.min(srttMs + Math.max(4 * rttvarMs, RTO_MIN_MS), RTO_MAX_MS);
  }
}
