import { echo, ProxyError } from '../errors.ts';
import type { MayUse } from '../match.ts';
import type { PoolState } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';

/** OpenAI's model object. Nothing here knows when a model was made: the field is there because SDKs want it. */
interface Model {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/**
 * `GET /v1/models`: every name that leads somewhere the caller may go, once and sorted. A CR without a flat name is
 * listed by its path.
 */
export function listModels(snapshot: Snapshot, mayUse: MayUse): { object: 'list'; data: Model[] } {
  const ids = new Set([...snapshot.byName.keys(), ...snapshot.byModelId.keys()]);
  for (const state of snapshot.states.values()) if (isNameless(state)) ids.add(state.key);
  const usable = [...ids].filter((id) => leadsOn(snapshot, id, mayUse));
  return { object: 'list', data: usable.sort().map(describe) };
}

/** `GET /v1/models/{id}`. @throws ProxyError model_not_found, also where the caller may not use it. */
export function getModel(snapshot: Snapshot, id: string, mayUse: MayUse): Model {
  if (leadsOn(snapshot, id, mayUse)) return describe(id);
  throw new ProxyError('model_not_found', `The model ${echo(id)} does not exist`, { param: 'model' });
}

function leadsOn(snapshot: Snapshot, id: string, mayUse: MayUse): boolean {
  const state = snapshot.byPath.get(id) ?? snapshot.byName.get(id);
  const states = state === undefined ? (snapshot.byModelId.get(id)?.states ?? []) : [state];
  return states.some(({ current }) => current !== undefined && mayUse(current));
}

function isNameless({ current }: PoolState): boolean {
  return current !== undefined && current.models.length === 0 && current.instance?.model === undefined;
}

function describe(id: string): Model {
  return { id, object: 'model', created: 0, owned_by: 'sluice' };
}
