/**
 * `@std/log` where only the npm registry is in reach: a named logger with levels over stderr, in upstream's shape as
 * far as it is used.
 *
 * @module
 */

/** Names of the levels, from the most talkative. */
export type LevelName = "NOTSET" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "CRITICAL";

const LEVELS: Readonly<Record<LevelName, number>> = {
  NOTSET: 0,
  DEBUG: 10,
  INFO: 20,
  WARN: 30,
  ERROR: 40,
  CRITICAL: 50,
};

/** What a handler is given. */
export interface LogRecord {
  /** The message. */
  readonly msg: string;
  /** The level as a number. */
  readonly level: number;
  /** The level's name. */
  readonly levelName: string;
  /** The logger that spoke. */
  readonly loggerName: string;
}

/** Options of a handler. */
export interface BaseHandlerOptions {
  /** Makes the line of a record. */
  formatter?: (record: LogRecord) => string;
}

/** Takes records at or above its level. */
export abstract class BaseHandler {
  readonly #level: number;
  readonly #formatter: (record: LogRecord) => string;

  /** Makes a handler for records at or above `levelName`. */
  constructor(levelName: LevelName, options: BaseHandlerOptions = {}) {
    this.#level = LEVELS[levelName];
    this.#formatter = options.formatter ?? formatRecord;
  }

  /** Writes the record's line if its level is high enough. */
  handle(record: LogRecord): void {
    if (record.level >= this.#level) this.log(this.#formatter(record));
  }

  /** Writes one line. */
  abstract log(msg: string): void;
}

/** Options of a logger. */
export interface LoggerOptions {
  /** Who takes the records. */
  handlers?: BaseHandler[];
}

/** A named logger. */
export class Logger {
  readonly #name: string;
  readonly #level: number;
  readonly #handlers: BaseHandler[];

  /** Makes a logger that passes records at or above `levelName` to its handlers. */
  constructor(loggerName: string, levelName: LevelName, options: LoggerOptions = {}) {
    this.#name = loggerName;
    this.#level = LEVELS[levelName];
    this.#handlers = options.handlers ?? [];
  }

  /** Logs at level DEBUG. */
  debug(msg: string): string {
    return this.#log(msg, "DEBUG");
  }

  /** Logs at level INFO. */
  info(msg: string): string {
    return this.#log(msg, "INFO");
  }

  /** Logs at level WARN. */
  warn(msg: string): string {
    return this.#log(msg, "WARN");
  }

  /** Logs at level ERROR. */
  error(msg: string): string {
    return this.#log(msg, "ERROR");
  }

  #log(msg: string, levelName: LevelName): string {
    const level = LEVELS[levelName];
    if (level < this.#level) return msg;
    for (const handler of this.#handlers) handler.handle({ msg, level, levelName, loggerName: this.#name });
    return msg;
  }
}

function formatRecord(record: LogRecord): string {
  return `${record.levelName} ${record.msg}`;
}
