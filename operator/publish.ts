import type { OwnerReference } from '../kube/object.ts';
import { canonicalJson, revisionOf } from '../proxy/config/encode.ts';
import type { EndpointEntry, InstanceDocument, PoolDocument } from '../proxy/config/schema.ts';
import type { CustomResource } from './custom-resource.ts';
import type { Part } from './object-names.ts';
import type { Gate } from './pace.ts';
import { assignPieces, keepLostBackends, type Pieces } from './pieces.ts';
import type { Published } from './published.ts';
import { credentialsDigest, isAsWanted, type Place, type PublishedObject, type Wanted } from './published-object.ts';
import type { Translation, Verdict } from './translate/translation.ts';
import { ObjectExistsError, type Writer } from './writer.ts';

/** CONTRACT §2.4. A ConfigMap may have 1 MiB, its metadata and managedFields among it. */
const MAX_DOCUMENT_BYTES = 900 * 1024;
/** CONTRACT §2.5: after ObjectExists it is looked again within 60 s. */
const LOOK_AGAIN_MS = 30_000;

export interface Publication {
  /** Why the document was not published; undefined: it was, or the translation has none. */
  readonly refusal: Verdict | undefined;
  /** Of the operator's own copy, as it stands published now; undefined: there is none. */
  readonly revision: string | undefined;
  /** Something is left to do after so many milliseconds. */
  readonly againMs: number | undefined;
}

export interface PublishOptions {
  readonly writer: Writer;
  readonly published: Published;
  readonly install: string;
  readonly namespace: string;
  readonly sidecarNamespaces: ReadonlySet<string>;
  /** What owns the central copies; undefined: nothing. */
  readonly root: () => OwnerReference | undefined;
  /** Paces the endpoints of a CR. */
  readonly gate: Gate;
  /** An id for new credentials: random, as a hash of keys could be searched. */
  readonly newId: () => string;
}

export interface Publisher {
  /** Brings everything of one CR to what its translation says. Throws ApiError. */
  readonly publish: (resource: CustomResource, translation: Translation) => Promise<Publication>;
  /** Takes everything away that is published of a CR that is gone. */
  readonly withdraw: (key: string) => Promise<void>;
}

type Document = PoolDocument | InstanceDocument;

/** One set of a CR's objects: the operator's own, or a sidecar namespace's. */
interface Copy {
  readonly resource: CustomResource;
  readonly namespace: string;
  readonly isCentral: boolean;
  readonly ownedBy: OwnerReference | undefined;
}

export function createPublisher(options: PublishOptions): Publisher {
  const { writer, published, namespace } = options;
  const ORDER: readonly Part[] = ['config', 'endpoints', 'credentials'];

  const publish: Publisher['publish'] = async (resource, translation) => {
    const { document } = translation;
    const result = { refusal: undefined as Verdict | undefined, againMs: undefined as number | undefined };
    const copies = copiesOf(resource, options);
    if (document !== undefined) {
      try {
        for (const copy of copies) {
          const againMs = await publishCopy(options, copy, document, translation);
          result.againMs = earlier(result.againMs, againMs);
        }
        await removeElsewhere(resource.key, copies);
      } catch (error) {
        result.refusal = refusalOf(error);
        result.againMs = error instanceof ObjectExistsError ? LOOK_AGAIN_MS : undefined;
      }
    }
    const config = published.find({ owner: resource.owner, part: 'config', piece: 0, namespace });
    return { ...result, revision: config?.digest };
  };

  const removeElsewhere = async (key: string, copies: readonly Copy[]): Promise<void> => {
    const namespaces = new Set(copies.map((copy) => copy.namespace));
    for (const object of published.of(key)) if (!namespaces.has(object.namespace)) await writer.remove(object);
  };

  const withdraw: Publisher['withdraw'] = async (key) => {
    const objects = [...published.of(key)].sort((a, b) => ORDER.indexOf(a.part) - ORDER.indexOf(b.part));
    for (const object of objects) await writer.remove(object);
  };

  return { publish, withdraw };
}

function copiesOf(resource: CustomResource, { namespace, sidecarNamespaces, root }: PublishOptions): readonly Copy[] {
  const central: Copy = { resource, namespace, isCentral: true, ownedBy: root() };
  const { owner, uid } = resource;
  // A sidecar in the operator's own namespace reads the central copy.
  if (owner.namespace === namespace || !sidecarNamespaces.has(owner.namespace)) return [central];
  const ownedBy = { apiVersion: 'sluice.dev/v1alpha1', kind: owner.kind, name: owner.name, uid };
  return [central, { resource, namespace: owner.namespace, isCentral: false, ownedBy }];
}

class TooLargeError extends Error {}

function refusalOf(error: unknown): Verdict {
  const reason = error instanceof ObjectExistsError ? 'ObjectExists' : 'DocumentTooLarge';
  if (!(error instanceof ObjectExistsError) && !(error instanceof TooLargeError)) throw error;
  return { type: 'Accepted', status: 'False', reason, message: error.message };
}

/**
 * Values before the document that names them, addresses of new backends before it and of lost ones after it, so that
 * whoever reads in between can serve. Gives after how many milliseconds something is left to do.
 */
async function publishCopy(
  options: PublishOptions,
  copy: Copy,
  document: Document,
  translation: Translation,
): Promise<number | undefined> {
  const { writer, published } = options;
  const credentials = copy.isCentral ? wantedCredentials(options, copy, translation) : undefined;
  const config = wantedConfig(copy, document, credentials?.id);
  const entries = hasAddresses(document) ? (translation.endpoints ?? []) : undefined;
  // All of them before the first write: one that is taken must not leave a half of the CR behind.
  for (const place of [config, credentials?.wanted, entries && placeOf(copy, 'endpoints')]) {
    if (place) await writer.probe(place);
  }
  const isEdit = published.find(config)?.digest !== revisionOf(config.text);
  if (credentials) await writer.put(credentials.wanted);
  const early = entries && isEdit ? keepLostBackends(entries, piecesOf(options, copy)) : entries;
  const waitMs = await putEndpoints(options, copy, early, isEdit);
  await writer.put(config);
  if (early !== entries) await putEndpoints(options, copy, entries, true);
  await removeSurplus(options, copy, { credentials: credentials !== undefined, entries, waitMs });
  return waitMs;
}

function placeOf({ resource, namespace }: Copy, part: Part, piece = 0): Place {
  return { owner: resource.owner, part, piece, namespace };
}

function wantedConfig(copy: Copy, document: Document, credentialsId: string | undefined): Wanted {
  const whole = credentialsId === undefined ? document : { ...document, credentials: { id: credentialsId } };
  const text = bounded(canonicalJson(whole), 'document');
  return { ...placeOf(copy, 'config'), text, ownedBy: copy.ownedBy };
}

/** The id stays while values and clients do; a new one is random. */
function wantedCredentials(
  { published, newId }: PublishOptions,
  copy: Copy,
  { credentials }: Translation,
): { readonly id: string; readonly wanted: Wanted } | undefined {
  if (credentials === undefined) return undefined;
  const place = placeOf(copy, 'credentials');
  const present = published.find(place)?.credentials;
  const id = present?.contentDigest === credentialsDigest(credentials) ? present.id : newId();
  const text = bounded(
    canonicalJson({ format: 1, kind: 'Credentials', of: place.owner, id, ...credentials }),
    'set of Secrets',
  );
  return { id, wanted: { ...place, text, ownedBy: copy.ownedBy } };
}

function bounded(text: string, what: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_DOCUMENT_BYTES) return text;
  const kib = Math.ceil(bytes / 1024);
  throw new TooLargeError(`the ${what} has ${kib} KiB, more than the 900 KiB that can be published: split this object`);
}

/** Writes the pieces that differ. Gives how long that has to wait, where it has to. */
async function putEndpoints(
  { writer, published, install, gate }: PublishOptions,
  copy: Copy,
  entries: readonly EndpointEntry[] | undefined,
  atOnce: boolean,
): Promise<number | undefined> {
  if (entries === undefined) return undefined;
  const present = piecesOf({ published }, copy);
  const pieces = assignPieces(entries, present);
  const wanted = [...pieces].map(([piece, held]) => wantedPiece(copy, piece, held));
  const due = wanted.filter((piece) => {
    const object = published.find(piece);
    return object === undefined || !isAsWanted(object, piece, install);
  });
  const isSettled = due.length === 0 && [...present.keys()].every((piece) => pieces.has(piece));
  const gateKey = `${copy.resource.key} ${copy.namespace}`;
  const waitMs = isSettled || atOnce ? 0 : gate.waitMs(gateKey);
  if (waitMs > 0) return waitMs;
  for (const piece of due) await writer.put(piece);
  gate.passed(gateKey, due.length);
  return undefined;
}

function wantedPiece(copy: Copy, piece: number, endpoints: readonly EndpointEntry[]): Wanted {
  const place = placeOf(copy, 'endpoints', piece);
  const text = canonicalJson({ format: 1, kind: 'Endpoints', of: place.owner, piece, endpoints });
  return { ...place, text, ownedBy: copy.ownedBy };
}

function piecesOf({ published }: Pick<PublishOptions, 'published'>, { resource, namespace }: Copy): Pieces {
  const pieces = published
    .of(resource.key)
    .filter(({ part, namespace: at }) => part === 'endpoints' && at === namespace);
  return new Map(pieces.map(({ piece, entries }) => [piece, entries ?? []]));
}

interface Kept {
  readonly credentials: boolean;
  readonly entries: readonly EndpointEntry[] | undefined;
  /** The pieces stand as they were for so long; undefined: they are as they should be. */
  readonly waitMs: number | undefined;
}

/** Pieces that are empty by now, credentials that nobody names, and what stands there twice. */
async function removeSurplus({ writer, published }: PublishOptions, copy: Copy, kept: Kept): Promise<void> {
  const isSurplus = (object: PublishedObject): boolean => {
    if (published.find(object)?.name !== object.name) return true;
    if (object.part === 'credentials') return !kept.credentials;
    if (object.part === 'config' || kept.waitMs !== undefined) return false;
    return kept.entries === undefined || (object.piece > 0 && !isHeld(object, kept.entries));
  };
  const objects = published.of(copy.resource.key).filter(({ namespace }) => namespace === copy.namespace);
  for (const object of objects.filter(isSurplus)) await writer.remove(object);
}

/** A piece that was just assigned anew holds none of the entries any more exactly when it was left out. */
function isHeld({ entries: held = [] }: PublishedObject, entries: readonly EndpointEntry[]): boolean {
  const wanted = new Set(entries.map(({ backend, address, port }) => `${backend} ${address} ${port}`));
  return held.some(({ backend, address, port }) => wanted.has(`${backend} ${address} ${port}`));
}

/** Whether some backend's addresses come in endpoints documents. */
function hasAddresses(document: Document): boolean {
  const backends = document.kind === 'LLMPool' ? document.backends : [document.backend];
  return backends.some((backend) => backend !== undefined && backend.url === undefined);
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
