import { isDeepStrictEqual } from 'node:util';
import { type AccessKeys, credentialText } from './encode.ts';
import {
  type BackendDocument,
  type CredentialsDocument,
  credentialKey,
  type InstanceDocument,
  type PoolDocument,
  type SecretValue,
} from './schema.ts';

export type ConfigDocument = PoolDocument | InstanceDocument;

/** What a Secret holds, by key, decoded. */
export type SecretData = Readonly<Record<string, string>>;

export type Clients = AccessKeys['clients'];

/** A Secret of the user's, read by name. */
export interface UserSecret {
  readonly data: SecretData;
  /** What it says as the Secret of an `access`. */
  readonly clients: Clients;
}

/** By `namespace/name`. One that is here as undefined was looked for and is missing; of any other nothing is known yet. */
export type UserSecrets = ReadonlyMap<string, UserSecret | undefined>;

/** What a document is served with, `values` by credentialKey. */
export interface Values {
  /** Of the Credentials they came from. Absent: the user's own Secrets, or none needed. */
  readonly id?: string;
  /** The source key of those Credentials. */
  readonly source?: string;
  readonly values: Readonly<Record<string, string>>;
  /** Absent: the Secret of its `access` is missing, or it has none. */
  readonly clients?: Clients | undefined;
}

export type Pairing = { readonly values: Values } | { readonly waitsFor: string };

/**
 * The values that belong to this very document, or what it waits for. A document that names Credentials takes those of
 * that id and no others: arrived ones, or the ones in use; one that names none takes the user's own Secrets.
 */
export function pair(
  document: ConfigDocument,
  arrived: ReadonlyMap<string, CredentialsDocument>,
  inUse: Values | undefined,
  secrets: UserSecrets,
): Pairing {
  if (document.credentials === undefined) return pairWithSecrets(document, secrets);
  const { id } = document.credentials;
  for (const [source, credentials] of arrived) {
    if (credentials.id === id)
      return { values: { id, source, values: credentials.values, clients: credentials.clients } };
  }
  if (inUse?.id === id) return { values: inUse };
  return { waitsFor: `waits for its Credentials ${id}: no Secret with them has been read` };
}

function pairWithSecrets(document: ConfigDocument, secrets: UserSecrets): Pairing {
  const values: Record<string, string> = {};
  for (const need of secretValuesOf(document)) {
    const secret = `${document.namespace}/${need.secret}`;
    const data = secrets.get(secret)?.data;
    if (data === undefined) return { waitsFor: `waits for Secret ${secret}: it is not there, or may not be read` };
    const value = Object.hasOwn(data, need.key) ? data[need.key] : undefined;
    if (value === undefined) return { waitsFor: `waits for Secret ${secret}: it has no key ${need.key}` };
    values[credentialKey(need)] = credentialText(value);
  }
  const access = accessSecretOf(document);
  if (access === undefined) return { values: { values } };
  if (!secrets.has(access)) return { waitsFor: `waits for Secret ${access}: it has not been read` };
  return { values: { values, clients: secrets.get(access)?.clients } };
}

/** The values a document is served with already, and whom its Secret lets in by now: nobody stays in who was taken out. */
export function withPresentClients(document: ConfigDocument, values: Values, secrets: UserSecrets): Values {
  const access = accessSecretOf(document);
  if (access === undefined || !secrets.has(access)) return values;
  return { ...values, clients: secrets.get(access)?.clients };
}

/** The Secret, as `namespace/name`, whose keys a sidecar lets in. */
export function accessSecretOf({ credentials, namespace, access }: ConfigDocument): string | undefined {
  return access === undefined || credentials !== undefined ? undefined : `${namespace}/${access.secret}`;
}

/** Every value of Secrets that a document uses. */
function secretValuesOf(document: ConfigDocument): SecretValue[] {
  const backends = document.kind === 'LLMPool' ? document.backends : [document.backend];
  return backends.flatMap((backend) => (backend === undefined ? [] : backendSecrets(backend)));
}

function backendSecrets({ headers, query, tls }: BackendDocument): SecretValue[] {
  const all = [...headers, ...query].map(({ valueFrom }) => valueFrom).concat(tls?.ca, tls?.cert, tls?.key);
  return all.filter((value) => value !== undefined);
}

const SECRET_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** The Secrets, as `namespace/name`, that a document reads by name. Names that no Secret can have are left out. */
export function secretsReadByName(document: ConfigDocument): string[] {
  const { credentials, access } = document;
  if (credentials !== undefined) return [];
  const names = secretValuesOf(document).map(({ secret }) => secret);
  return [...new Set(access === undefined ? names : [...names, access.secret])]
    .filter((name) => SECRET_NAME.test(name))
    .map((name) => `${document.namespace}/${name}`);
}

/** Whether two sets of values are the same ones. */
export function sameValues(a: Values, b: Values): boolean {
  if (a.id !== undefined || b.id !== undefined) return a.id === b.id;
  return isDeepStrictEqual(a.values, b.values) && isDeepStrictEqual(a.clients, b.clients);
}
