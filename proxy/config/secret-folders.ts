import { join } from 'node:path';
import type { Documents } from './documents.ts';
import type { SecretData } from './pair.ts';
import { readSecretFolder } from './secret-files.ts';

/** The user's own Secrets in a config folder. */
export interface SecretFolders {
  /** Puts those that documents want as they are now. */
  readonly look: () => Promise<void>;
  /** Something that was there was not found: another look, soon, tells whether it is gone. */
  readonly misses: () => boolean;
}

/**
 * The folder belongs to one namespace's sidecar, so it names Secrets without their namespace: `secrets/NAME/KEY`. A
 * value is gone when looks `goneAfterMs` apart agree: who replaces files may do it in two steps.
 */
export function createSecretFolders(
  dir: string,
  documents: Pick<Documents, 'wants' | 'putSecret'>,
  goneAfterMs: number,
): SecretFolders {
  const known = new Map<string, SecretData>();
  const missedSince = new Map<string, number>();

  const isMissed = (secret: string, found: SecretData | undefined): boolean => {
    if (!lacks(found, known.get(secret) ?? {})) return false;
    const now = performance.now();
    const since = missedSince.get(secret) ?? now;
    missedSince.set(secret, since);
    return now - since < goneAfterMs;
  };

  const lookAt = async (secret: string): Promise<void> => {
    const found = await readSecretFolder(join(dir, 'secrets', secret.slice(secret.indexOf('/') + 1)));
    if (isMissed(secret, found)) return;
    forget(secret);
    if (found !== undefined) known.set(secret, found);
    documents.putSecret(secret, found);
  };

  const forget = (secret: string): void => {
    known.delete(secret);
    missedSince.delete(secret);
  };

  return {
    look: async () => {
      const { secrets } = documents.wants();
      for (const secret of [...known.keys()]) if (!secrets.has(secret)) forget(secret);
      for (const secret of secrets) await lookAt(secret);
    },
    misses: () => missedSince.size > 0,
  };
}

/** Whether a value that was there is gone, or emptied. */
function lacks(found: SecretData | undefined, before: SecretData): boolean {
  return Object.keys(before).some((key) => before[key] !== '' && textUnder(found, key) === '');
}

function textUnder(data: SecretData | undefined, key: string): string {
  return data !== undefined && Object.hasOwn(data, key) ? (data[key] ?? '') : '';
}
