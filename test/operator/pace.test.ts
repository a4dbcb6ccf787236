import { expect, test } from 'vitest';
import { createBucket, createGate } from '../../operator/pace.ts';

function clockwork() {
  let nowMs = 0;
  return { clock: () => nowMs, pass: (ms: number) => { nowMs += ms; } }; // biome-ignore format: one line
}

test('status writes: three at once, then one a second', () => {
  const { clock, pass } = clockwork();
  const bucket = createBucket({ burst: 3, intervalMs: 1_000 }, clock);
  expect([bucket.take('a'), bucket.take('a'), bucket.take('a')]).toEqual([0, 0, 0]);
  expect(bucket.take('a')).toBe(1_000);
  expect(bucket.take('b')).toBe(0);
  pass(400);
  expect(bucket.take('a')).toBe(600);
  pass(600);
  expect(bucket.take('a')).toBe(0);
  expect(bucket.take('a')).toBe(1_000);
});

test('never more than a burst and one a second, however they come', () => {
  const { clock, pass } = clockwork();
  const bucket = createBucket({ burst: 3, intervalMs: 1_000 }, clock);
  let writes = 0;
  for (let step = 0; step < 6_000; step++) {
    if (bucket.take('a') === 0) writes++;
    pass(10);
  }
  expect(writes).toBeLessThanOrEqual(3 + 60);
  expect(writes).toBeGreaterThanOrEqual(60);
});

test('an Event: one per key in five minutes', () => {
  const { clock, pass } = clockwork();
  const bucket = createBucket({ burst: 1, intervalMs: 300_000 }, clock);
  expect(bucket.take('a')).toBe(0);
  pass(299_999);
  expect(bucket.take('a')).toBe(1);
  pass(1);
  expect(bucket.take('a')).toBe(0);
});

test('keys of the past are forgotten, keys in use are not', () => {
  const { clock, pass } = clockwork();
  const bucket = createBucket({ burst: 1, intervalMs: 1_000 }, clock);
  for (let key = 0; key < 5_000; key++) {
    expect(bucket.take(`key ${key}`)).toBe(0);
    expect(bucket.take(`key ${key}`)).toBe(1_000);
    pass(1);
  }
});

test('endpoints: the first change at once, five writes a second after it', () => {
  const { clock, pass } = clockwork();
  const gate = createGate(200, clock);
  expect(gate.waitMs('a')).toBe(0);
  gate.passed('a', 1);
  expect(gate.waitMs('a')).toBe(200);
  pass(200);
  expect(gate.waitMs('a')).toBe(0);
  gate.passed('a', 4);
  expect(gate.waitMs('a')).toBe(800);
  gate.passed('b', 0);
  expect(gate.waitMs('b')).toBe(0);
});
