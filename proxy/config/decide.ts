import { joinPieces, sameEndpoints } from './join.ts';
import type { OwnerRecord, Served } from './owners.ts';
import { type ConfigDocument, pair, sameValues, type UserSecrets, withPresentClients } from './pair.ts';
import type { Parsed } from './parse.ts';
import type { EndpointEntry, Owner } from './schema.ts';

/**
 * What is to be served of one owner, whole: a document, the very values it was written with, all its addresses. Parts
 * that have not changed since the last time are the same objects.
 */
export type OwnerInput =
  | {
      readonly owner: Owner;
      readonly document: ConfigDocument;
      /** sha256 of the document's bytes. */
      readonly revision: string;
      readonly endpoints: readonly EndpointEntry[];
      /** By credentialKey. */
      readonly credentials: Readonly<Record<string, string>>;
      /** sha256 of each client's key, by client; undefined: the access Secret is missing, or none is named. */
      readonly clients?: Readonly<Record<string, string>> | undefined;
    }
  | { readonly owner: Owner; readonly removed: true };

/** Where the owner's present document stands. */
export type Verdict =
  | { readonly state: 'absent' | 'loaded' }
  | { readonly state: 'rejected' | 'waiting'; readonly message: string };

export interface Decision {
  readonly change: OwnerInput | undefined;
  readonly verdict: Verdict;
}

/**
 * Brings one owner up to date: offers its present document and, where that is not complete or is refused by `apply`,
 * what is served already with the present addresses. Sets `record.served`.
 */
export function decide(record: OwnerRecord, secrets: UserSecrets, apply: (input: OwnerInput) => void): Decision {
  refreshEndpoints(record);
  const present = presentOf(record);
  if (present === undefined) return withdraw(record, apply);
  const pairing = pair(present.config.document, record.credentials, record.served?.values, secrets);
  if ('waitsFor' in pairing) {
    const { change } = keepServing(record, secrets, apply);
    return { change, verdict: { state: 'waiting', message: pairing.waitsFor } };
  }
  const offered = offer(record, { ...present, values: pairing.values, endpoints: record.endpoints }, apply);
  if (offered.problem === undefined) return { change: offered.change, verdict: { state: 'loaded' } };
  const { change } = keepServing(record, secrets, apply);
  return { change, verdict: { state: 'rejected', message: offered.problem } };
}

/** The first source in order that holds a document of this owner, whenever it came. */
export function presentOf(record: OwnerRecord): { source: string; config: Parsed<ConfigDocument> } | undefined {
  let first: { source: string; config: Parsed<ConfigDocument> } | undefined;
  for (const [source, config] of record.configs) {
    if (first === undefined || source < first.source) first = { source, config };
  }
  return first;
}

function refreshEndpoints(record: OwnerRecord): void {
  if (!record.piecesChanged) return;
  const joined = joinPieces(record.pieces.values());
  if (!sameEndpoints(joined, record.endpoints)) record.endpoints = joined;
  record.piecesChanged = false;
}

function withdraw(record: OwnerRecord, apply: (input: OwnerInput) => void): Decision {
  if (record.served === undefined) return { change: undefined, verdict: { state: 'absent' } };
  const change: OwnerInput = { owner: record.owner, removed: true };
  record.served = undefined;
  apply(change);
  return { change, verdict: { state: 'absent' } };
}

interface Offered {
  readonly change?: OwnerInput;
  readonly problem?: string;
}

function offer(record: OwnerRecord, candidate: Served, apply: (input: OwnerInput) => void): Offered {
  const next = withKnownParts(candidate, record.served);
  const { served } = record;
  const isSame = served?.config === next.config && served.values === next.values && served.endpoints === next.endpoints;
  if (isSame) {
    record.served = next;
    return {};
  }
  const { document, revision } = next.config;
  const change = {
    owner: record.owner,
    document,
    revision,
    endpoints: next.endpoints,
    credentials: next.values.values,
    clients: next.values.clients,
  };
  try {
    apply(change);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
  record.served = next;
  return { change };
}

function keepServing(record: OwnerRecord, secrets: UserSecrets, apply: (input: OwnerInput) => void): Offered {
  const { served, endpoints } = record;
  if (served === undefined) return {};
  const values = withPresentClients(served.config.document, served.values, secrets);
  return offer(record, { ...served, values, endpoints }, apply);
}

/** The same document and values read anew are still the ones in use. */
function withKnownParts(next: Served, served: Served | undefined): Served {
  if (served === undefined) return next;
  const config = served.config.revision === next.config.revision ? served.config : next.config;
  const values = sameValues(served.values, next.values) ? served.values : next.values;
  return { ...next, config, values };
}
