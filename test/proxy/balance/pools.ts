import { createSeries } from '../../../proxy/metrics/series.ts';
import type { Backend, Endpoint, Pool, PoolState } from '../../../proxy/pool.ts';
import type { Connections } from '../../../proxy/upstream/connections.ts';

/** A pool of nothing but numbers, for what never opens a connection. */
export interface BackendPlan {
  readonly name: string;
  readonly weight?: number;
  readonly tier?: number;
  readonly endpoints?: number;
  readonly maxConcurrent?: number;
}

export function poolOf(plans: readonly BackendPlan[], more: Partial<Pool> = {}): Pool {
  const tiers = [...new Set(plans.map(({ tier = 0 }) => tier))].sort();
  return {
    ...{ kind: 'LLMPool', namespace: 'ml', name: 'chat', key: 'ml/chat', revision: 'r1', models: ['chat'] },
    ...{ firstModel: 'chat', strategy: 'Weighted', maxConcurrent: Number.POSITIVE_INFINITY },
    queue: { maxDepth: 1000, timeoutMs: 60_000 },
    timeouts: { connectMs: 0, firstByteMs: 0, idleMs: 0, requestMs: 0 },
    retry: { attempts: 3, backoffMs: 25 },
    tiers: tiers.map((tier) => ({ tier, backends: plans.filter((plan) => (plan.tier ?? 0) === tier).map(backendOf) })),
    ...more,
  } as Pool;
}

export function stateOf(pool: Pool | undefined): PoolState {
  return {
    ...{ key: 'ml/chat', current: pool, inFlight: 0, waiters: new Set(), backends: new Map(), endpoints: new Map() },
    ...{ series: createSeries(), meanSeconds: 1 },
  };
}

function backendOf({
  name,
  weight = 1,
  endpoints = 1,
  maxConcurrent = Number.POSITIVE_INFINITY,
}: BackendPlan): Backend {
  const members: Endpoint[] = [];
  const backend: Backend = {
    ...{ name, weight, maxConcurrent, model: undefined, modelMap: new Map(), headers: [], query: '' },
    ...{ endpoints: members, unready: [], state: { currentWeight: 0, nextEndpoint: 0 } },
  };
  for (let n = 0; n < endpoints; n += 1) {
    const state = { inFlight: 0, connections: undefined as unknown as Connections };
    members.push({ backend, address: `${name}-${n}`, basePath: '', state });
  }
  return backend;
}
