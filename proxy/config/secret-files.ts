import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretData } from './pair.ts';

const MAX_BYTES = 1024 * 1024;

/**
 * What a mounted Secret holds: each file is a key. A mount is read through its `..data` link at one moment, so that a
 * certificate and its key are of one version. undefined: there is no such folder.
 */
export async function readSecretFolder(folder: string): Promise<SecretData | undefined> {
  // The version that is being read may be swapped away; the one after it then stands.
  return (await readVersion(folder)) ?? (await readVersion(folder));
}

async function readVersion(folder: string): Promise<SecretData | undefined> {
  try {
    const version = await realpath(join(folder, '..data')).catch(() => folder);
    const names = (await readdir(version)).filter((name) => !name.startsWith('..'));
    const entries = await Promise.all(names.map((name) => readKey(version, name)));
    return Object.fromEntries(entries.filter((entry) => entry !== undefined));
  } catch {
    return undefined;
  }
}

async function readKey(folder: string, name: string): Promise<[string, string] | undefined> {
  const path = join(folder, name);
  const stats = await stat(path);
  return stats.isFile() && stats.size <= MAX_BYTES ? [name, await readFile(path, 'utf8')] : undefined;
}
