import { hash } from 'node:crypto';
import { hashOf } from '../balance/rendezvous.ts';
import { ProxyError } from '../errors.ts';
import type { Pool } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';

/** The key of `Authorization: Bearer KEY`; undefined for none, for another scheme, and for two such headers. */
export function presentedKey(rawHeaders: readonly string[]): string | undefined {
  let value: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length !== AUTHORIZATION.length || name.toLowerCase() !== AUTHORIZATION) continue;
    // Which of two is meant, the next server may see differently.
    if (value !== undefined) return undefined;
    value = rawHeaders[index + 1] as string;
  }
  return value === undefined ? undefined : BEARER.exec(value)?.[1];
}

const AUTHORIZATION = 'authorization';
const BEARER = /^bearer +(\S.*)$/i;

/**
 * Who calls, for fair turns and limits: the name that the pool's Secret gives the key's owner. In an open pool a hash of
 * whatever key came; empty without one.
 * @throws ProxyError invalid_api_key, model_not_allowed, or access_unavailable with `retryAfterSeconds`.
 */
export function authorize(
  pool: Pool,
  key: string | undefined,
  snapshot: Snapshot,
  retryAfterSeconds: () => number,
): string {
  if (pool.access === undefined) return key === undefined ? '' : String(hashOf(key));
  const { clients } = pool.access;
  if (clients === undefined) {
    const message = `Nobody can be let in to pool '${pool.key}': the Secret with its client keys is missing`;
    throw new ProxyError('access_unavailable', message, { retryAfterSeconds: retryAfterSeconds() });
  }
  if (key === undefined) {
    const message = `You didn't provide an API key; pool '${pool.key}' needs one as 'Authorization: Bearer KEY'`;
    throw new ProxyError('invalid_api_key', message);
  }
  const digest = digestOf(key);
  const client = clients.get(digest);
  if (client !== undefined) return client;
  if (!isKnown(digest, snapshot)) throw new ProxyError('invalid_api_key', 'Incorrect API key provided');
  const message = `Your key may not use the models of pool '${pool.key}'; GET /v1/models lists those it may`;
  throw new ProxyError('model_not_allowed', message, { param: 'model' });
}

/** Tells of pools whether they are open or know the key. */
export function usableWith(key: string | undefined): (pool: Pool) => boolean {
  const digest = key === undefined ? '' : digestOf(key);
  return ({ access }) => access === undefined || (access.clients?.has(digest) ?? false);
}

/**
 * Keys are looked up by their sha256: what the time of a look-up could tell is of the hash, and nobody can choose one.
 * Node reads header bytes as latin1; the hash is over the bytes.
 */
function digestOf(key: string): string {
  return hash('sha256', NOT_ASCII.test(key) ? Buffer.from(key, 'latin1') : key, 'hex');
}

const NOT_ASCII = /[^\x20-\x7e]/;

function isKnown(digest: string, { states }: Snapshot): boolean {
  for (const { current } of states.values()) if (current?.access?.clients?.has(digest)) return true;
  return false;
}
