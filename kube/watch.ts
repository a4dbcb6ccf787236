import { ApiError, errorOfStatus } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { createLineSplitter } from './lines.ts';
import { type Collection, isObject } from './list.ts';
import type { KubeObject } from './object.ts';
import { MAX_OBJECT_BYTES, readStream } from './stream.ts';

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: KubeObject;
}

export interface WatchRequest {
  /** The resourceVersion after which events are wanted. */
  readonly from: string;
  /** When the API server is to end the watch. */
  readonly timeoutSeconds: number;
  /** How long after that we end it ourselves: the connection is half open then. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
  /** The API server answered: it is there, even if nothing happens. */
  readonly opened: () => void;
}

/** No byte of a watch's headers within this: the connection is dead (the API server sends them at once). */
const OPEN_TIMEOUT_MS = 10_000;

/**
 * Follows a collection until the API server ends the watch, which it does after timeoutSeconds. Fails with an
 * ApiError: what the server said, Timeout for a half-open connection, InvalidBody for an event that is none,
 * Regressed for one older than the last.
 */
export async function watchEvents(
  client: KubeClient,
  { path, query }: Collection,
  { from, timeoutSeconds, graceMs, signal, opened }: WatchRequest,
  event: (event: WatchEvent) => void,
): Promise<void> {
  const where = `GET ${path}?watch`;
  const watch = { watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: String(timeoutSeconds) };
  const lines = createLineSplitter(MAX_OBJECT_BYTES, eventReader(where, from, event));
  const request = { path, query: { ...query, ...watch, resourceVersion: from }, signal, timeoutMs: OPEN_TIMEOUT_MS };
  const limits = { bodyMs: timeoutSeconds * 1000 + graceMs, opened };
  await readStream(client, request, limits, (chunk) => lines.push(chunk));
  if (lines.rest().trim() !== '') throw new ApiError(0, 'InvalidBody', `${where}: ended in the middle of an event`);
}

function eventReader(where: string, from: string, event: (event: WatchEvent) => void): (line: string) => void {
  let last = from;
  return (line) => {
    const read = readEvent(where, line);
    const version = read.object.metadata.resourceVersion ?? '';
    if (isOlder(version, last)) {
      throw new ApiError(0, 'Regressed', `${where}: resourceVersion went back from ${last} to ${version}`);
    }
    last = version;
    event(read);
  };
}

function readEvent(where: string, line: string): WatchEvent {
  const { type, object } = parse(line);
  if (type === 'ERROR') throw errorOfStatus(where, object);
  // A bookmark's object has a resourceVersion and no name.
  const named = type === 'BOOKMARK' ? { ...object, metadata: { name: '', ...object?.metadata } } : object;
  const known = type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK';
  if (!known || !isObject(named)) {
    throw new ApiError(0, 'InvalidBody', `${where}: a line of ${line.length} bytes is no watch event`);
  }
  return { type, object: named };
}

function parse(line: string): { type?: unknown; object?: { metadata?: object } } {
  try {
    return (JSON.parse(line) ?? {}) as { type?: unknown; object?: { metadata?: object } };
  } catch {
    return {};
  }
}

/** Whether resourceVersion a is before b. They are whole numbers of any length, without leading zeros. */
function isOlder(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}
