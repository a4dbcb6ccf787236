export interface Backoff {
  /** How long to wait after one more failure, in ms. */
  readonly next: () => number;
}

export interface BackoffTimings {
  readonly minMs: number;
  readonly maxMs: number;
  /** Without a failure for this long, the next one waits `minMs` again. */
  readonly stableMs: number;
}

/** Doubling pauses from minMs to maxMs, each × 0.8 … 1.2 so that many clients do not return at once. */
export function createBackoff(
  { minMs, maxMs, stableMs }: BackoffTimings,
  clock: () => number,
  random: () => number,
): Backoff {
  let pauseMs = minMs;
  let resumedAt = -Infinity;
  return {
    next() {
      if (clock() - resumedAt >= stableMs) pauseMs = minMs;
      const waitMs = pauseMs * (0.8 + 0.4 * random());
      pauseMs = Math.min(maxMs, pauseMs * 2);
      resumedAt = clock() + waitMs;
      return waitMs;
    },
  };
}
