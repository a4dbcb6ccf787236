import type { Condition } from '../crds/status.ts';
import type { ConditionType, Verdict } from './translate/translation.ts';

export const CONDITION_TYPES = [
  'Accepted',
  'NamesClaimed',
  'ResolvedRefs',
  'Programmed',
  'Ready',
] as const satisfies readonly ConditionType[];

/** The schema's own bound. */
const MAX_MESSAGE = 32_768;

export type Conditions = Readonly<Partial<Record<ConditionType, Condition>>>;

/** Those of a status by type; of others' types nothing is kept. */
export function conditionsOf(status: { conditions?: readonly Condition[] | undefined } | undefined): Conditions {
  const known = new Set<string>(CONDITION_TYPES);
  return Object.fromEntries(
    (status?.conditions ?? []).filter(({ type }) => known.has(type)).map((condition) => [condition.type, condition]),
  );
}

/**
 * The condition a verdict makes: the time of the last change of `status` is kept, everything else is new.
 * `now` is in milliseconds since 1970.
 */
export function conditionFrom(
  verdict: Verdict,
  previous: Condition | undefined,
  generation: number,
  now: number,
): Condition {
  const isSame = previous?.status === verdict.status;
  return {
    type: verdict.type,
    status: verdict.status,
    observedGeneration: generation,
    lastTransitionTime: isSame ? previous.lastTransitionTime : timestamp(now),
    reason: verdict.reason,
    message: verdict.message.length <= MAX_MESSAGE ? verdict.message : `${verdict.message.slice(0, MAX_MESSAGE - 1)}…`,
  };
}

/** RFC 3339 to the second, as the API server writes it. */
function timestamp(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}
