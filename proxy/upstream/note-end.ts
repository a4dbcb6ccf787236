import { wake } from '../admit/queue.ts';
import { countAttempt } from '../metrics/series.ts';
import type { Endpoint, PoolState } from '../pool.ts';
import { outcomeOf } from './outcome.ts';
import { type AttemptEnd, noteResult } from './rest.ts';

/**
 * Counts an attempt that is over after `ms`, and lets its endpoint rest where it has to. Before its slot is given back, or
 * the next call would get a bad one.
 */
export function noteEnd(state: PoolState, { backend, state: endpoint }: Endpoint, end: AttemptEnd, ms: number): void {
  countAttempt(state.series, backend.name, outcomeOf(end.cause), ms / 1000);
  if (state.current === undefined) return;
  const restMs = noteResult(state.current, endpoint, end);
  // Those that wait for a full endpoint may have this one when its rest is over.
  if (restMs !== undefined) setTimeout(wake, restMs + 1, state.queue).unref();
}
