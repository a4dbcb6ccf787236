import type { Writable } from 'node:stream';
import pino from 'pino';
import { boundedLines } from './bounded-lines.ts';

type Write = (fields: object, message: string) => void;

/** Says what happened, as one JSON line with the fields; an error goes as `err`. Never waits, never throws. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
}

export interface ProgramLog extends Log {
  /** Writes a line of level info that is JSON already, as an access line; without its newline. */
  readonly line: (text: string) => void;
  /** Lines dropped because nobody read the standard error fast enough. */
  readonly dropped: () => number;
  /** Resolves when all has been written, at most a second later. Call it before exiting. */
  readonly flush: () => Promise<void>;
}

export interface LogOptions {
  readonly level: string;
  readonly program: string;
  /** Default: the standard error. */
  readonly stream?: Writable;
  /** What may wait for the reader, in bytes. */
  readonly maxBytes?: number;
}

/** JSON lines on stderr: `level`, `time` (ISO), `program`, the fields, `msg`. */
export function createLog({
  level,
  program,
  stream = process.stderr,
  maxBytes = 4 * 1024 ** 2,
}: LogOptions): ProgramLog {
  const droppedLine = (count: number) =>
    JSON.stringify({ level: 'warn', time: new Date().toISOString(), program, count, msg: 'log lines dropped' });
  const lines = boundedLines({ stream, maxBytes, droppedLine });
  const logger = pino(
    {
      level,
      base: { program },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (text) => lines.push(text.slice(0, -1)) },
  );
  const line = logger.isLevelEnabled('info') ? lines.push : () => undefined;
  const at =
    (name: keyof Log): Write =>
    (fields, message) =>
      logger[name](fields, message);
  return {
    ...{ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    ...{ line, dropped: lines.dropped, flush: () => lines.flush() },
  };
}
