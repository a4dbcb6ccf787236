import type { Log } from '../../program/log.ts';

export interface RecordedLog extends Log {
  readonly lines: { readonly level: string; readonly message: string; readonly fields: object }[];
}

/** A log that keeps what it is told. */
export function recordLog(): RecordedLog {
  const lines: RecordedLog['lines'] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
