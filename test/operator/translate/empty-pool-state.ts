import { createLimitState } from '../../../proxy/admit/limits.ts';
import { createQueue } from '../../../proxy/admit/queue.ts';
import { createRetryBudget } from '../../../proxy/admit/retry-budget.ts';
import { createSeries } from '../../../proxy/metrics/series.ts';
import type { PoolState } from '../../../proxy/pool.ts';

/** Of a pool that was never served. */
export function emptyPoolState(key: string): PoolState {
  return {
    ...{ key, current: undefined, inFlight: 0, isStopped: false, meanSeconds: 1, maxBatch: undefined },
    queue: createQueue(),
    retries: createRetryBudget(),
    limits: createLimitState(key),
    conversations: new Map(),
    backends: new Map(),
    endpoints: new Map(),
    series: createSeries(),
  };
}
