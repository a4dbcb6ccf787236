import { createHash } from 'node:crypto';

/** The Credentials document `id` of ml/`name` that lets in these clients, by their keys; undefined: no Secret. */
export function clientKeys(
  name: string,
  id: string,
  clients: Readonly<Record<string, string>> | undefined,
  kind = 'LLMPool',
): Record<string, unknown> {
  const hashed = (key: string): string => createHash('sha256').update(key).digest('hex');
  return {
    ...{ format: 1, kind: 'Credentials', of: { kind, namespace: 'ml', name }, id, values: {} },
    ...(clients !== undefined && {
      clients: Object.fromEntries(Object.entries(clients).map(([client, key]) => [client, hashed(key)])),
    }),
  };
}

/** What a pool's document says to ask for the keys of that Credentials document. */
export function keyed(id: string): object {
  return { access: { secret: 'clients' }, credentials: { id } };
}

/** The headers of a call with this key. */
export function withKey(key: string): { headers: { authorization: string } } {
  return { headers: { authorization: `Bearer ${key}` } };
}
