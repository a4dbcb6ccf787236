import { echo, ProxyError } from '../errors.ts';
import type { PoolState } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';

/** OpenAI's model object. Nothing here knows when a model was made: the field is there because SDKs want it. */
interface Model {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/** `GET /v1/models`: every name that leads somewhere, sorted. A CR without a flat name is listed by its path. */
export function listModels(snapshot: Snapshot): { object: 'list'; data: Model[] } {
  const ids = new Set([...snapshot.byName.keys(), ...snapshot.byModelId.keys()]);
  for (const state of snapshot.states.values()) if (isNameless(state)) ids.add(state.key);
  return { object: 'list', data: [...ids].sort().map(describe) };
}

/** `GET /v1/models/{id}`. */
export function getModel(snapshot: Snapshot, id: string): Model {
  const known = snapshot.byPath.has(id) || snapshot.byName.has(id) || snapshot.byModelId.has(id);
  if (!known) throw new ProxyError('model_not_found', `The model ${echo(id)} does not exist`, { param: 'model' });
  return describe(id);
}

function isNameless({ current }: PoolState): boolean {
  return current !== undefined && current.models.length === 0 && current.instance?.model === undefined;
}

function describe(id: string): Model {
  return { id, object: 'model', created: 0, owned_by: 'sluice' };
}
