import type { KubeObject, OwnerReference, Resource } from '../kube/object.ts';
import { RESOURCES } from '../kube/object.ts';
import { canonicalJson, revisionOf } from '../proxy/config/encode.ts';
import { type EndpointEntry, EndpointsDocument, Owner, type Owner as OwnerType } from '../proxy/config/schema.ts';
import type { Part } from './object-names.ts';

export const FIELD_MANAGER = 'sluice';
const FOR = 'sluice.dev/for';
const PIECE = 'sluice.dev/piece';
const INSTALL = 'sluice.dev/install';
const MANAGED_BY = 'app.kubernetes.io/managed-by';

/** By part: the label that says so, and the key its document stands under. */
const PARTS = {
  config: { label: 'sluice.dev/config', dataKey: 'config.json', resource: RESOURCES.configMaps },
  endpoints: { label: 'sluice.dev/endpoints', dataKey: 'endpoints.json', resource: RESOURCES.configMaps },
  credentials: { label: 'sluice.dev/credentials', dataKey: 'credentials.json', resource: RESOURCES.secrets },
} as const satisfies Record<Part, { label: string; dataKey: string; resource: Resource }>;

/** Which of a CR's objects one is, and where. */
export interface Place {
  readonly owner: OwnerType;
  readonly part: Part;
  readonly piece: number;
  readonly namespace: string;
}

/** An object as it should be. */
export interface Wanted extends Place {
  readonly text: string;
  /** Absent: whatever stands there. */
  readonly ownedBy: OwnerReference | undefined;
}

/** What is kept of an object of ours that is there. Of a Secret no value. */
export interface PublishedObject extends Place {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** sha256 over the bytes of its document; that of a configuration is its revision. */
  readonly digest: string;
  /** Labels, annotations and owner that we set. */
  readonly marks: string;
  readonly owners: readonly string[];
  /** Of an endpoints object. */
  readonly entries?: readonly EndpointEntry[];
  /** Of a configuration. */
  readonly names?: readonly string[];
  /** Of credentials; the digest is of what they hold, whatever the id. */
  readonly credentials?: { readonly id: string; readonly contentDigest: string };
}

export function resourceOf(part: Part): Resource {
  return PARTS[part].resource;
}

/** Selects what an install has published. */
export function installSelector(install: string): string {
  return `${MANAGED_BY}=${FIELD_MANAGER},${INSTALL}=${install}`;
}

/** The object to send. With a resourceVersion it may only replace that very version. */
export function objectFor(
  wanted: Wanted,
  install: string,
  { name, resourceVersion }: { readonly name: string; readonly resourceVersion?: string },
): KubeObject {
  const { label, dataKey, resource } = PARTS[wanted.part];
  const isSecret = wanted.part === 'credentials';
  const text = isSecret ? Buffer.from(wanted.text).toString('base64') : wanted.text;
  return {
    apiVersion: 'v1',
    kind: resource.kind,
    metadata: {
      name,
      namespace: wanted.namespace,
      ...(resourceVersion !== undefined && { resourceVersion }),
      labels: labelsFor(wanted, install, label),
      annotations: { [FOR]: `${wanted.owner.kind}/${wanted.owner.namespace}/${wanted.owner.name}` },
      ...(wanted.ownedBy && { ownerReferences: [wanted.ownedBy] }),
    },
    ...(isSecret && { type: 'Opaque' }),
    data: { [dataKey]: text },
  };
}

/** What says that an object is published by this install. */
export function installLabels(install: string): Readonly<Record<string, string>> {
  return { [MANAGED_BY]: FIELD_MANAGER, [INSTALL]: install };
}

function labelsFor({ owner, piece, part }: Place, install: string, label: string): Record<string, string> {
  return {
    ...installLabels(install),
    [label]: owner.kind === 'LLMPool' ? 'pool' : 'instance',
    ...(part === 'endpoints' && { [PIECE]: String(piece) }),
  };
}

/** Whether what is there is what should be. */
export function isAsWanted(present: PublishedObject, wanted: Wanted, install: string): boolean {
  const owned = wanted.ownedBy === undefined || present.owners.join() === wanted.ownedBy.uid;
  const marks = marksOf(objectFor(wanted, install, { name: present.name }));
  return owned && present.marks === marks && present.digest === revisionOf(wanted.text);
}

/** What is kept of an object of this install; undefined for any other. */
export function readPublished(object: KubeObject, resource: Resource, install: string): PublishedObject | undefined {
  const { labels = {}, annotations = {}, namespace = '', name, uid = '', resourceVersion = '' } = object.metadata;
  if (labels[MANAGED_BY] !== FIELD_MANAGER || labels[INSTALL] !== install) return undefined;
  const part = partOf(labels, resource);
  const owner = ownerFrom(annotations[FOR]);
  if (part === undefined || owner === undefined) return undefined;
  const text = textOf(object, part);
  return {
    ...{ owner, part, namespace, name, uid, resourceVersion },
    piece: Number(labels[PIECE] ?? 0),
    digest: revisionOf(text),
    marks: marksOf(object),
    owners: (object.metadata.ownerReferences ?? []).map((reference) => reference.uid),
    ...contentOf(part, text),
  };
}

/** `LLMPool/ml/chat`, as annotations and maps spell it. */
export function ownerFrom(key: string | undefined): OwnerType | undefined {
  const [kind, namespace, name, ...rest] = (key ?? '').split('/');
  const owner = Owner.safeParse({ kind, namespace, name });
  return owner.success && rest.length === 0 ? owner.data : undefined;
}

function partOf(labels: Readonly<Record<string, string>>, resource: Resource): Part | undefined {
  const parts = Object.keys(PARTS) as Part[];
  return parts.find((part) => PARTS[part].label in labels && PARTS[part].resource.kind === resource.kind);
}

function textOf(object: KubeObject, part: Part): string {
  const data = (object['data'] ?? {}) as Record<string, unknown>;
  const value = data[PARTS[part].dataKey];
  if (typeof value !== 'string') return '';
  return part === 'credentials' ? Buffer.from(value, 'base64').toString('utf8') : value;
}

function marksOf({ metadata: { labels = {}, annotations = {} } }: KubeObject): string {
  const ours = [MANAGED_BY, INSTALL, PIECE, ...Object.values(PARTS).map(({ label }) => label)];
  return canonicalJson([...ours.map((key) => labels[key] ?? null), annotations[FOR]]);
}

type Content = Pick<PublishedObject, 'entries' | 'names' | 'credentials'>;

/** What is needed of a document later. One that somebody spoilt has nothing, and is written anew. */
function contentOf(part: Part, text: string): Content {
  const json = parsed(text);
  if (part === 'config') return { names: namesOf(json) };
  if (part === 'endpoints') return { entries: EndpointsDocument.safeParse(json).data?.endpoints ?? [] };
  const held = (json ?? {}) as { id?: unknown; values?: unknown; clients?: unknown };
  return typeof held.id === 'string' ? { credentials: { id: held.id, contentDigest: credentialsDigest(held) } } : {};
}

export function credentialsDigest({ values, clients }: { values?: unknown; clients?: unknown }): string {
  return revisionOf(canonicalJson({ values, clients }));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The flat names a document holds. */
function namesOf(json: unknown): readonly string[] {
  const { kind, models, named, instanceName } = (json ?? {}) as Record<string, unknown>;
  if (kind === 'LLMPool') return Array.isArray(models) ? models.filter((model) => typeof model === 'string') : [];
  return named !== false && typeof instanceName === 'string' ? [instanceName] : [];
}
