import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../program/log.ts';
import { ApiError } from './api-error.ts';
import { createBackoff } from './backoff.ts';
import { type Cache, createCache } from './cache.ts';
import type { KubeClient } from './client.ts';
import { type Collection, listPages } from './list.ts';
import { type KubeObject, keyOf, pathOf, type Resource } from './object.ts';
import { type WatchEvent, watchEvents } from './watch.ts';

export interface Reflector<T> {
  /** By `namespace/name`. Grows while the first list is read: complete once `synced()`. */
  readonly items: ReadonlyMap<string, T>;
  readonly synced: () => boolean;
  /** Resolves when the first list has been read whole; never, if stopped before. */
  readonly whenSynced: Promise<void>;
  /** Seconds since the API server last said anything of this resource, bookmarks included. */
  readonly lastEventAgeSeconds: () => number;
  /** Final, also in a pause; after it resolves `changed` is not called again. */
  readonly stop: () => Promise<void>;
}

export interface ReflectOptions<T> {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Keeps of an object only what is read later; undefined: not of interest. */
  readonly project: (object: KubeObject) => T | undefined;
  /** Called for each difference, also those a relist finds. One that throws is logged and the rest goes on. */
  readonly changed: (key: string, now: T | undefined, before: T | undefined) => void;
  readonly log: Log;
  /** Monotonic, in ms. */
  readonly clock?: () => number;
  readonly random?: () => number;
  readonly timings?: Partial<ReflectorTimings>;
}

/** Hazards §3.2; CONTRACT §2.6 wants a half-open watch noticed within 60 s: at most 45 s + 10 s. */
export interface ReflectorTimings {
  readonly watchMinSeconds: number;
  readonly watchMaxSeconds: number;
  /** After the watch's own timeoutSeconds. */
  readonly watchGraceMs: number;
  /** A whole relist, × 0.8 … 1.2, in case events were lost unseen. */
  readonly resyncMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  readonly backoffStableMs: number;
  readonly pageSize: number;
}

const TIMINGS: ReflectorTimings = {
  watchMinSeconds: 30,
  watchMaxSeconds: 45,
  watchGraceMs: 10_000,
  resyncMs: 600_000,
  backoffMinMs: 200,
  backoffMaxMs: 5_000,
  backoffStableMs: 60_000,
  pageSize: 500,
};

/** A watch that ends cleanly sooner than this counts as a failure: without a pause, that would be a hot loop. */
const SHORTEST_WATCH_MS = 1_000;
/** A Retry-After beyond this would leave us blind for longer than a half-open watch may (CONTRACT §2.6). */
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Keeps a projection of every object of a resource, by list and watch, for ever: whatever the API server or the
 * network does, it tries again and ends up complete. Starts at once.
 */
export function reflect<T>(options: ReflectOptions<T>): Reflector<T> {
  const clock = options.clock ?? (() => performance.now());
  const stopping = new AbortController();
  const cache = createCache<T>({
    project: options.project,
    changed: (key, now, before) => {
      if (!stopping.signal.aborted) options.changed(key, now, before);
    },
    threw: (key, error) =>
      options.log.error({ err: error, kind: options.resource.kind, key }, 'a change was not taken'),
  });
  const { promise: whenSynced, resolve } = Promise.withResolvers<void>();
  const state: State = { cursor: undefined, relistAt: 0, heardAt: clock(), synced: false, markSynced: resolve };
  const follower: Follower<T> = {
    options,
    collection: collectionOf(options),
    timings: { ...TIMINGS, ...options.timings },
    clock,
    random: options.random ?? Math.random,
    signal: stopping.signal,
    cache,
    state,
  };
  const running = run(follower);
  return {
    items: cache.items,
    synced: () => state.synced,
    whenSynced,
    lastEventAgeSeconds: () => (clock() - state.heardAt) / 1000,
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

interface State {
  /** The resourceVersion to watch from; undefined: list first. */
  cursor: string | undefined;
  relistAt: number;
  heardAt: number;
  synced: boolean;
  readonly markSynced: () => void;
}

interface Follower<T> {
  readonly options: ReflectOptions<T>;
  readonly collection: Collection;
  readonly timings: ReflectorTimings;
  readonly clock: () => number;
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly cache: Cache<T>;
  readonly state: State;
}

type Selection = Pick<ReflectOptions<unknown>, 'resource' | 'namespace' | 'labelSelector' | 'fieldSelector'>;

function collectionOf({ resource, namespace, labelSelector, fieldSelector }: Selection): Collection {
  const query = { ...(labelSelector && { labelSelector }), ...(fieldSelector && { fieldSelector }) };
  return { path: pathOf(resource, { namespace }), kind: resource.kind, query };
}

async function run<T>(follower: Follower<T>): Promise<void> {
  const { timings, clock, random, signal, state } = follower;
  const { backoffMinMs: minMs, backoffMaxMs: maxMs, backoffStableMs: stableMs } = timings;
  const backoff = createBackoff({ minMs, maxMs, stableMs }, clock, random);
  const complain = complainer(follower);
  while (!signal.aborted) {
    try {
      if (state.cursor === undefined || clock() >= state.relistAt) await relist(follower);
      await watch(follower);
    } catch (error) {
      if (signal.aborted) return;
      if (!keepsCursor(error)) state.cursor = undefined;
      const waitMs = Math.max(backoff.next(), retryAfterOf(error));
      complain(error, waitMs);
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function relist<T>({
  options,
  collection,
  timings,
  clock,
  random,
  signal,
  cache,
  state,
}: Follower<T>): Promise<void> {
  const seen = new Set<string>();
  const cursor = await listPages(options.client, collection, {
    pageSize: timings.pageSize,
    signal,
    read: cache.read,
    page: (entries) => {
      state.heardAt = clock();
      for (const entry of entries) {
        seen.add(entry.key);
        cache.put(entry);
      }
    },
  });
  cache.keepOnly(seen);
  state.cursor = cursor;
  state.relistAt = clock() + timings.resyncMs * (0.8 + 0.4 * random());
  if (state.synced) return;
  state.synced = true;
  state.markSynced();
}

async function watch<T>({
  options,
  collection,
  timings,
  clock,
  random,
  signal,
  cache,
  state,
}: Follower<T>): Promise<void> {
  const spread = timings.watchMaxSeconds - timings.watchMinSeconds;
  const heard = (): void => {
    state.heardAt = clock();
  };
  const openedAt = clock();
  const request = {
    from: state.cursor ?? '',
    timeoutSeconds: timings.watchMinSeconds + Math.floor(random() * (spread + 1)),
    graceMs: timings.watchGraceMs,
    signal,
    opened: heard,
  };
  await watchEvents(options.client, collection, request, (event) => {
    heard();
    take(cache, event);
    state.cursor = event.object.metadata.resourceVersion;
  });
  if (clock() - openedAt < SHORTEST_WATCH_MS) {
    throw new ApiError(0, 'Unreachable', `GET ${collection.path}?watch: ended at once`);
  }
}

function take<T>(cache: Cache<T>, { type, object }: WatchEvent): void {
  if (type === 'DELETED') cache.drop(keyOf(object));
  else if (type !== 'BOOKMARK') cache.put(cache.read(object));
}

/** Whether the watch can go on where it was: no answer, or one that says nothing of the resourceVersion. */
function keepsCursor(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  if (error.status === 0) return error.reason === 'Unreachable' || error.reason === 'Timeout';
  if (error.reason === 'WatchError') return false;
  return error.status >= 500 || [401, 403, 408, 429].includes(error.status);
}

function retryAfterOf(error: unknown): number {
  return Math.min(MAX_RETRY_AFTER_MS, (error instanceof ApiError && error.retryAfterMs) || 0);
}

/** Warns of each new trouble once, and slows the resource down where the API server asked for it inside a watch. */
function complainer<T>({ options, collection }: Follower<T>): (error: unknown, waitMs: number) => void {
  let last = '';
  return (error, waitMs) => {
    if (error instanceof ApiError && (error.status === 410 || error.status === 429)) {
      options.client.troubled(collection.path);
    }
    const message = error instanceof Error ? error.message : String(error);
    const fields = { kind: collection.kind, retryInMs: Math.round(waitMs), err: message };
    options.log[message === last ? 'debug' : 'warn'](fields, 'watch interrupted');
    last = message;
  };
}
