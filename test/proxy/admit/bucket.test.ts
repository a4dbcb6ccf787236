import { describe, expect, test } from 'vitest';
import {
  type Bucket,
  createBucket,
  fullInMs,
  remainingTokens,
  resize,
  settleTaken,
  type Taken,
  take,
  waitMs,
} from '../../../proxy/admit/bucket.ts';
import { below, seeded } from '../http/json-fuzz.ts';

const MINUTE_MS = 60_000;

/** A bucket of 600 (10 a second), empty at 0. */
function emptied(): Bucket {
  const bucket = createBucket(600, 0);
  take(bucket, 600, 0);
  return bucket;
}

describe('a token bucket', () => {
  test.each([
    { tokens: 1, waits: 100 },
    { tokens: 10, waits: 1000 },
    { tokens: 600, waits: 60_000 },
    { tokens: 1_000_000, waits: 60_000 },
    { tokens: Number.POSITIVE_INFINITY, waits: 60_000 },
  ])('that is empty has $tokens of 600 a minute after $waits ms', ({ tokens, waits }) => {
    const bucket = emptied();
    expect(waitMs(bucket, tokens, 0)).toBeCloseTo(waits, 6);
    expect(waitMs(bucket, tokens, waits - 1)).toBeCloseTo(1, 6);
    expect(waitMs(bucket, tokens, waits)).toBe(0);
  });

  test('holds a minute’s worth and no more, however long it rests', () => {
    const bucket = emptied();
    expect([0, 1, 1_000, 60_000, 1e9].map((now) => remainingTokens(bucket, 600, now))).toEqual([0, 0, 10, 600, 600]);
    take(bucket, 600, 1e9);
    expect(remainingTokens(bucket, 600, 1e9)).toBe(0);
  });

  test('counts to the last token, whatever the capacity', () => {
    for (const capacity of [1, 3, 7, 60, 999, 1_000_000]) {
      const bucket = createBucket(capacity, 0);
      const taken = Math.min(capacity, 1000);
      for (let n = 1; n <= taken; n += 1) {
        expect(waitMs(bucket, 1, 0)).toBe(0);
        take(bucket, 1, 0);
        expect(remainingTokens(bucket, capacity, 0)).toBe(capacity - n);
      }
    }
  });

  test('says when it will be full', () => {
    const bucket = emptied();
    expect([0, 59_999, 60_000, 70_000].map((now) => fullInMs(bucket, now))).toEqual([60_000, 1, 0, 0]);
  });

  test.each([
    { used: 100, left: 500 },
    { used: 0, left: 600 },
    { used: 400, left: 200 },
    { used: 600, left: 0 },
    { used: 900, left: 0 },
  ])('of 600 with 400 reserved and $used used has $left left', ({ used, left }) => {
    const bucket = createBucket(600, 0);
    settleTaken(take(bucket, 400, 0), used, 0);
    expect(remainingTokens(bucket, 600, 0)).toBe(left);
  });

  test('pays for what was used beyond its level before it lets anything in', () => {
    const bucket = createBucket(600, 0);
    settleTaken(take(bucket, 400, 0), 900, 0);
    expect(waitMs(bucket, 0, 0)).toBeCloseTo(30_000, 6);
    expect(waitMs(bucket, 1, 0)).toBeCloseTo(30_100, 6);
  });

  test('reserves all it holds for what is larger, and gives no more than that back', () => {
    const bucket = createBucket(600, 0);
    const taken = take(bucket, 5000, 0);
    expect([taken.tokens, waitMs(bucket, 1, 0)]).toEqual([600, 100]);
    settleTaken(taken, 500, 0);
    expect(remainingTokens(bucket, 600, 0)).toBe(100);
  });

  test('is closed for an hour at most by usage that cannot be', () => {
    for (const absurd of [1e300, Number.POSITIVE_INFINITY]) {
      const bucket = createBucket(600, 0);
      settleTaken(take(bucket, 1, 0), absurd, 0);
      expect(waitMs(bucket, 600, 0)).toBe(61 * MINUTE_MS);
    }
  });

  test('does not give back what it has refilled since', () => {
    const bucket = createBucket(600, 0);
    const old = take(bucket, 600, 0);
    take(bucket, 600, 2 * MINUTE_MS);
    settleTaken(old, 0, 2 * MINUTE_MS);
    expect(waitMs(bucket, 1, 2 * MINUTE_MS)).toBeCloseTo(100, 6);
  });

  test('gives a long call’s reservation back where others have kept it drawn', () => {
    const bucket = createBucket(600, 0);
    const long = take(bucket, 300, 0);
    for (let now = 0; now <= 10 * MINUTE_MS; now += MINUTE_MS / 2) take(bucket, 300, now);
    settleTaken(long, 0, 10 * MINUTE_MS);
    expect(remainingTokens(bucket, 600, 10 * MINUTE_MS)).toBe(300);
  });

  test('keeps the part that is filled when its capacity changes, and is never more than full', () => {
    const bucket = createBucket(600, 0);
    take(bucket, 150, 0);
    resize(bucket, 60, 0);
    expect(remainingTokens(bucket, 60, 0)).toBe(45);
    resize(bucket, 6000, 0);
    expect(remainingTokens(bucket, 6000, 0)).toBe(4500);
    settleTaken({ bucket, tokens: 150, capacity: 600, at: 0 }, 0, 0);
    expect(remainingTokens(bucket, 6000, 0)).toBe(6000);
  });

  test('gives back the part that was taken, at the capacity of then', () => {
    const bucket = createBucket(600, 0);
    const taken = take(bucket, 60, 0);
    take(bucket, 300, 0);
    resize(bucket, 60, 0);
    settleTaken(taken, 0, 0);
    expect(remainingTokens(bucket, 60, 0)).toBe(30);
  });

  test.each([
    { capacity: 6000, waits: 6_000 },
    { capacity: 60, waits: 60_000 },
  ])('in debt by a minute waits $waits ms once it holds $capacity', ({ capacity, waits }) => {
    const bucket = createBucket(600, 0);
    settleTaken(take(bucket, 600, 0), 1200, 0);
    expect(waitMs(bucket, 0, 0)).toBeCloseTo(60_000, 6);
    resize(bucket, capacity, 0);
    expect(waitMs(bucket, 0, 0)).toBeCloseTo(waits, 6);
  });
});

/** The most that any 60 s hold of the amounts. */
function mostInAMinute(amounts: readonly { at: number; tokens: number }[]): number {
  let most = 0;
  for (const [first, { at }] of amounts.entries()) {
    let sum = 0;
    for (let n = first; n < amounts.length; n += 1) {
      const amount = amounts[n];
      if (amount === undefined || amount.at > at + MINUTE_MS) break;
      sum += amount.tokens;
      most = Math.max(most, sum);
    }
  }
  return most;
}

describe('any interleaving of taking, settling and resizing', () => {
  const seeds = Array.from({ length: 40 }, (_, seed) => seed);

  test.each(seeds)('grants at most twice the capacity within any minute (seed %i)', (seed) => {
    const random = seeded(seed);
    const largest = 1 + below(random, 500);
    const bucket = createBucket(largest, 0);
    const out: Taken[] = [];
    const amounts: { at: number; tokens: number }[] = [];
    let now = 0;
    for (let step = 0; step < 400; step += 1) {
      now += below(random, 3) === 0 ? 0 : random() * 2000;
      if (below(random, 20) === 0) resize(bucket, 1 + below(random, largest), now);
      const settled = below(random, 4) === 0 ? out.splice(below(random, out.length), 1)[0] : undefined;
      if (settled !== undefined) {
        const used = random() * settled.tokens * 1.2;
        settleTaken(settled, used, now);
        amounts.push({ at: now, tokens: Math.min(0, used - settled.tokens) * (largest / settled.capacity) });
        continue;
      }
      const tokens = random() * bucket.capacity;
      const waits = waitMs(bucket, tokens, now);
      if (waits > 0) {
        expect(waitMs(bucket, tokens, now + waits)).toBe(0);
        continue;
      }
      const taken = take(bucket, tokens, now);
      out.push(taken);
      amounts.push({ at: now, tokens: taken.tokens });
    }
    expect(mostInAMinute(amounts)).toBeLessThanOrEqual(2 * largest + 0.01);
    expect(mostInAMinute(amounts)).toBeGreaterThan(0);
  });
});
