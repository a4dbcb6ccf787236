import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../program/log.ts';
import type { Documents } from './documents.ts';
import { canonicalJson } from './encode.ts';
import { fileNameOf, LastGood, lastGoodOf, writeAtomically } from './last-good-file.ts';
import { type LastProxies, writeLastProxies } from './last-proxies.ts';
import { type Owner, ownerKey } from './schema.ts';

/** Written once everything was read: without it a folder may hold the first few of many. */
const COMPLETE = 'complete.json';
const OWNER_FILE = /^[0-9a-f]{40}\.json$/;
const LEFT_BEHIND = /^\.([0-9a-f]{40}|complete|proxies)\.json\.[0-9a-f-]+\.tmp$/;
const WRITE_AFTER_MS = 1_000;
const RETRY_MS = 10_000;

export interface LastGoodKeeper {
  /** Everything there is was read: what else the folder holds is old. */
  readonly complete: () => void;
  /** Writes what is to be written and ends. */
  readonly stop: () => Promise<void>;
}

export interface KeeperOptions {
  readonly dir: string;
  readonly documents: Documents;
  readonly log: Log;
  /** From a change to its write; changes of that time are one write. */
  readonly writeAfterMs?: number;
}

/** Keeps the last good version of every owner on disk, a file each, and the list of proxies: a change writes that one only. */
export function keepLastGood({ dir, documents, log, writeAfterMs = WRITE_AFTER_MS }: KeeperOptions): LastGoodKeeper {
  const due = new Map<string, Owner>();
  let proxies: LastProxies | undefined;
  let areProxiesDue = false;
  let isSweepDue = false;
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();
  let complaint = '';

  const write = async (): Promise<void> => {
    const owners = [...due.values()];
    due.clear();
    const [isSweep, areProxies] = [isSweepDue, areProxiesDue];
    isSweepDue = false;
    areProxiesDue = false;
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      for (const owner of owners) await writeOwner(dir, documents, owner);
      if (areProxies) await writeLastProxies(dir, proxies);
      if (isSweep) await sweep(dir, documents);
      complaint = '';
    } catch (error) {
      for (const owner of owners) due.set(ownerKey(owner), owner);
      isSweepDue ||= isSweep;
      areProxiesDue ||= areProxies;
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== complaint)
        log.error({ dir, reason }, 'the last good documents cannot be written; serving goes on');
      complaint = reason;
      timer ??= setTimeout(() => void flush(), RETRY_MS).unref();
    }
  };

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write);
    return writing;
  };
  const schedule = (): void => {
    timer ??= setTimeout(() => void flush(), writeAfterMs);
  };
  const unwatch = documents.watchServed((owners) => {
    for (const owner of owners) due.set(ownerKey(owner), owner);
    schedule();
  });

  const unwatchProxies = documents.watchProxies((ids, source) => {
    proxies = source === undefined ? undefined : { source, ids };
    areProxiesDue = true;
    schedule();
  });

  return {
    complete: () => {
      isSweepDue = true;
      areProxiesDue = true;
      schedule();
    },
    stop: async () => {
      unwatch();
      unwatchProxies();
      if (due.size > 0 || isSweepDue || areProxiesDue) await flush();
      else clearTimeout(timer);
      await writing;
    },
  };
}

async function writeOwner(dir: string, documents: Documents, owner: Owner): Promise<void> {
  const record = documents.records.get(ownerKey(owner));
  const lastGood = record && lastGoodOf(record);
  if (lastGood === undefined) await rm(join(dir, fileNameOf(owner)), { force: true });
  else await writeAtomically(dir, fileNameOf(owner), lastGood);
}

/** Removes files of owners that are gone, and what a crash left half-written. */
async function sweep(dir: string, documents: Documents): Promise<void> {
  const served = [...documents.records.values()].filter((record) => record.served !== undefined);
  const current = new Set(served.map(({ owner }) => fileNameOf(owner)));
  for (const name of await readdir(dir)) {
    const isOurs = OWNER_FILE.test(name) || LEFT_BEHIND.test(name);
    if (isOurs && !current.has(name)) await rm(join(dir, name), { force: true });
  }
  await writeAtomically(dir, COMPLETE, { format: 1 });
}

/**
 * The last good versions that a folder holds; a damaged one is left out. undefined: no complete set was ever written
 * there, or nothing of it can be read.
 */
export async function readLastGood(dir: string, log: Log): Promise<LastGood[] | undefined> {
  try {
    const names = await readdir(dir);
    if (!names.includes(COMPLETE)) return undefined;
    const owners = names.filter((name) => OWNER_FILE.test(name)).sort();
    const all = await Promise.all(owners.map((name) => readOwner(join(dir, name), log)));
    const good = all.filter((lastGood) => lastGood !== undefined);
    return good.length === 0 && owners.length > 0 ? undefined : good;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isNone = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isNone) log.warn({ dir, reason }, 'the last good documents cannot be read; doing without');
    return undefined;
  }
}

async function readOwner(file: string, log: Log): Promise<LastGood | undefined> {
  try {
    return LastGood.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    log.warn({ file }, 'a last good document is damaged or cannot be read; doing without it');
    return undefined;
  }
}

/** Puts last good versions back; gives the sources that now hold something. */
export function restoreLastGood(saved: readonly LastGood[], documents: Documents): Set<string> {
  const sources = new Set<string>();
  const put = (source: string, text: string): void => {
    documents.put(source, text);
    sources.add(source);
  };
  for (const { owner, config, credentials, pieces, secrets, access } of saved) {
    put(config.source, config.text);
    if (credentials !== undefined) put(credentials.source, canonicalJson(credentials.document));
    for (const { source, document } of pieces) put(source, canonicalJson(document));
    for (const [name, data] of Object.entries(secrets)) {
      // The values kept of it are not all it held.
      const clients = name === access?.secret ? (access.clients ?? {}) : undefined;
      documents.putSecret(`${owner.namespace}/${name}`, data, clients);
    }
    if (access !== undefined && !Object.hasOwn(secrets, access.secret)) {
      documents.putSecret(`${owner.namespace}/${access.secret}`, access.clients && {}, access.clients);
    }
  }
  return sources;
}
