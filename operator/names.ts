import { isDeepStrictEqual } from 'node:util';
import { type Claims, claimNames } from './translate/claim-names.ts';
import type { Resources, TranslateOptions } from './translate/resources.ts';

/** Which CR has which names, worked out anew only after something that could change it. */
export interface Names {
  readonly current: () => Claims;
  /** A CR or a published document changed. */
  readonly invalidate: () => void;
  /** Those whose claims changed and who were not brought up to date since. */
  readonly awaiting: () => Iterable<string>;
  readonly done: (key: string) => void;
}

/** `changed` hears of the CRs, by ownerKey, whose claims are others than before. */
export function createNames(
  resources: Resources,
  options: TranslateOptions,
  changed: (keys: readonly string[]) => void,
): Names {
  const awaiting = new Set<string>();
  let claims: Claims | undefined;
  let isValid = false;

  const refresh = (): Claims => {
    const now = claimNames(resources, options);
    const keys = claims === undefined ? [] : differing(claims, now);
    claims = now;
    isValid = true;
    for (const key of keys) awaiting.add(key);
    if (keys.length > 0) changed(keys);
    return now;
  };

  return {
    current: () => (isValid && claims !== undefined ? claims : refresh()),
    invalidate: () => {
      isValid = false;
    },
    awaiting: () => awaiting,
    done: (key) => awaiting.delete(key),
  };
}

function differing(before: Claims, now: Claims): string[] {
  const keys = new Set([...before.keys(), ...now.keys()]);
  return [...keys].filter((key) => !isDeepStrictEqual(before.get(key), now.get(key)));
}
