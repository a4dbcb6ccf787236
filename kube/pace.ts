import { setTimeout as sleep } from 'node:timers/promises';

/**
 * CONTRACT §2.6: while the API server answers 410 or 429, a resource is asked for at most 10 times a second per
 * process. 110 ms apart is nine, which leaves room for jitter on the way.
 */
const GAP_MS = 110;
/** Longer than the longest pause of a reflector (6 s), so that a loop of 410 or 429 stays paced throughout. */
const CALM_AFTER_MS = 10_000;

export interface Pacer {
  /** Resolves when the resource may be asked for: at once, but while it is in trouble one call each 110 ms. */
  readonly turn: (resource: string, signal?: AbortSignal) => Promise<void>;
  /** A call for the resource was answered 410 or 429. */
  readonly trouble: (resource: string) => void;
}

/** One for all calls of a process; the clock is monotonic, in ms. */
export function createPacer(clock: () => number = () => performance.now()): Pacer {
  const lastAt = new Map<string, number>();
  const troubledUntil = new Map<string, number>();
  return {
    async turn(resource, signal) {
      const now = clock();
      const troubled = now < (troubledUntil.get(resource) ?? 0);
      const at = troubled ? Math.max(now, (lastAt.get(resource) ?? 0) + GAP_MS) : now;
      lastAt.set(resource, at);
      if (at > now) await sleep(at - now, undefined, signal && { signal });
    },
    trouble(resource) {
      troubledUntil.set(resource, clock() + CALM_AFTER_MS);
    },
  };
}

const RESOURCE_OF_PATH = /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/[^/]+(?=\/))?\/([^/]+)/;

/** `/api/v1/namespaces/a/pods/b` → `/api/v1/pods`: what is paced is the resource, whatever the namespace. */
export function resourceOfPath(path: string): string {
  const match = RESOURCE_OF_PATH.exec(path);
  return match ? `${match[1]}/${match[2]}` : path;
}
