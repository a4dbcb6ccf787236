import type { Writable } from 'node:stream';

/** Lines on their way to a stream that may stop reading. Nothing here waits. */
export interface BoundedLines {
  /** Queues a line (without its newline), or drops and counts it where `maxBytes` are waiting already. */
  readonly push: (line: string) => void;
  /** Lines dropped since the start. */
  readonly dropped: () => number;
  /** Resolves when all has been written, or after `timeoutMs`. */
  readonly flush: (timeoutMs?: number) => Promise<void>;
}

export interface BoundedLinesOptions {
  readonly stream: Writable;
  /** What may wait in memory; a line in it counts as many bytes as it has characters. */
  readonly maxBytes: number;
  /** The line that says how many were dropped, once there is room again. */
  readonly droppedLine: (count: number) => string;
}

/** Lines of one moment leave in one write: a write for each would cost a request a tenth of its time. */
const BATCH_BYTES = 64 * 1024;
const BATCH_MS = 10;

/** Opens the way to `stream`, which nothing else should write to; errors of the stream (a reader that left) only drop lines. */
export function boundedLines({ stream, maxBytes, droppedLine }: BoundedLinesOptions): BoundedLines {
  let batch = '';
  let timer: NodeJS.Timeout | undefined;
  let dropped = 0;
  let reported = 0;
  let broken = false;
  stream.on('error', () => {
    broken = true;
  });
  const writeBatch = () => {
    clearTimeout(timer);
    timer = undefined;
    if (batch === '') return;
    stream.write(batch);
    batch = '';
  };
  const push = (line: string) => {
    if (broken || batch.length + stream.writableLength + line.length >= maxBytes) {
      dropped++;
      return;
    }
    if (dropped > reported) {
      batch += `${droppedLine(dropped - reported)}\n`;
      reported = dropped;
    }
    batch += `${line}\n`;
    if (batch.length >= BATCH_BYTES) writeBatch();
    else timer ??= setTimeout(writeBatch, BATCH_MS).unref();
  };
  const flush = (timeoutMs = 1000) =>
    new Promise<void>((resolve) => {
      writeBatch();
      if (broken || stream.writableLength === 0) return resolve();
      const deadline = setTimeout(resolve, timeoutMs);
      stream.write('', () => {
        clearTimeout(deadline);
        resolve();
      });
    });
  return { push, dropped: () => dropped, flush };
}
