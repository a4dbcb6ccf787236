import { createHash } from 'node:crypto';

/** JSON with sorted keys and without undefined members: equal content is equal bytes. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

/** The revision of a document: lower-case hex sha256 over its bytes as published. */
export function revisionOf(bytes: string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A value as it is used: without the line ends that a file of a key brings along. */
export function credentialText(stored: string): string {
  let end = stored.length;
  while (stored[end - 1] === '\n' || stored[end - 1] === '\r') end -= 1;
  return stored.slice(0, end);
}

/** What the Secret of an `access` says. */
export interface AccessKeys {
  /** sha256 in lower-case hex of each client's key, by client; no two are the same. */
  readonly clients: Readonly<Record<string, string>>;
  /** Which of its keys let nobody in, and why: `key 'a' is empty`. Nothing of a value is told. */
  readonly unusable: readonly string[];
}

/** As a client can send one: whoever reads the header cuts off spaces at its ends. U+FFFD stands for what was no text. */
const CLIENT_KEY = /^(?! )[^\p{Cc}\uFFFD]+(?<! )$/u;

/** Reads decoded `data`: one key a value, without line ends at its end. Of two clients with one key it is the first's by name. */
export function readAccessKeys(data: Readonly<Record<string, string>>): AccessKeys {
  const clients = new Map<string, string>();
  const unusable: string[] = [];
  for (const [client, stored] of Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = credentialText(stored);
    const fault = clientFault(client, key);
    const hash = revisionOf(key);
    if (fault !== undefined) unusable.push(`key '${client}' ${fault}`);
    else if (clients.has(hash)) unusable.push(`key '${client}' holds the same as '${clients.get(hash)}'`);
    else clients.set(hash, client);
  }
  return { clients: Object.fromEntries([...clients].map(([hash, client]) => [client, hash])), unusable };
}

function clientFault(client: string, key: string): string | undefined {
  // A Secret may have such a key, but JSON readers drop it.
  if (client === '__proto__') return 'cannot name a client';
  if (key === '') return 'is empty';
  return CLIENT_KEY.test(key) ? undefined : 'is not one line of text without spaces around it';
}
