import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../../program/log.ts';
import type { Documents } from './documents.ts';
import { readLastGood, restoreLastGood } from './last-good.ts';
import { readLastProxies, restoreLastProxies } from './last-proxies.ts';

/** What was read through the API until now. */
export interface ReadSoFar {
  readonly sources: () => ReadonlySet<string>;
  /** Puts all of it once more. */
  readonly replay: () => void;
}

export interface FallbackOptions {
  readonly snapshotDir: string;
  readonly documents: Documents;
  readonly log: Log;
  readonly reader: ReadSoFar;
  readonly answerWithinMs?: number;
}

export interface Fallback {
  /** All was read through the API: what only the last good documents hold is gone. */
  readonly supersede: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const ANSWER_WITHIN_MS = 5_000;

/** Serves the last good documents when not all that is published was read in time. */
export function startFallback(options: FallbackOptions): Fallback {
  const { snapshotDir, documents, log, reader, answerWithinMs = ANSWER_WITHIN_MS } = options;
  let isOver = false;
  let restored: ReadonlySet<string> = new Set();
  let work = Promise.resolve();

  const fallBack = async (): Promise<void> => {
    const [saved, proxies] = await Promise.all([readLastGood(snapshotDir, log), readLastProxies(snapshotDir, log)]);
    if (isOver) return;
    const fields = { answerWithinMs, dir: snapshotDir, documents: saved?.length ?? 0 };
    if (saved === undefined) {
      log.warn(
        fields,
        'the API server has not answered yet and there are no last good documents; not ready, trying on',
      );
      return;
    }
    log.warn(fields, 'the API server has not answered yet; serving the last good documents');
    restored = new Set([...restoreLastGood(saved, documents), ...restoreLastProxies(proxies, documents)]);
    documents.settle('snapshot');
    // They are whole only together: what was read already, of some kinds, counts from the turn after.
    await nextTurn();
    reader.replay();
  };

  const timer = setTimeout(() => {
    work = fallBack();
  }, answerWithinMs);

  const stop = (): Promise<void> => {
    isOver = true;
    clearTimeout(timer);
    return work;
  };

  return {
    stop,
    supersede: async () => {
      await stop();
      const read = reader.sources();
      for (const source of restored) if (!read.has(source)) documents.remove(source);
    },
  };
}
