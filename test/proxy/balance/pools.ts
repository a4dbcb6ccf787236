import { createLimitState } from '../../../proxy/admit/limits.ts';
import { createQueue } from '../../../proxy/admit/queue.ts';
import { createRetryBudget } from '../../../proxy/admit/retry-budget.ts';
import { hashOf } from '../../../proxy/balance/rendezvous.ts';
import { createSeries } from '../../../proxy/metrics/series.ts';
import type { Backend, Endpoint, EndpointState, Pool, PoolState, Tier } from '../../../proxy/pool.ts';
import type { Connections } from '../../../proxy/upstream/http1/connection.ts';

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
    queue: { maxDepth: 1000, timeoutMs: 60_000, spillAfterMs: 500 },
    timeouts: { connectMs: 0, firstByteMs: 0, idleMs: 0, requestMs: 0 },
    retry: { attempts: 3, backoffMs: 25, budgetPercent: 20 },
    ejection: { consecutiveFailures: 5, failureMs: 15_000, rateLimitedMs: 60_000, maxCooldownMs: 300_000 },
    ...{ healthCheck: undefined, limits: undefined, access: undefined, tellsClientsApart: true, affinityHeader: '' },
    prefixHash: { loadFactorPercent: 125, prefixBytes: 256 },
    tiers: tiers.map((tier) => tierOf(tier, plans)),
    ...more,
  } as Pool;
}

function tierOf(tier: number, plans: readonly BackendPlan[]): Tier {
  const backends = plans.filter((plan) => (plan.tier ?? 0) === tier).map(backendOf);
  return { tier, backends, endpoints: backends.flatMap(({ weight, endpoints }) => (weight > 0 ? endpoints : [])) };
}

export function stateOf(pool: Pool | undefined): PoolState {
  return {
    ...{
      key: 'ml/chat',
      current: pool,
      inFlight: 0,
      isStopped: false,
      queue: createQueue(),
      backends: new Map(),
      endpoints: new Map(),
    },
    ...{ retries: createRetryBudget(), limits: createLimitState('ml/chat'), conversations: new Map() },
    ...{ series: createSeries(), meanSeconds: 1, maxBatch: undefined },
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
    const state = endpointState(`${name}-${n}`);
    members.push({ backend, address: `${name}-${n}`, basePath: '', weight: weight / endpoints, state });
  }
  return backend;
}

function endpointState(identity: string): EndpointState {
  return {
    ...{ inFlight: 0, restUntil: 0, restReason: 'failures', isProbing: false, failures: 0, ejections: 0 },
    ...{ isHealthy: true, contraryChecks: 0, nextCheckAt: 0, recoveredAt: 0, hash: hashOf(identity) },
    connections: undefined as unknown as Connections,
    sessions: undefined,
  };
}
