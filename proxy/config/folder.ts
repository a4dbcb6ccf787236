import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../program/log.ts';
import type { Documents } from './documents.ts';
import { type FolderScan, type FoundFile, scanFolder } from './folder-scan.ts';
import { createFolderWatch } from './folder-watch.ts';
import { createSecretFolders, type SecretFolders } from './secret-folders.ts';

/** Something that keeps the documents up to date until it is stopped. */
export interface ConfigFeed {
  readonly stop: () => Promise<void>;
}

export interface FolderOptions {
  readonly dir: string;
  readonly documents: Documents;
  readonly log: Log;
  /** How often to look without having heard anything; default 1 s. */
  readonly pollMs?: number;
}

const POLL_MS = 1_000;
/** After an event: several files are often written together. */
const GATHER_MS = 10;
/** Between the two looks that must agree that a file is gone: a swap or an editor's save takes a few milliseconds. */
const GONE_AFTER_MS = 100;
/** A ConfigMap holds 1 MiB. */
const MAX_BYTES = 4 * 1024 * 1024;

interface Round {
  readonly dir: string;
  readonly documents: Documents;
  /** What was read, by path, with the signature it had. */
  readonly known: Map<string, string>;
  /** Files that the last look did not find, and when that was first so. */
  readonly missing: Map<string, number>;
  /** What could not be looked at the last time. */
  readonly troubled: Set<string>;
  readonly secrets: SecretFolders;
}

/** Follows the documents of a folder: edits, new files, deletions, and the link swap of a mounted ConfigMap. */
export function followFolder({ dir, documents, log, pollMs = POLL_MS }: FolderOptions): ConfigFeed {
  const secrets = createSecretFolders(dir, documents, GONE_AFTER_MS);
  const round: Round = { dir, documents, known: new Map(), missing: new Map(), troubled: new Set(), secrets };
  const stopped = new AbortController();
  let wake = Promise.withResolvers<void>();
  const heard = (): void => wake.resolve();
  const watch = createFolderWatch(dir, heard);
  const unwatchWants = documents.watchWants(heard);
  stopped.signal.addEventListener('abort', heard);
  let complaint = '';

  const look = async (): Promise<void> => {
    try {
      watch.follow(await takeRound(round));
      if (complaint !== '') log.info({ dir }, 'the config folder can be read again');
      complaint = '';
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== complaint)
        log.error({ dir, reason }, 'the config folder cannot be read; trying on, what was read stays');
      complaint = reason;
    }
  };

  const follow = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      wake = Promise.withResolvers<void>();
      await look();
      await within(wake.promise, round.missing.size > 0 || secrets.misses() ? GONE_AFTER_MS : pollMs);
      if (!stopped.signal.aborted) await within(stopping, GATHER_MS);
    }
  };

  const stopping = new Promise<void>((resolve) => stopped.signal.addEventListener('abort', () => resolve()));
  const done = follow();
  return {
    stop: async () => {
      stopped.abort();
      unwatchWants();
      await done;
      watch.close();
    },
  };
}

async function within(event: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([event, late]);
  clearTimeout(timer);
}

/** One look at everything; reads what is new, and gives the folders to watch. */
async function takeRound(round: Round): Promise<ReadonlyMap<string, string>> {
  const scan = await scanFolder(round.dir, Date.now());
  const changed = [...scan.files.values()].filter(({ path, signature }) => round.known.get(path) !== signature);
  const texts = await Promise.all(changed.map(async (file) => ({ file, ...(await readText(round.dir, file)) })));
  for (const { file, text, problem } of texts) {
    if (problem === 'gone') continue;
    round.known.set(file.path, file.isSettled ? file.signature : '');
    if (text !== undefined) round.documents.put(file.path, text);
    else round.documents.fail(file.path, problem);
  }
  followTrouble(round, scan);
  dropMissing(round, scan);
  await round.secrets.look();
  round.documents.settle('folder');
  return scan.folders;
}

function followTrouble({ documents, known, troubled }: Round, { problems }: FolderScan): void {
  for (const path of troubled) {
    if (problems.has(path)) continue;
    troubled.delete(path);
    if (!known.has(path)) documents.remove(path);
  }
  for (const [path, code] of problems) {
    troubled.add(path);
    // Read it again when it can be, whatever its times say.
    if (known.has(path)) known.set(path, '');
    documents.fail(path, `cannot be read (${code})`);
  }
}

type Read = { readonly text: string; readonly problem?: never } | { readonly text?: never; readonly problem: string };

async function readText(dir: string, { path, bytes }: FoundFile): Promise<Read> {
  if (bytes > MAX_BYTES) return { problem: `is larger than ${MAX_BYTES} bytes` };
  try {
    return { text: await readFile(join(dir, path), 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { problem: code === 'ENOENT' ? 'gone' : `cannot be read (${code})` };
  }
}

/** A file is gone when two looks agree; what lies below something unreadable is not known to be gone. */
function dropMissing({ documents, known, missing }: Round, { files, problems }: FolderScan): void {
  const isUnknown = (path: string): boolean =>
    [...problems.keys()].some((at) => path === at || path.startsWith(`${at}/`));
  for (const path of known.keys()) {
    if (files.has(path) || isUnknown(path)) missing.delete(path);
    else if (!missing.has(path)) missing.set(path, performance.now());
    else if (performance.now() - (missing.get(path) ?? 0) >= GONE_AFTER_MS) {
      missing.delete(path);
      known.delete(path);
      documents.remove(path);
    }
  }
}
