import type * as z from 'zod';
import { rule } from './rule.ts';
import { text } from './text.ts';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const PART = '([0-9]{1,8})(?:[.]([0-9]{1,3}))?(ms|s|m|h)';
/** How the API server recognises one. */
export const DURATION_PATTERN = '^([0-9]{1,8}([.][0-9]{1,3})?(ms|s|m|h))+$';
const FORM = new RegExp(DURATION_PATTERN);
const PARTS = new RegExp(PART, 'g');
const MAX_MS = 24 * UNIT_MS.h;

/**
 * Milliseconds of a Go-style duration such as `250ms` or `1m30s`, whole: half a millisecond rounds up.
 * Throws a RangeError that quotes a text it cannot read.
 */
export function parseDuration(text: string): number {
  const ms = exactMs(text);
  if (ms === undefined) throw new RangeError(`not a duration like 250ms, 30s or 1m30s: ${JSON.stringify(text)}`);
  return Math.round(ms);
}

/** A duration as a CR spells it: 0s, or 1ms … 24h. */
export const duration: z.ZodString = rule(
  text({
    min: 2,
    max: 32,
    pattern: DURATION_PATTERN,
    message: 'must be a duration like 250ms, 30s or 1m30s',
  }),
  {
    cel: "duration(self) == duration('0s') || (duration(self) >= duration('1ms') && duration(self) <= duration('24h'))",
    message: 'must be 0s, or between 1ms and 24h',
    check: (value) => inRange(exactMs(value)),
  },
);

// In thousandths of a millisecond sums stay whole numbers: what Go decides about 24h decides this too.
function exactMs(text: string): number | undefined {
  if (!FORM.test(text)) return undefined;
  let thousandths = 0;
  for (const [, whole, fraction = '', unit] of text.matchAll(PARTS)) {
    thousandths += (Number(whole) * 1_000 + Number(fraction.padEnd(3, '0'))) * UNIT_MS[unit as keyof typeof UNIT_MS];
  }
  return thousandths / 1_000;
}

function inRange(ms: number | undefined): boolean {
  return ms === undefined || ms === 0 || (ms >= 1 && ms <= MAX_MS);
}
