import { statusOf } from './instance-status.ts';
import type { Backend, Pool, PoolState } from './pool.ts';
import type { InstanceGroup, Snapshot } from './snapshot.ts';

/** Where a name leads, and the name without a `proxy-` that stood for nothing of its own. */
export interface Match {
  readonly state: PoolState;
  readonly asked: string;
}

/** Whether the caller's key opens a pool. */
export type MayUse = (pool: Pool) => boolean;

const PREFIX = 'proxy-';

/**
 * An exact `namespace/name` beats a name beats a model id beats the catch-all; `proxy-MODEL` means MODEL where nothing
 * has that very name.
 */
export function matchModel(snapshot: Snapshot, model: string, mayUse: MayUse): Match | undefined {
  const exact = lookUp(snapshot, model, mayUse);
  if (exact !== undefined) return { state: exact, asked: model };
  const asked = model.startsWith(PREFIX) ? model.slice(PREFIX.length) : model;
  const state = asked === model ? undefined : lookUp(snapshot, asked, mayUse);
  if (state !== undefined) return { state, asked };
  return snapshot.catchAll === undefined ? undefined : { state: snapshot.catchAll, asked };
}

/** An instance by its name or `namespace/name`; never a pool. */
export function matchInstance(snapshot: Snapshot, name: string): PoolState | undefined {
  const found = snapshot.instancesByName.get(name);
  return found?.current === undefined ? undefined : found;
}

function lookUp(snapshot: Snapshot, model: string, mayUse: MayUse): PoolState | undefined {
  return snapshot.byPath.get(model) ?? snapshot.byName.get(model) ?? nextRunning(snapshot, model, mayUse);
}

/**
 * Instances that share a model id take turns; one without a ready endpoint, or that the caller may not use, is passed
 * over while there is another.
 */
function nextRunning(snapshot: Snapshot, model: string, mayUse: MayUse): PoolState | undefined {
  const group = snapshot.byModelId.get(model);
  if (group === undefined) return undefined;
  const isUsable = (state: PoolState): boolean =>
    statusOf(state) === 'running' && state.current !== undefined && mayUse(state.current);
  return nextOfGroup(group, isUsable) ?? nextOfGroup(group, ANY);
}

const ANY = (): boolean => true;

/** The usable one whose turn it is; the turn goes to the one after it. */
export function nextOfGroup(group: InstanceGroup, isUsable: (state: PoolState) => boolean): PoolState | undefined {
  const { states, turn } = group;
  for (let step = 0; step < states.length; step += 1) {
    const index = (turn + step) % states.length;
    const state = states[index] as PoolState;
    if (!isUsable(state)) continue;
    group.turn = index + 1;
    return state;
  }
  return undefined;
}

/** The model that a backend is asked for: by requested name, else the backend's own, else as the client said it. */
export function upstreamModel(pool: Pool, backend: Backend, asked: string): string {
  const byPath = asked === pool.key && !pool.models.includes(asked);
  const name = byPath ? pool.firstModel : asked;
  return backend.modelMap.get(asked) ?? backend.modelMap.get(name) ?? backend.model ?? name;
}
