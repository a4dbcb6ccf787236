/** Monotonic milliseconds. */
export type Clock = () => number;

export interface Bucket {
  /** Takes one turn, and gives 0; or takes none, and gives the milliseconds until there is one. */
  readonly take: (key: string) => number;
}

/** Turns by key: `burst` at once, then one each `intervalMs`. */
export function createBucket(options: { burst: number; intervalMs: number }, clock: Clock): Bucket {
  const { burst, intervalMs } = options;
  /** When all turns of a key are there again. */
  const fullAt = createTimes(clock);
  return {
    take: (key) => {
      const now = clock();
      const full = Math.max(fullAt.get(key), now);
      const waitMs = full - now - (burst - 1) * intervalMs;
      if (waitMs > 0) return Math.ceil(waitMs);
      fullAt.set(key, full + intervalMs);
      return 0;
    },
  };
}

export interface Gate {
  /** The milliseconds until the key may go on; 0: now. */
  readonly waitMs: (key: string) => number;
  /** It went on, with so many writes. */
  readonly passed: (key: string, writes: number) => void;
}

/** The first at once, then so that the writes of a key stay below one each `intervalMs`. */
export function createGate(intervalMs: number, clock: Clock): Gate {
  const openAt = createTimes(clock);
  return {
    waitMs: (key) => Math.max(0, Math.ceil(openAt.get(key) - clock())),
    passed: (key, writes) => {
      if (writes > 0) openAt.set(key, clock() + writes * intervalMs);
    },
  };
}

const PRUNED_FROM = 1_000;

/** Times to come by key; those gone by are forgotten, so that keys of the past do not pile up. */
function createTimes(clock: Clock): { get(key: string): number; set(key: string, at: number): void } {
  const times = new Map<string, number>();
  let pruneAt = PRUNED_FROM;
  return {
    get: (key) => times.get(key) ?? Number.NEGATIVE_INFINITY,
    set: (key, at) => {
      times.set(key, at);
      if (times.size < pruneAt) return;
      const now = clock();
      for (const [other, time] of times) if (time <= now) times.delete(other);
      pruneAt = Math.max(PRUNED_FROM, times.size * 2);
    },
  };
}
