import type { ConfigDocument, Values } from './pair.ts';
import type { Parsed, Refusal } from './parse.ts';
import {
  type CredentialsDocument,
  type EndpointEntry,
  type EndpointsDocument,
  type Owner,
  ownerKey,
  type PublishedDocument,
} from './schema.ts';

/** What is served of one owner. */
export interface Served {
  /** The source key of its document. */
  readonly source: string;
  readonly config: Parsed<ConfigDocument>;
  readonly values: Values;
  readonly endpoints: readonly EndpointEntry[];
}

/** Everything that was read of one owner, by source key: of each source its last good version. */
export interface OwnerRecord {
  readonly owner: Owner;
  readonly configs: Map<string, Parsed<ConfigDocument>>;
  readonly credentials: Map<string, CredentialsDocument>;
  readonly pieces: Map<string, EndpointsDocument>;
  /** Sources of configuration whose present text cannot be read. */
  readonly refusals: Map<string, Refusal>;
  /** Whether `endpoints` is older than `pieces`. */
  piecesChanged: boolean;
  endpoints: readonly EndpointEntry[];
  served: Served | undefined;
}

/** A source that cannot be read and is no CR's document, or of nobody knows whom. */
export interface Stray {
  readonly source: string;
  readonly message: string;
}

interface Place {
  readonly record: OwnerRecord;
  readonly part: 'configs' | 'credentials' | 'pieces' | 'refusals';
}

/** Sorts what sources hold by whom it is for. Each change names the owners it touches. */
export interface Owners {
  readonly put: (source: string, parsed: Parsed) => void;
  /** Keeps what the source held before. `hint`: the owner, where the source itself says so. */
  readonly refuse: (source: string, refusal: Refusal, hint: Owner | undefined) => void;
  readonly remove: (source: string) => void;
  readonly records: ReadonlyMap<string, OwnerRecord>;
  readonly strays: ReadonlyMap<string, Stray>;
  /** Lets go of an owner of whom nothing is left. */
  readonly prune: (record: OwnerRecord) => void;
}

export function createOwners(touched: (record: OwnerRecord) => void): Owners {
  const records = new Map<string, OwnerRecord>();
  const places = new Map<string, Place>();
  const strays = new Map<string, Stray>();

  const recordOf = (owner: Owner): OwnerRecord => {
    const key = ownerKey(owner);
    const record = records.get(key) ?? emptyRecord(owner);
    records.set(key, record);
    return record;
  };

  const leave = (source: string, staysAt?: Place): void => {
    const place = places.get(source);
    if (place === undefined || (place.record === staysAt?.record && place.part === staysAt.part)) return;
    takeOut(place, source);
    places.delete(source);
    touched(place.record);
  };

  const put = (source: string, parsed: Parsed): void => {
    const place = { record: recordOf(ownerOf(parsed.document)), part: partOf(parsed.document) };
    leave(source, place);
    strays.delete(source);
    place.record.refusals.delete(source);
    places.set(source, place);
    putIn(place.record, source, parsed);
    touched(place.record);
  };

  const refuse = (source: string, refusal: Refusal, hint: Owner | undefined): void => {
    const place = places.get(source);
    const isConfig = place === undefined || place.part === 'configs' || place.part === 'refusals';
    const owner = place?.record.owner ?? hint ?? refusal.owner;
    if (!isConfig || owner === undefined) {
      const whose = place === undefined ? '' : ` (${place.part} of ${ownerKey(place.record.owner)})`;
      strays.set(source, { source, message: `${refusal.message}${whose}` });
      return;
    }
    const record = recordOf(owner);
    if (place === undefined) places.set(source, { record, part: 'refusals' });
    strays.delete(source);
    record.refusals.set(source, refusal);
    touched(record);
  };

  const remove = (source: string): void => {
    strays.delete(source);
    leave(source);
  };

  const prune = (record: OwnerRecord): void => {
    const { configs, credentials, pieces, refusals } = record;
    if (configs.size + credentials.size + pieces.size + refusals.size === 0) records.delete(ownerKey(record.owner));
  };

  return { put, refuse, remove, records, strays, prune };
}

function emptyRecord(owner: Owner): OwnerRecord {
  return {
    owner,
    configs: new Map(),
    credentials: new Map(),
    pieces: new Map(),
    refusals: new Map(),
    piecesChanged: false,
    endpoints: [],
    served: undefined,
  };
}

function takeOut({ record, part }: Place, source: string): void {
  record.refusals.delete(source);
  record[part].delete(source);
  if (part === 'pieces') record.piecesChanged = true;
}

function putIn(record: OwnerRecord, source: string, { text, revision, document }: Parsed): void {
  switch (document.kind) {
    case 'Endpoints':
      record.pieces.set(source, document);
      record.piecesChanged = true;
      return;
    case 'Credentials':
      record.credentials.set(source, document);
      return;
    default:
      record.configs.set(source, { text, revision, document });
  }
}

function partOf(document: PublishedDocument): Place['part'] {
  if (document.kind === 'Endpoints') return 'pieces';
  return document.kind === 'Credentials' ? 'credentials' : 'configs';
}

function ownerOf(document: PublishedDocument): Owner {
  if (document.kind === 'Endpoints' || document.kind === 'Credentials') return document.of;
  const { kind, namespace, name } = document;
  return { kind, namespace, name };
}
