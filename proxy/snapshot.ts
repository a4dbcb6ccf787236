import { createLimitState } from './admit/limits.ts';
import { createQueue } from './admit/queue.ts';
import { createRetryBudget } from './admit/retry-budget.ts';
import { type CompileDeps, closeEndpoint, compilePool } from './compile.ts';
import type { OwnerInput } from './config/documents.ts';
import { ownerKey } from './config/schema.ts';
import { createSeries } from './metrics/series.ts';
import type { Pool, PoolState } from './pool.ts';

/** Everything a request reads: immutable, replaced as a whole. */
export interface Snapshot {
  /** By ownerKey, sorted. */
  readonly states: ReadonlyMap<string, PoolState>;
  /** `namespace/name`, of pools and of instances. */
  readonly byPath: ReadonlyMap<string, PoolState>;
  /** Models of pools and names of instances, without the catch-all. */
  readonly byName: ReadonlyMap<string, PoolState>;
  /** Instances by instanceName and by `namespace/name`. */
  readonly instancesByName: ReadonlyMap<string, PoolState>;
  /** Instances that run a model, and whose turn it is, for calls by model id. */
  readonly byModelId: ReadonlyMap<string, InstanceGroup>;
  /** All that have their name, sorted by it, for calls by index. */
  readonly instances: InstanceGroup;
  readonly catchAll: PoolState | undefined;
}

/** Instances that a call may go to alike. */
export interface InstanceGroup {
  readonly states: readonly PoolState[];
  /** Whose turn it is. */
  turn: number;
}

const EMPTY_SNAPSHOT: Snapshot = {
  states: new Map(),
  byPath: new Map(),
  byName: new Map(),
  instancesByName: new Map(),
  byModelId: new Map(),
  instances: { states: [], turn: 0 },
  catchAll: undefined,
};

/** Holds the current snapshot and follows the documents. */
export interface Snapshots {
  readonly current: () => Snapshot;
  /**
   * Compiles one owner's documents; on success they are what the next `publish` serves.
   * @throws Error that names the field; the owner's last good version stays.
   */
  readonly load: (input: OwnerInput) => void;
  /** One assignment of all that was loaded since; wakes those that wait in a changed pool. */
  readonly publish: () => void;
  /** Lets go of all connections to upstreams; calls under way end as they would. */
  readonly close: () => void;
}

export function createSnapshots(deps: CompileDeps, wake: (state: PoolState) => void): Snapshots {
  const states = new Map<string, PoolState>();
  const touched = new Set<PoolState>();
  let current = EMPTY_SNAPSHOT;
  let namesChanged = false;

  const remove = (key: string): void => {
    const state = states.get(key);
    if (state === undefined) return;
    states.delete(key);
    for (const endpoint of state.endpoints.values()) closeEndpoint(endpoint);
    state.endpoints = new Map();
    state.current = undefined;
    namesChanged = true;
    touched.add(state);
  };

  const load = (input: OwnerInput): void => {
    const key = ownerKey(input.owner);
    if ('removed' in input) {
      remove(key);
      return;
    }
    const known = states.get(key);
    const state = known ?? emptyState(`${input.owner.namespace}/${input.owner.name}`);
    const before = state.current;
    const pool = compilePool(input, state, deps);
    state.current = pool;
    states.set(key, state);
    if (known === undefined || before === undefined || !sameNames(before, pool)) namesChanged = true;
    touched.add(state);
  };

  const publish = (): void => {
    if (namesChanged) current = index(states);
    namesChanged = false;
    for (const state of touched) wake(state);
    touched.clear();
  };

  const close = (): void => {
    for (const state of states.values()) for (const endpoint of state.endpoints.values()) closeEndpoint(endpoint);
  };

  return { current: () => current, load, publish, close };
}

function emptyState(key: string): PoolState {
  return {
    key,
    current: undefined,
    inFlight: 0,
    isStopped: false,
    queue: createQueue(),
    retries: createRetryBudget(),
    limits: createLimitState(key),
    conversations: new Map(),
    maxBatch: undefined,
    backends: new Map(),
    endpoints: new Map(),
    series: createSeries(),
    meanSeconds: 1,
  };
}

function sameNames(a: Pool, b: Pool): boolean {
  // A name may hold anything but control characters.
  return a.models.join('\n') === b.models.join('\n') && a.instance?.model === b.instance?.model;
}

/** While a name moves from one document to another both may hold it for a moment; the first in order has it. */
function index(states: ReadonlyMap<string, PoolState>): Snapshot {
  const sorted = new Map([...states].sort(([a], [b]) => (a < b ? -1 : 1)));
  const byPath = new Map<string, PoolState>();
  const byName = new Map<string, PoolState>();
  const instancesByName = new Map<string, PoolState>();
  const byModelId = new Map<string, { states: PoolState[]; turn: number }>();
  const instances: PoolState[] = [];
  for (const state of sorted.values()) {
    const pool = state.current;
    if (pool === undefined) continue;
    if (pool.kind === 'LLMPool' || !byPath.has(pool.key)) byPath.set(pool.key, state);
    for (const name of pool.models) if (!byName.has(name)) byName.set(name, state);
    if (pool.instance === undefined) continue;
    instancesByName.set(pool.key, state);
    if (pool.models.length > 0) {
      instancesByName.set(pool.instance.instanceName, state);
      instances.push(state);
    }
    const id = pool.instance.model;
    if (id === undefined) continue;
    const group = byModelId.get(id);
    if (group === undefined) byModelId.set(id, { states: [state], turn: 0 });
    else group.states.push(state);
  }
  const catchAll = byName.get('*');
  byName.delete('*');
  instances.sort((a, b) => (instanceNameOf(a) < instanceNameOf(b) ? -1 : 1));
  return {
    states: sorted,
    byPath,
    byName,
    instancesByName,
    byModelId,
    instances: { states: instances, turn: 0 },
    catchAll,
  };
}

function instanceNameOf({ current }: PoolState): string {
  return current?.instance?.instanceName ?? '';
}
