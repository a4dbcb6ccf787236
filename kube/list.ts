import { ApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { createItemSplitter } from './items.ts';
import type { KubeObject } from './object.ts';
import { MAX_OBJECT_BYTES, readStream } from './stream.ts';

export interface Collection {
  readonly path: string;
  /** The kind of one object; the list's own is `${kind}List`. */
  readonly kind: string;
  /** Label and field selectors. */
  readonly query: Readonly<Record<string, string>>;
}

/** One page of 500 objects; as long as a call may take by default. */
const PAGE_MS = 30_000;

export interface ListOptions<E> {
  readonly pageSize: number;
  readonly signal: AbortSignal;
  /** Called with each object as it comes, and keeps of it only what is needed. */
  readonly read: (object: KubeObject) => E;
  /** A whole page is here and is what was asked for. */
  readonly page: (entries: readonly E[]) => void;
}

/**
 * Lists a collection page by page and object by object, so that memory holds neither 20,000 pods nor a page of them.
 * Resolves with the resourceVersion from which to watch; fails with an ApiError, also when a page is no list of that
 * kind (reason InvalidBody).
 *
 * No resourceVersion is sent: with "0" the API server ignores `limit` and builds all 20,000 in one answer; without, it
 * serves pages from its watch cache too (since 1.34; before, by 40 reads of etcd), and never an old state.
 */
export async function listPages<E>(
  client: KubeClient,
  collection: Collection,
  { pageSize, signal, read, page }: ListOptions<E>,
): Promise<string> {
  const readNext = async (token?: string): Promise<PageEnd> => {
    const entries: E[] = [];
    const splitter = createItemSplitter(MAX_OBJECT_BYTES, (text) => entries.push(read(readItem(collection, text))));
    const query = { ...collection.query, limit: String(pageSize), ...(token !== undefined && { continue: token }) };
    const request = { path: collection.path, query, signal };
    await readStream(client, request, { bodyMs: PAGE_MS }, (chunk) => splitter.push(chunk));
    const end = readEnd(collection, splitter.rest());
    page(entries);
    return end;
  };
  let end = await readNext();
  while (end.continueToken !== undefined) end = await readNext(end.continueToken);
  return end.resourceVersion;
}

function readItem(collection: Collection, text: string): KubeObject {
  const object = parse(text);
  if (!isObject(object)) throw notAList(collection);
  return object;
}

interface PageEnd {
  readonly resourceVersion: string;
  readonly continueToken: string | undefined;
}

/** Reads a list whose items were cut out. */
function readEnd(collection: Collection, text: string): PageEnd {
  const { kind, metadata, items } = (parse(text) ?? {}) as Record<string, unknown>;
  const { resourceVersion, continue: token } = (metadata ?? {}) as Record<string, unknown>;
  // Go writes a list without items as null.
  const empty = items === null || items === undefined || (Array.isArray(items) && items.length === 0);
  if (kind !== `${collection.kind}List` || typeof resourceVersion !== 'string' || resourceVersion === '' || !empty) {
    throw notAList(collection);
  }
  return { resourceVersion, continueToken: typeof token === 'string' && token !== '' ? token : undefined };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function notAList({ path, kind }: Collection): ApiError {
  return new ApiError(0, 'InvalidBody', `GET ${path}: the answer is not a ${kind}List with a resourceVersion`);
}

/** Whether a value has what the reflector itself reads of an object. */
export function isObject(value: unknown): value is KubeObject {
  const metadata = (value as { metadata?: { name?: unknown; resourceVersion?: unknown } } | null | undefined)?.metadata;
  return typeof metadata?.name === 'string' && typeof metadata.resourceVersion === 'string';
}
