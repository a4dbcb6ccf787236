import type { Log } from '../program/log.ts';
import { ApiError } from './api-error.ts';

export interface Workqueue {
  /** Wants the key processed; many adds before it starts are one. Added while it runs, it runs once more. */
  readonly add: (key: string) => void;
  /** As add, after ms; an earlier time already set for the key stays. */
  readonly addAfter: (key: string, ms: number) => void;
  /** Keys that wait to be processed now; those waiting for their time are not counted. */
  readonly size: () => number;
  /** Starts nothing more; resolves when what runs has ended. */
  readonly close: () => Promise<void>;
}

export interface WorkqueueOptions {
  /** Reads the latest state of the key and acts on it. A rejection means: again, later. */
  readonly process: (key: string) => Promise<void>;
  /** How many keys at once; never the same one. Default 4. */
  readonly concurrency?: number;
  readonly log: Log;
  /** The first pause after a failure, doubled with each further one of the key (client-go's 5 ms). */
  readonly minRetryMs?: number;
  /**
   * The longest. Not client-go's 1000 s: whatever failed while the API server was away must be done within 10 s of
   * its return (CONTRACT §2.6).
   */
  readonly maxRetryMs?: number;
}

const MAX_RETRY_AFTER_MS = 60_000;

/** Keys to reconcile: each at most once at a time, retried with backoff of its own, in the order they came. */
export function createWorkqueue(options: WorkqueueOptions): Workqueue {
  const { process, concurrency = 4, log, minRetryMs = 5, maxRetryMs = 5_000 } = options;
  const waiting = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const failures = new Map<string, number>();
  const later = createTimes((key) => add(key));
  let closed = false;

  const failed = (key: string, error: unknown): void => {
    const count = failures.get(key) ?? 0;
    failures.set(key, count + 1);
    const retryAfterMs = Math.min(MAX_RETRY_AFTER_MS, (error instanceof ApiError && error.retryAfterMs) || 0);
    const retryInMs = Math.max(Math.min(maxRetryMs, minRetryMs * 2 ** count), retryAfterMs);
    // Two thousand keys that fail for one reason should not fill the log: the first time, then each tenth.
    log[count % 10 === 0 ? 'warn' : 'debug']({ err: error, key, retryInMs }, 'reconcile failed');
    if (!closed) later.set(key, retryInMs);
  };
  const run = async (key: string): Promise<void> => {
    try {
      // What `process` throws at once must be a rejection too: `running` is set only after this line is reached.
      await new Promise<void>((resolve) => resolve(process(key)));
      failures.delete(key);
    } catch (error) {
      failed(key, error);
    }
    running.delete(key);
    startNext();
  };
  const startNext = (): void => {
    for (const key of waiting) {
      if (closed || running.size >= concurrency) return;
      if (running.has(key)) continue;
      waiting.delete(key);
      running.set(key, run(key));
    }
  };
  const add = (key: string): void => {
    if (closed) return;
    waiting.add(key);
    startNext();
  };
  return {
    add,
    addAfter: (key, ms) => {
      if (!closed) later.set(key, ms);
    },
    size: () => waiting.size,
    close: async () => {
      closed = true;
      waiting.clear();
      later.clear();
      await Promise.all(running.values());
    },
  };
}

/** One timer per key, the earliest asked for. */
function createTimes(due: (key: string) => void): { set(key: string, ms: number): void; clear(): void } {
  const timers = new Map<string, { readonly at: number; readonly timer: NodeJS.Timeout }>();
  return {
    set(key, ms) {
      const at = performance.now() + ms;
      const set = timers.get(key);
      if (set && set.at <= at) return;
      clearTimeout(set?.timer);
      const timer = setTimeout(() => {
        timers.delete(key);
        due(key);
      }, ms);
      timers.set(key, { at, timer });
    },
    clear() {
      for (const { timer } of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
