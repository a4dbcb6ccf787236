import { ownerKey } from '../proxy/config/schema.ts';
import { type Claim, type Claims, claimNames, createIsRefused, type IsRefused } from './translate/claim-names.ts';
import type { Resources, TranslateOptions } from './translate/resources.ts';

/** Which CR has which names, worked out anew only after something that could change it. */
export interface Names {
  readonly current: () => Claims;
  /** A CR or a published document changed. `ground`: something on which the judgement of every CR rests. */
  readonly invalidate: (what?: 'ground') => void;
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

  // A CR is a new object after each edit; judging a thousand others again would cost 30 ms.
  let judged = new WeakMap<object, boolean>();

  const isRefused: IsRefused = (resource) => {
    const known = judged.get(resource);
    if (known !== undefined) return known;
    const verdict = createIsRefused(resources, options)(resource);
    judged.set(resource, verdict);
    return verdict;
  };

  const refresh = (): Claims => {
    const now = claimNames(resources, options, isRefused);
    const keys = claims === undefined ? [] : differing(claims, now);
    claims = now;
    isValid = true;
    for (const key of keys) awaiting.add(key);
    if (keys.length > 0) changed(keys);
    return now;
  };

  return {
    current: () => (isValid && claims !== undefined ? claims : refresh()),
    invalidate: (what) => {
      isValid = false;
      if (what === 'ground') judged = new WeakMap();
    },
    awaiting: () => awaiting,
    done: (key) => awaiting.delete(key),
  };
}

function differing(before: Claims, now: Claims): string[] {
  const keys = new Set([...before.keys(), ...now.keys()]);
  return [...keys].filter((key) => textOf(before.get(key)) !== textOf(now.get(key)));
}

function textOf(claim: Claim | undefined): string {
  if (claim === undefined) return '';
  const lost = claim.lost.map(({ name, winner }) => `${name} ${ownerKey(winner)}`);
  return [claim.isGlobal, ...claim.names, '', ...lost].join('\n');
}
