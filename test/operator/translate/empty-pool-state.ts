import { createSeries } from '../../../proxy/metrics/series.ts';
import type { PoolState } from '../../../proxy/pool.ts';

/** Of a pool that was never served. */
export function emptyPoolState(key: string): PoolState {
  return {
    ...{ key, current: undefined, inFlight: 0, meanSeconds: 1 },
    waiters: new Set(),
    backends: new Map(),
    endpoints: new Map(),
    series: createSeries(),
  };
}
