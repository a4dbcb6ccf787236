import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { translate } from '../operator/translate/translate.ts';
import type { Translation } from '../operator/translate/translation.ts';
import type { Log } from '../program/log.ts';
import type { Documents } from '../proxy/config/documents.ts';
import { canonicalJson } from '../proxy/config/encode.ts';
import type { CredentialsDocument } from '../proxy/config/schema.ts';
import { gather, OPTIONS, resourcesOf } from './gather.ts';
import type { Look } from './look.ts';
import { createSpeaker } from './say.ts';
import type { Shelf } from './shelf.ts';

interface Served {
  readonly translation: Translation;
  readonly credentials: Pick<CredentialsDocument, 'id' | 'values'>;
}

/** Gives what the files say to the proxy's documents, and says in the log what is wrong with them. */
export function createFeed(documents: Documents, log: Log): { readonly update: (shelf: Shelf, look: Look) => void } {
  const served = new Map<string, Served>();
  const say = createSpeaker(log);

  const update = (shelf: Shelf, look: Look): void => {
    const gathered = gather(shelf);
    const published = new Map([...served].map(([key, { translation }]) => [key, translation.models]));
    const translations = translate(resourcesOf(gathered, published), OPTIONS);
    for (const [key, translation] of translations) serve(key, translation);
    for (const key of served.keys()) if (!translations.has(key)) withdraw(key);
    say(gathered, translations, look);
    documents.settle();
  };

  /** A refused CR keeps its last good document. */
  const serve = (key: string, translation: Translation): void => {
    const { owner, document, credentials: values } = translation;
    if (document === undefined) return;
    const before = served.get(key)?.credentials;
    const isKept = before !== undefined && isDeepStrictEqual(before.values, values ?? {});
    const credentials = isKept ? before : { id: randomUUID(), values: values ?? {} };
    served.set(key, { translation, credentials });
    if (values === undefined) {
      documents.remove(credentialsOf(key));
      documents.put(key, canonicalJson(document));
      return;
    }
    documents.put(credentialsOf(key), canonicalJson({ format: 1, kind: 'Credentials', of: owner, ...credentials }));
    documents.put(key, canonicalJson({ ...document, credentials: { id: credentials.id } }));
  };

  const withdraw = (key: string): void => {
    served.delete(key);
    documents.remove(key);
    documents.remove(credentialsOf(key));
  };

  return { update };
}

function credentialsOf(key: string): string {
  return `${key} credentials`;
}
