import { isDeepStrictEqual } from 'node:util';
import { type KubeObject, keyOf } from './object.ts';

/** What was read of an object. */
export interface Entry<T> {
  readonly key: string;
  readonly version: string | undefined;
  /** Undefined: not of interest. */
  readonly now: T | undefined;
  /** There is nothing to change: it is the version that is known, or it could not be read. */
  readonly known: boolean;
}

export interface Cache<T> {
  readonly items: ReadonlyMap<string, T>;
  /** Keeps of an object what `project` does; changes nothing yet. */
  readonly read: (object: KubeObject) => Entry<T>;
  /** An object is there, as it was read. */
  readonly put: (entry: Entry<T>) => void;
  readonly drop: (key: string) => void;
  /** Drops every item whose key is not in `kept`. */
  readonly keepOnly: (kept: ReadonlySet<string>) => void;
}

export interface CacheOptions<T> {
  readonly project: (object: KubeObject) => T | undefined;
  readonly changed: (key: string, now: T | undefined, before: T | undefined) => void;
  /** A callback threw for this key: nothing of that may stop what feeds the cache. */
  readonly threw: (key: string, error: unknown) => void;
}

/**
 * What was kept of each object, by key. Tells only differences: an object whose projection is deeply equal to what is
 * there says nothing, so a pod's heartbeat costs no reconcile.
 */
export function createCache<T>({ project, changed, threw }: CacheOptions<T>): Cache<T> {
  const items = new Map<string, T>();
  const versions = new Map<string, string | undefined>();

  const tell = (key: string, now: T | undefined, before: T | undefined): void => {
    try {
      changed(key, now, before);
    } catch (error) {
      threw(key, error);
    }
  };
  const drop = (key: string): void => {
    const before = items.get(key);
    versions.delete(key);
    if (items.delete(key)) tell(key, undefined, before);
  };
  const read = (object: KubeObject): Entry<T> => {
    const key = keyOf(object);
    const version = object.metadata.resourceVersion;
    if (versions.has(key) && versions.get(key) === version) return { key, version, now: undefined, known: true };
    try {
      return { key, version, now: project(object), known: false };
    } catch (error) {
      // What was known of it stays: one odd object is no reason to take a backend away.
      threw(key, error);
      return { key, version, now: undefined, known: true };
    }
  };
  const put = ({ key, version, now, known }: Entry<T>): void => {
    if (known) return;
    if (now === undefined) {
      drop(key);
      return;
    }
    versions.set(key, version);
    const before = items.get(key);
    if (before !== undefined && isDeepStrictEqual(now, before)) return;
    items.set(key, now);
    tell(key, now, before);
  };
  const keepOnly = (kept: ReadonlySet<string>): void => {
    for (const key of [...items.keys()]) if (!kept.has(key)) drop(key);
  };
  return { items, read, put, drop, keepOnly };
}
