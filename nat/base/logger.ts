/**
 * The logger that modules take: `console` and a logger of `@std/log` both are one.
 *
 * @module
 */

/** Four levels, each taking a finished sentence. */
export interface Logger {
  /** For the developer. */
  debug(message: string): void;
  /** What happens in normal work. */
  info(message: string): void;
  /** What someone should look at. */
  warn(message: string): void;
  /** What failed. */
  error(message: string): void;
}

/** A logger that says nothing. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
