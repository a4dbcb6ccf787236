import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Log } from '../../program/log.ts';
import type { Documents } from './documents.ts';
import { canonicalJson } from './encode.ts';
import { writeAtomically } from './last-good-file.ts';
import { ProxiesDocument } from './schema.ts';

const FILE = 'proxies.json';

const LastProxies = z.object({ source: z.string(), ids: ProxiesDocument.shape.ids.readonly() });
/** The last good list of proxies, as kept beside the last good documents, and the source it came from. */
export type LastProxies = z.infer<typeof LastProxies>;

/** undefined: there is none any more. */
export async function writeLastProxies(dir: string, proxies: LastProxies | undefined): Promise<void> {
  if (proxies === undefined) await rm(join(dir, FILE), { force: true });
  else await writeAtomically(dir, FILE, proxies);
}

/** undefined: none was kept, or it cannot be read. */
export async function readLastProxies(dir: string, log: Log): Promise<LastProxies | undefined> {
  const text = await readFile(join(dir, FILE), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return LastProxies.parse(JSON.parse(text));
  } catch {
    log.warn({ file: join(dir, FILE) }, 'the last good list of proxies is damaged; doing without it');
    return undefined;
  }
}

/** Puts it back; gives the sources that now hold something. */
export function restoreLastProxies(proxies: LastProxies | undefined, documents: Documents): readonly string[] {
  if (proxies === undefined) return [];
  documents.put(proxies.source, canonicalJson({ format: 1, kind: 'Proxies', ids: proxies.ids }));
  return [proxies.source];
}
