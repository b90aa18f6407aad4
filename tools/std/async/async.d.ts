// Types of the asynchronous helpers in use; `npm:deno-std` carries none.

/** Options of `delay`. */
export interface DelayOptions {
  /** Ends the delay early: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Whether the delay keeps the process alive; `true` unless told. */
  persistent?: boolean;
}

/** Options of `deadline`. */
export interface DeadlineOptions {
  /** Rejects the promise early with the signal's reason. */
  signal?: AbortSignal;
}

/** Resolves after `ms` milliseconds. */
export function delay(ms: number, options?: DelayOptions): Promise<void>;
/** Settles as `p` does, or rejects with a `DOMException` named `TimeoutError` after `ms` milliseconds. */
export function deadline<T>(p: Promise<T>, ms: number, options?: DeadlineOptions): Promise<T>;
