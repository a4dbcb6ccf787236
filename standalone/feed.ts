import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { TranslateOptions } from '../operator/translate/resources.ts';
import { translate } from '../operator/translate/translate.ts';
import type { Credentials, Translation } from '../operator/translate/translation.ts';
import type { Log } from '../program/log.ts';
import type { Documents } from '../proxy/config/documents.ts';
import { canonicalJson } from '../proxy/config/encode.ts';
import { type Gathered, gather, resourcesOf } from './gather.ts';
import type { Look } from './look.ts';
import { createSpeaker } from './say.ts';
import type { Shelf } from './shelf.ts';

interface Served {
  readonly translation: Translation;
  readonly id: string;
}

/** Gives what the files say to the proxy's documents; what is refused is reported there, beside what it was before. */
export function createFeed(
  documents: Documents,
  options: TranslateOptions,
  log: Log,
): { readonly update: (shelf: Shelf, look: Look) => void } {
  const say = createSpeaker(log);
  const served = new Map<string, Served>();
  let failing: ReadonlyMap<string, string> = new Map();

  const update = (shelf: Shelf, look: Look): void => {
    const gathered = gather(shelf);
    const published = new Map([...served].map(([key, { translation }]) => [key, translation.models]));
    const translations = translate(resourcesOf(gathered, published), options);
    for (const [key, translation] of translations) serve(key, translation);
    for (const key of served.keys()) if (!translations.has(key)) withdraw(key);
    report(refusals(gathered, translations));
    say(translations, look);
    documents.settle();
  };

  /** A refused CR keeps its last good document. */
  const serve = (key: string, translation: Translation): void => {
    const { owner, document, credentials } = translation;
    if (document === undefined) return;
    const before = served.get(key);
    const id = idFor(credentials, before);
    served.set(key, { translation, id });
    if (credentials === undefined) {
      documents.remove(credentialsOf(key));
      documents.put(key, canonicalJson(document));
      return;
    }
    documents.put(credentialsOf(key), canonicalJson({ format: 1, kind: 'Credentials', of: owner, id, ...credentials }));
    documents.put(key, canonicalJson({ ...document, credentials: { id } }));
  };

  const withdraw = (key: string): void => {
    served.delete(key);
    documents.remove(key);
    documents.remove(credentialsOf(key));
  };

  const report = (now: ReadonlyMap<string, string>): void => {
    for (const [source, message] of now) documents.fail(source, message);
    for (const source of failing.keys()) if (!now.has(source) && !served.has(source)) documents.remove(source);
    failing = now;
  };

  return { update };
}

/** It stays while values and clients do. */
function idFor(credentials: Credentials | undefined, before: Served | undefined): string {
  const isKept = before !== undefined && isDeepStrictEqual(before.translation.credentials, credentials);
  return isKept ? before.id : randomUUID();
}

function credentialsOf(key: string): string {
  return `${key} credentials`;
}

/** What is not taken as it stands, by the object or else the file, and why. */
function refusals({ faults }: Gathered, translations: ReadonlyMap<string, Translation>): ReadonlyMap<string, string> {
  const messages = new Map<string, string[]>();
  const add = (source: string, message: string) => messages.set(source, [...(messages.get(source) ?? []), message]);
  for (const { file, key, message } of faults) add(key ?? file, key === undefined ? message : `${file}: ${message}`);
  for (const [key, { verdicts }] of translations) {
    const denial = verdicts.find(({ type, status }) => type === 'Accepted' && status === 'False');
    if (denial !== undefined && !messages.has(key)) add(key, denial.message);
  }
  return new Map([...messages].map(([source, all]) => [source, all.join('; ')]));
}
