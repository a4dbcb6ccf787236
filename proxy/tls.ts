import { readFile } from 'node:fs/promises';
import type { Log } from '../program/log.ts';
import type { TlsPair } from './http/server.ts';

/** Certificate and key as files, for instance a mounted Secret. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** @throws Error that names the file. */
export async function readTls(files: TlsFiles): Promise<TlsPair> {
  const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')]);
  return { cert, key };
}

/** Calls `changed` with each new pair; one that cannot be used is logged once, and the last stays. */
export function followTls(
  files: TlsFiles,
  first: TlsPair,
  changed: (pair: TlsPair) => void,
  log: Log,
  pollMs: number,
): { stop: () => void } {
  let last = first;
  let complaint = '';
  const look = async (): Promise<void> => {
    try {
      const pair = await readTls(files);
      if (pair.cert === last.cert && pair.key === last.key) return;
      changed(pair);
      last = pair;
      complaint = '';
      log.info({ file: files.cert }, 'certificate renewed');
    } catch (error) {
      const { message } = error as Error;
      if (message !== complaint)
        log.error({ err: error, file: files.cert }, 'cannot use the certificate; the last one stays');
      complaint = message;
    }
  };
  const timer = setInterval(() => void look(), pollMs);
  return { stop: () => clearInterval(timer) };
}
