/**
 * The congestion window (RFC 5681), for a path that is one virtual link.
 *
 * It starts as large as the send queue may be, because nothing but the guest lies behind the link, so it bounds nothing
 * until something is lost. A loss found by duplicate ACKs or SACK halves it (section 3.2), a timeout sets it to one
 * segment (section 3.1), and it grows again by slow start and congestion avoidance, by whole bytes. A restart after
 * idleness is not treated specially: the path has no one else on it.
 *
 * @module
 */

/** The state of a congestion window, in bytes. */
export interface CongestionRecord {
  /** The window. */
  window: number;
  /** The slow-start threshold. */
  threshold: number;
  /** The most that the window grows to. */
  most: number;
}

/** Slow start, congestion avoidance and the two answers to loss, in bytes. */
export class CongestionWindow {
  /** All of its state. */
  readonly record: CongestionRecord;

  /** Starts with `initial` bytes, which is also the most it grows to. */
  constructor(initial: number) {
    this.record = { window: initial, threshold: Infinity, most: initial };
  }

  /** The window in bytes. */
  get bytes(): number {
    return this.record.window;
  }

  /** The slow-start threshold in bytes. */
  get threshold(): number {
    return this.record.threshold;
  }

  /** New data of `bytes` was acknowledged outside of recovery (RFC 5681 section 3.1, RFC 3465 counting). */
  acknowledged(bytes: number, mss: number): void {
    const { record } = this;
    if (record.window >= record.most) return;
    const growth = record.window < record.threshold
      ? Math.min(bytes, 2 * mss)
      : Math.max(1, Math.floor(mss * bytes / record.window));
    record.window = Math.min(record.window + growth, record.most);
  }

  /** A loss was found while `flight` bytes were outstanding (RFC 5681 section 3.2, RFC 6675 section 5). */
  lost(flight: number, mss: number): void {
    this.record.window = this.record.threshold = Math.max(flight >>> 1, 2 * mss);
  }

  /** The retransmission timer fired with `flight` bytes outstanding (RFC 5681 section 3.1). */
  timedOut(flight: number, mss: number): void {
    this.record.threshold = Math.max(flight >>> 1, 2 * mss);
    this.record.window = mss;
  }
}
