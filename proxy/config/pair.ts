import {
  type BackendDocument,
  type CredentialsDocument,
  credentialKey,
  credentialText,
  type InstanceDocument,
  type PoolDocument,
  type SecretValue,
} from './schema.ts';

export type ConfigDocument = PoolDocument | InstanceDocument;

/** What a Secret holds, by key, decoded. */
export type SecretData = Readonly<Record<string, string>>;

/** The values a document is served with, by credentialKey. */
export interface Values {
  /** Of the Credentials they came from. Absent: the user's own Secrets, or none needed. */
  readonly id?: string;
  /** The source key of those Credentials. */
  readonly source?: string;
  readonly values: Readonly<Record<string, string>>;
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
  secrets: ReadonlyMap<string, SecretData>,
): Pairing {
  if (document.credentials === undefined) return pairWithSecrets(document, secrets);
  const { id } = document.credentials;
  for (const [source, credentials] of arrived) {
    if (credentials.id === id) return { values: { id, source, values: credentials.values } };
  }
  if (inUse?.id === id) return { values: inUse };
  return { waitsFor: `waits for its Credentials ${id}: no Secret with them has been read` };
}

function pairWithSecrets(document: ConfigDocument, secrets: ReadonlyMap<string, SecretData>): Pairing {
  const values: Record<string, string> = {};
  for (const need of secretValuesOf(document)) {
    const secret = `${document.namespace}/${need.secret}`;
    const data = secrets.get(secret);
    if (data === undefined) return { waitsFor: `waits for Secret ${secret}: it is not there, or may not be read` };
    const value = Object.hasOwn(data, need.key) ? data[need.key] : undefined;
    if (value === undefined) return { waitsFor: `waits for Secret ${secret}: it has no key ${need.key}` };
    values[credentialKey(need)] = credentialText(value);
  }
  return { values: { values } };
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
  if (document.credentials !== undefined) return [];
  const names = new Set(secretValuesOf(document).map(({ secret }) => secret));
  return [...names].filter((name) => SECRET_NAME.test(name)).map((name) => `${document.namespace}/${name}`);
}

/** Whether two sets of values are the same ones. */
export function sameValues(a: Values, b: Values): boolean {
  if (a.id !== undefined || b.id !== undefined) return a.id === b.id;
  const keys = Object.keys(a.values);
  return keys.length === Object.keys(b.values).length && keys.every((key) => a.values[key] === b.values[key]);
}
