import { presentedKey, usableWith } from '../admit/access.ts';
import { echo } from '../errors.ts';
import { statusOf } from '../instance-status.ts';
import { type MayUse, matchInstance, nextOfGroup } from '../match.ts';
import type { PoolState } from '../pool.ts';
import type { InstanceGroup, Snapshot } from '../snapshot.ts';
import { isStatus, type Status, status } from './codes.ts';
import { type Target, targetInMetadata } from './target.ts';

/** An instance, and those of which it is one where the target means any of them. */
export interface Found {
  readonly state: PoolState;
  readonly group: InstanceGroup | undefined;
}

/**
 * The instance that a target means: by name or `namespace/name`, by index (0: the next that runs; n: the n-th by name),
 * by model id (the next that runs). Without a target the call's metadata says so; else it is the only one there is.
 * Instances of a group whose turn it is not, that do not run or that the caller may not use are passed over, while there
 * is a better one.
 */
export function findInstance(
  snapshot: Snapshot,
  target: Target | undefined,
  rawHeaders: readonly string[],
): Found | Status {
  const meant = target ?? targetInMetadata(rawHeaders);
  if (meant === undefined) return onlyOne(snapshot.instances);
  if (isStatus(meant)) return meant;
  if (meant.by === 'name') return byName(snapshot, meant.name);
  if (meant.by === 'model') {
    const group = snapshot.byModelId.get(meant.model);
    if (group === undefined) return status('NOT_FOUND', `Model ${echo(meant.model)} not found`);
    return firstOf(group, rawHeaders);
  }
  if (meant.index > 0) return byIndex(snapshot.instances, meant.index);
  if (snapshot.instances.states.length === 0) return status('NOT_FOUND', 'There is no instance');
  return firstOf(snapshot.instances, rawHeaders);
}

/** Another one of the group, which was not asked yet: only one that runs, and that the caller may use. */
export function nextInstance(
  group: InstanceGroup,
  asked: readonly PoolState[],
  rawHeaders: readonly string[],
): PoolState | undefined {
  const isGood = goodFor(rawHeaders);
  return nextOfGroup(group, (state) => !asked.includes(state) && isGood(state));
}

function byName(snapshot: Snapshot, name: string): Found | Status {
  const state = matchInstance(snapshot, name);
  return state === undefined ? status('NOT_FOUND', `Instance ${echo(name)} not found`) : { state, group: undefined };
}

function byIndex({ states }: InstanceGroup, index: number): Found | Status {
  const state = states[index - 1];
  if (state !== undefined) return { state, group: undefined };
  return status('NOT_FOUND', `Instance index ${index} not found: there are ${states.length} instances`);
}

function onlyOne({ states }: InstanceGroup): Found | Status {
  const [first, ...others] = states.filter(speaksGrpc);
  if (first !== undefined && others.length === 0) return { state: first, group: undefined };
  const message = `Name an instance in the metadata x-tei-instance, or a model in x-tei-model: there are ${others.length + (first === undefined ? 0 : 1)} instances`;
  return status('INVALID_ARGUMENT', message);
}

/** One that cannot be used says why, when it is asked. */
function firstOf(group: InstanceGroup, rawHeaders: readonly string[]): Found {
  const state =
    nextOfGroup(group, goodFor(rawHeaders)) ??
    nextOfGroup(group, runs) ??
    nextOfGroup(group, speaksGrpc) ??
    (group.states[0] as PoolState);
  return { state, group };
}

function runs(state: PoolState): boolean {
  return speaksGrpc(state) && statusOf(state) === 'running';
}

function speaksGrpc({ current }: PoolState): boolean {
  return current?.instance?.protocol === 'GRPC';
}

/** The key is looked at only where an instance asks for one. */
function goodFor(rawHeaders: readonly string[]): (state: PoolState) => boolean {
  let mayUse: MayUse | undefined;
  return (state) => {
    if (!runs(state)) return false;
    const pool = state.current;
    if (pool?.access === undefined) return pool !== undefined;
    mayUse ??= usableWith(presentedKey(rawHeaders));
    return mayUse(pool);
  };
}
