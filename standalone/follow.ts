import { stat } from 'node:fs/promises';
import { createFolderWatch } from '../proxy/config/folder-watch.ts';
import type { Env } from './expand.ts';
import { type Look, lookInto } from './look.ts';
import { isUnknown, type Shelf, shelve } from './shelf.ts';

export interface FollowOptions {
  readonly dirs: readonly string[];
  readonly env: Env;
  /** Called with what is known now, at first and after each look that found something else. Must not throw. */
  readonly changed: (shelf: Shelf, look: Look) => void;
  /** How often to look without having heard anything; default 500 ms. */
  readonly pollMs?: number;
}

const POLL_MS = 500;
/** After an event: several files are often written together. */
const GATHER_MS = 10;
/** Between the two looks that must agree that a file is gone: an editor's save takes a few milliseconds. */
const GONE_AFTER_MS = 100;

/** Follows the files of the folders. Resolves once they have been read for the first time. */
export async function followFolders(options: FollowOptions): Promise<{ readonly stop: () => Promise<void> }> {
  const { dirs, env, pollMs = POLL_MS } = options;
  const stopped = new AbortController();
  let heard = Promise.withResolvers<void>();
  const watches = dirs.map((dir) => ({ dir, watch: createFolderWatch(dir, () => heard.resolve()) }));
  let shelf: Shelf = new Map();
  let unreadable = '';
  let missing: ReadonlyMap<string, number> = new Map();

  const look = async (): Promise<void> => {
    const found = await lookInto(dirs);
    for (const { dir, watch } of watches) watch.follow(await identityOf(dir));
    missing = stillMissing(missing, shelf, found);
    const kept = [...shelf].filter(([path]) => missing.has(path));
    const next = new Map([...kept, ...shelve(shelf, found, env)]);
    const trouble = JSON.stringify([...found.unreadable]);
    const isNew = trouble !== unreadable || !isSame(shelf, next);
    unreadable = trouble;
    shelf = next;
    if (isNew) options.changed(shelf, found);
  };

  const follow = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await within(heard.promise, missing.size > 0 ? GONE_AFTER_MS : pollMs);
      if (stopped.signal.aborted) return;
      await within(aborted, GATHER_MS);
      heard = Promise.withResolvers<void>();
      await look();
    }
  };

  const aborted = new Promise<void>((resolve) => stopped.signal.addEventListener('abort', () => resolve()));
  await look();
  const done = follow();
  return {
    stop: async () => {
      stopped.abort();
      heard.resolve();
      await done;
      for (const { watch } of watches) watch.close();
    },
  };
}

/** Files that this look did not find either, but not for long enough yet, with when they were first missed. */
function stillMissing(missing: ReadonlyMap<string, number>, shelf: Shelf, look: Look): ReadonlyMap<string, number> {
  const now = performance.now();
  const absent = [...shelf.keys()].filter((path) => !look.files.has(path) && !isUnknown(path, look));
  return new Map(
    absent.map((path) => [path, missing.get(path) ?? now] as const).filter(([, since]) => now - since < GONE_AFTER_MS),
  );
}

function isSame(before: Shelf, now: Shelf): boolean {
  return before.size === now.size && [...now].every(([path, state]) => before.get(path) === state);
}

async function identityOf(dir: string): Promise<ReadonlyMap<string, string>> {
  try {
    const { dev, ino } = await stat(dir);
    return new Map([['', `${dev}:${ino}`]]);
  } catch {
    return new Map();
  }
}

async function within(event: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([event, late]);
  clearTimeout(timer);
}
