import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export type FileText = { readonly text: string } | { readonly problem: string };

/** What the folders hold at one moment. */
export interface Look {
  /** Every `*.yaml` by its path, `FOLDER/NAME`; hidden files do not count. */
  readonly files: ReadonlyMap<string, FileText>;
  /** Folders that could not be read, and why: what lies in them is unknown, not gone. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** CRs are small; what is larger is something else under a wrong name. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Reads every `*.yaml` that lies in the folders themselves, sorted by path. Never throws. */
export async function lookInto(dirs: readonly string[]): Promise<Look> {
  const unreadable = new Map<string, string>();
  const texts: [string, FileText][] = [];
  for (const dir of new Set(dirs)) {
    try {
      const names = await readdir(dir);
      const own = names.filter((name) => name.endsWith('.yaml') && !name.startsWith('.')).sort();
      for (const path of own.map((name) => join(dir, name))) texts.push(...(await readText(path)));
    } catch (error) {
      unreadable.set(dir, reasonOf(error));
    }
  }
  return { files: new Map(texts), unreadable };
}

/** None where it vanished since it was listed, or is a folder. */
async function readText(path: string): Promise<[string, FileText][]> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MAX_BYTES) return [[path, { problem: `is larger than ${MAX_BYTES} bytes` }]];
    return [[path, { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }]];
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === 'ENOENT' || reason === 'EISDIR') return [];
    return [[path, { problem: error instanceof TypeError ? 'is not UTF-8' : `cannot be read (${reason})` }]];
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
