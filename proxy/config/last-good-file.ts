import { createHash, randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { canonicalJson } from './encode.ts';
import type { OwnerRecord } from './owners.ts';
import { CredentialsDocument, EndpointsDocument, Owner, ownerKey } from './schema.ts';

/** The last good version of one owner, whole, so that no crash can leave a mixed one. Holds keys: its file is 0600. */
export const LastGood = z.object({
  format: z.literal(1),
  owner: Owner,
  config: z.object({ source: z.string(), text: z.string() }),
  credentials: z.object({ source: z.string(), document: CredentialsDocument }).optional(),
  pieces: z.array(z.object({ source: z.string(), document: EndpointsDocument })),
  /** Values of the user's own Secrets, by Secret and key. */
  secrets: z.record(z.string(), z.record(z.string(), z.string())).default({}),
  /** Of the user's own Secret of clients: sha256 of each key. Without `clients` it was missing. */
  access: z.object({ secret: z.string(), clients: z.record(z.string(), z.string()).optional() }).optional(),
});
export type LastGood = z.infer<typeof LastGood>;

/** undefined: nothing of it is served. */
export function lastGoodOf({ owner, served, pieces }: OwnerRecord): LastGood | undefined {
  if (served === undefined) return undefined;
  const { id, source, values, clients } = served.values;
  const { access } = served.config.document;
  const credentials: LastGood['credentials'] =
    id === undefined || source === undefined
      ? undefined
      : { source, document: { format: 1, kind: 'Credentials', of: owner, id, values: { ...values }, clients } };
  return {
    format: 1,
    owner,
    config: { source: served.source, text: served.config.text },
    credentials,
    pieces: [...pieces].map(([at, document]) => ({ source: at, document })),
    secrets: id === undefined ? bySecret(values) : {},
    access: id === undefined && access !== undefined ? { secret: access.secret, clients } : undefined,
  };
}

/** Undoes credentialKey: a Secret's name has no slash, so the first one ends it. */
function bySecret(values: Readonly<Record<string, string>>): Record<string, Record<string, string>> {
  const secrets: Record<string, Record<string, string>> = {};
  for (const [key, value] of Object.entries(values)) {
    const slash = key.indexOf('/');
    const name = key.slice(0, slash);
    secrets[name] = { ...secrets[name], [key.slice(slash + 1)]: value };
  }
  return secrets;
}

export function fileNameOf(owner: Owner): string {
  return `${createHash('sha256').update(ownerKey(owner)).digest('hex').slice(0, 40)}.json`;
}

/** Replaces the file as a whole; at any moment it is the old one or the new one. */
export async function writeAtomically(dir: string, name: string, content: unknown): Promise<void> {
  const aside = join(dir, `.${name}.${randomUUID()}.tmp`);
  try {
    await writeFile(aside, canonicalJson(content), { mode: 0o600, flag: 'wx' });
    await rename(aside, join(dir, name));
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}
