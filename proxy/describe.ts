import { type InstanceStatus, statusOf } from './instance-status.ts';
import type { Backend, Pool, PoolState } from './pool.ts';
import type { Snapshot } from './snapshot.ts';
import { stateOf } from './upstream/rest.ts';

/** `/pools` and `/instances`: what is served, as the request path sees it at this moment. */

export interface PoolView {
  readonly namespace: string;
  readonly name: string;
  readonly models: readonly string[];
  readonly revision: string;
  readonly queue: { readonly depth: number };
  readonly inFlight: number;
  readonly endpoints: readonly EndpointView[];
}

export interface EndpointView {
  readonly backend: string;
  readonly address: string;
  readonly tier: number;
  readonly weight: number;
  /** Of its tier's calls, 0 to 1. */
  readonly share: number;
  readonly state: 'ready' | 'cooling' | 'ejected' | 'unhealthy';
  readonly reason: string;
  readonly inFlight: number;
  readonly cooldownSeconds: number;
}

export interface InstanceView {
  readonly name: string;
  readonly model: string | null;
  readonly protocol: 'GRPC' | 'HTTP';
  readonly status: InstanceStatus;
  readonly endpoints: number;
}

/** One view, or none for an instance or a pool that is gone. */
export function describePool(state: PoolState, now: number): PoolView[] {
  const pool = state.current;
  if (pool?.kind !== 'LLMPool') return [];
  const { namespace, name, models, revision } = pool;
  const { inFlight, queue } = state;
  return [
    { namespace, name, models, revision, queue: { depth: queue.size }, inFlight, endpoints: endpointsOf(pool, now) },
  ];
}

/** Sorted by name: the order that an index counts in. */
export function listInstances(snapshot: Snapshot): InstanceView[] {
  const views = [...snapshot.states.values()].flatMap(describeInstance);
  return views.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** One view, or none for a pool. */
export function describeInstance(state: PoolState): InstanceView[] {
  const { current } = state;
  if (current?.instance === undefined) return [];
  const { instanceName, model = null, protocol } = current.instance;
  const endpoints = current.tiers.flatMap(({ backends }) => backends).flatMap((backend) => backend.endpoints).length;
  return [{ name: instanceName, model, protocol, status: statusOf(state), endpoints }];
}

function endpointsOf(pool: Pool, now: number): EndpointView[] {
  return pool.tiers.flatMap(({ tier, backends }) => {
    const total = backends.reduce((sum, backend) => sum + (backend.endpoints.length > 0 ? backend.weight : 0), 0);
    return backends.flatMap((backend) => viewsOf(backend, tier, total === 0 ? 0 : backend.weight / total, now));
  });
}

function viewsOf(
  { name, weight, endpoints, unready }: Backend,
  tier: number,
  ofTier: number,
  now: number,
): EndpointView[] {
  const shared = { backend: name, tier, weight };
  const share = endpoints.length === 0 ? 0 : ofTier / endpoints.length;
  return [
    ...endpoints.map(({ address, state }) => ({
      ...{ ...shared, address, share, inFlight: state.inFlight },
      ...stateOf(state, now),
    })),
    ...unready.map((address) => ({
      ...{ ...shared, address, share: 0, inFlight: 0, cooldownSeconds: 0 },
      ...{ state: 'unhealthy' as const, reason: 'not ready' },
    })),
  ];
}
