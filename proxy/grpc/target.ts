import { isStatus, type Status, status } from './codes.ts';

/** Which instance a message is for. */
export type Target =
  | { readonly by: 'name'; readonly name: string }
  | { readonly by: 'model'; readonly model: string }
  | { readonly by: 'index'; readonly index: number };

export function byName(name: string): Target | Status {
  return name === '' ? NO_NAME : { by: 'name', name };
}

export function byModel(model: string): Target | Status {
  return model === '' ? NO_MODEL : { by: 'model', model };
}

/** The same target twice is one; two that differ are one too many. */
export function merged(first: Target | Status | undefined, second: Target | Status): Target | Status {
  if (first === undefined || first === NO_ROUTING) return second;
  if (second === NO_ROUTING || sameTarget(first, second)) return first;
  return SEVERAL;
}

/** Whether two targets say the same. */
export function sameTarget(a: Target | Status, b: Target | Status): boolean {
  if (isStatus(a) || isStatus(b)) return a === b;
  if (a.by === 'name') return b.by === 'name' && a.name === b.name;
  if (a.by === 'model') return b.by === 'model' && a.model === b.model;
  return b.by === 'index' && a.index === b.index;
}

/** Of a call of tei.v1, whose messages have none: `x-tei-instance` or `x-tei-model`; undefined: it names nothing. */
export function targetInMetadata(rawHeaders: readonly string[]): Target | Status | undefined {
  let target: Target | Status | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name === 'x-tei-instance') target = merged(target, byName(rawHeaders[index + 1] as string));
    else if (name === 'x-tei-model') target = merged(target, byModel(rawHeaders[index + 1] as string));
  }
  return target;
}

/** A target none of whose fields is set. */
export const NO_ROUTING = status('INVALID_ARGUMENT', 'No routing specified');

const NO_NAME = status('INVALID_ARGUMENT', 'Instance name cannot be empty');
const NO_MODEL = status('INVALID_ARGUMENT', 'Model id cannot be empty');
const SEVERAL = status('INVALID_ARGUMENT', 'The target names several instances; set one of its fields');
