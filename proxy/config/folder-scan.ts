import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface FoundFile {
  /** Below the folder: `chat/config.json`. */
  readonly path: string;
  readonly bytes: number;
  /** Another one means another content; the same one only where `isSettled`. */
  readonly signature: string;
  /** So long unchanged that no later write can have the same times. */
  readonly isSettled: boolean;
}

export interface FolderScan {
  readonly files: ReadonlyMap<string, FoundFile>;
  /** Folders walked, by path below the folder ('' is itself), with their identity. */
  readonly folders: ReadonlyMap<string, string>;
  /** What could not be looked at, by path, and why. What lies below is unknown, not gone. */
  readonly problems: ReadonlyMap<string, string>;
}

interface Walk {
  readonly root: string;
  readonly nowMs: number;
  readonly files: Map<string, FoundFile>;
  readonly folders: Map<string, string>;
  readonly problems: Map<string, string>;
  readonly seen: Set<string>;
}

const MAX_DEPTH = 16;
/** File times move in steps of up to 10 ms on common kernels, and some file systems keep whole seconds. */
const SETTLED_AFTER_MS = 2_000;

/**
 * Every `*.json` of a folder at any depth, links followed, nothing read twice. Hidden entries are passed over: the
 * `..data` link and the dated folders behind it, and what editors write aside. `secrets/NAME/` holds values, not documents.
 * @throws where the folder itself cannot be read.
 */
export async function scanFolder(root: string, nowMs: number): Promise<FolderScan> {
  const walk: Walk = { root, nowMs, files: new Map(), folders: new Map(), problems: new Map(), seen: new Set() };
  await enter(walk, '', 0);
  const problem = walk.problems.get('');
  if (problem !== undefined) throw new Error(problem);
  return walk;
}

async function enter(walk: Walk, path: string, depth: number): Promise<void> {
  if (depth > MAX_DEPTH) return;
  try {
    const { dev, ino } = await stat(join(walk.root, path), { bigint: true });
    const identity = `${dev}:${ino}`;
    if (walk.seen.has(identity)) return;
    walk.seen.add(identity);
    const entries = await readdir(join(walk.root, path));
    walk.folders.set(path, identity);
    if (/^secrets\/[^/]+$/.test(path)) return;
    const names = entries.filter((name) => !name.startsWith('.')).sort();
    const below = await inChunks(names, (name) => look(walk, path === '' ? name : `${path}/${name}`));
    for (const folder of below) if (folder !== undefined) await enter(walk, folder, depth + 1);
  } catch (error) {
    note(walk, path, error);
  }
}

/** Takes down a document file; gives the path back where it is a folder to walk. */
async function look(walk: Walk, path: string): Promise<string | undefined> {
  try {
    const stats = await stat(join(walk.root, path), { bigint: true });
    if (stats.isDirectory()) return path;
    if (!stats.isFile() || !path.endsWith('.json')) return undefined;
    const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = stats;
    const signature = `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
    const isSettled = walk.nowMs - Number(ctimeMs) > SETTLED_AFTER_MS;
    walk.files.set(path, { path, bytes: Number(size), signature, isSettled });
  } catch (error) {
    note(walk, path, error);
  }
  return undefined;
}

/** What vanished since it was listed is simply not there; but the folder itself has to be. */
function note(walk: Walk, path: string, error: unknown): void {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  if (path === '' || (code !== 'ENOENT' && code !== 'ENOTDIR')) walk.problems.set(path, code);
}

const AT_ONCE = 32;

async function inChunks<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(act))));
  }
  return results;
}
