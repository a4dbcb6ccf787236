import { type KubeObject, RESOURCES, type Resource } from '../../kube/object.ts';
import { Owner } from './schema.ts';

/** One sort of published objects: what carries them, and where in them the text stands. */
export interface PublishedSort {
  readonly resource: Resource;
  readonly label: string;
  readonly key: string;
}

export const CONFIGS: PublishedSort = {
  resource: RESOURCES.configMaps,
  label: 'sluice.dev/config',
  key: 'config.json',
};
export const ENDPOINTS: PublishedSort = {
  resource: RESOURCES.configMaps,
  label: 'sluice.dev/endpoints',
  key: 'endpoints.json',
};
export const CREDENTIALS: PublishedSort = {
  resource: RESOURCES.secrets,
  label: 'sluice.dev/credentials',
  key: 'credentials.json',
};

/** All that is kept of a published object. */
export interface PublishedText {
  /** undefined: the object has no such key. */
  readonly text: string | undefined;
  /** Whose it says it is. */
  readonly owner: Owner | undefined;
}

export function publishedText(sort: PublishedSort, object: KubeObject): PublishedText {
  const value = dataOf(object)[sort.key];
  const text = value !== undefined && sort.resource.kind === 'Secret' ? decoded(value) : value;
  return { text, owner: ownerIn(object.metadata.annotations?.['sluice.dev/for']) };
}

/** Every key of a Secret of the user's, decoded. */
export function secretData(object: KubeObject): Record<string, string> {
  return Object.fromEntries(Object.entries(dataOf(object)).map(([key, value]) => [key, decoded(value)]));
}

/** What reports and logs call the source: `configmap/sluice-pool-ml-chat/config.json`. */
export function sourceOf(sort: PublishedSort, key: string): string {
  return `${sort.resource.kind.toLowerCase()}/${key.slice(key.indexOf('/') + 1)}/${sort.key}`;
}

function dataOf(object: KubeObject): Record<string, string> {
  const { data } = object;
  if (typeof data !== 'object' || data === null) return {};
  return Object.fromEntries(
    Object.entries(data).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

function ownerIn(annotation: string | undefined): Owner | undefined {
  const [kind, namespace, name] = annotation?.split('/') ?? [];
  const owner = Owner.safeParse({ kind, namespace, name });
  return owner.success ? owner.data : undefined;
}
