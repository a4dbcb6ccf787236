import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  createOverload,
  createOverloadState,
  look,
  OVERLOAD,
  type OverloadReason,
  overloadSeconds,
  retryAfterForHeld,
} from '../../../proxy/admit/overload.ts';

const LATE = 600;
const EMPTY = 0.5;

/** What is short after each look: of delays in milliseconds, or of parts of the heap. */
function reasons({ delays, heap }: { delays?: readonly number[]; heap?: readonly number[] }): OverloadReason[] {
  const state = createOverloadState();
  const count = Math.max(delays?.length ?? 0, heap?.length ?? 0);
  return Array.from({ length: count }, (_, n) => {
    look(state, { now: n * 250, delayMs: delays?.[n] ?? 0, heapPart: heap?.[n] ?? EMPTY }, OVERLOAD);
    return state.reason;
  });
}

const times = <T>(count: number, value: T): T[] => new Array<T>(count).fill(value);

describe('the event loop', () => {
  test.each([
    { name: 'once, for a long collection', delays: [0, 5000, 0, 0, 0, 0, 0, 0] },
    { name: 'three times in a row', delays: [LATE, LATE, LATE, 0, LATE, LATE, LATE, 0] },
    { name: 'always, by what is allowed', delays: times(20, 500) },
  ])('may be late $name', ({ delays }) => {
    expect(new Set(reasons({ delays }))).toEqual(new Set(['']));
  });

  test('is overloaded once it was late four times in a row', () => {
    expect(reasons({ delays: times(5, LATE) })).toEqual(['', '', '', 'event_loop', 'event_loop']);
  });

  test('has recovered once it was in time four times in a row', () => {
    const delays = [...times(4, LATE), 0, 0, 0, LATE, 0, 0, 0, 0, 0];
    expect(reasons({ delays }).slice(4)).toEqual([...times(7, 'event_loop'), '', '']);
  });
});

describe('the heap', () => {
  test('is too full above 92 %, at once, and until it is below 87 %', () => {
    expect(reasons({ heap: [0.92, 0.921, 0.88, 0.871, 0.869, 0.91] })).toEqual(['', 'heap', 'heap', 'heap', '', '']);
  });

  test('that stays full lets work in for a moment now and then, or V8 would have no cause to collect', () => {
    const seen = reasons({ heap: times(64, 0.95) });
    expect(seen.filter((reason) => reason === '')).toHaveLength(4);
    expect(seen.indexOf('')).toBe(15);
  });

  test('comes before the event loop where both are short', () => {
    expect(reasons({ delays: times(16, LATE), heap: times(16, 0.95) }).slice(3)).toEqual([
      ...times(12, 'heap'),
      'event_loop',
    ]);
  });
});

describe('Retry-After under overload', () => {
  test.each([
    { forMs: 0, seconds: 1 },
    { forMs: 4_001, seconds: 5 },
    { forMs: 12_000, seconds: 12 },
    { forMs: 600_000, seconds: 30 },
  ])('after $forMs ms of it is $seconds s', ({ forMs, seconds }) => {
    const state = createOverloadState();
    look(state, { now: 1000, delayMs: 0, heapPart: 0.95 }, OVERLOAD);
    look(state, { now: 1000 + forMs, delayMs: 0, heapPart: 0.95 }, OVERLOAD);
    expect(overloadSeconds(state, 1000 + forMs)).toBe(seconds);
  });

  test('is no less than the loop is late', () => {
    const state = createOverloadState();
    look(state, { now: 1000, delayMs: 7_000, heapPart: 0.95 }, OVERLOAD);
    expect(overloadSeconds(state, 1000)).toBe(7);
  });

  test('begins anew with each overload', () => {
    const state = createOverloadState();
    for (const [now, heapPart] of [
      [0, 0.95],
      [20_000, 0.5],
      [40_000, 0.95],
    ] as const) {
      look(state, { now, delayMs: 0, heapPart }, OVERLOAD);
    }
    expect(overloadSeconds(state, 42_000)).toBe(2);
  });

  test.each([
    { held: 1, max: 100, mean: 0.01, seconds: 1 },
    { held: 100, max: 100, mean: 4.2, seconds: 5 },
    { held: 150, max: 100, mean: 4, seconds: 6 },
    { held: 100, max: 100, mean: 600, seconds: 30 },
    { held: 10, max: 0, mean: 1, seconds: 10 },
  ])('for $held of $max bytes held, at $mean s a call, is $seconds s', ({ held, max, mean, seconds }) => {
    expect(retryAfterForHeld(held, max, mean)).toBe(seconds);
  });
});

describe('watching a process', () => {
  afterEach(() => vi.useRealTimers());

  /** A process whose clock and heap the test sets; each `tick` is the timer, come so much too late. */
  function watched() {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const world = { now: 0, heapUsed: 10 };
    const overload = createOverload({
      ...OVERLOAD,
      now: () => world.now,
      heapUsed: () => world.heapUsed,
      heapLimit: 100,
    });
    const tick = (lateMs: number): void => {
      world.now += OVERLOAD.sampleEveryMs + lateMs;
      vi.advanceTimersByTime(OVERLOAD.sampleEveryMs);
    };
    return { world, overload, tick };
  }

  test('sees by its timer how late the loop is, and how long that has lasted', () => {
    const { overload, tick } = watched();
    for (let n = 0; n < 3; n += 1) tick(1000);
    expect(overload.reason()).toBe('');
    for (let n = 0; n < 5; n += 1) tick(1000);
    expect([overload.reason(), overload.retryAfterSeconds()]).toEqual(['event_loop', 5]);
    for (let n = 0; n < 4; n += 1) tick(0);
    expect(overload.reason()).toBe('');
  });

  test('sees the heap', () => {
    const { world, overload, tick } = watched();
    world.heapUsed = 93;
    tick(0);
    expect([overload.reason(), overload.retryAfterSeconds()]).toEqual(['heap', 1]);
  });

  test('ends with stop', () => {
    const { world, overload, tick } = watched();
    overload.stop();
    world.heapUsed = 93;
    tick(0);
    expect([overload.reason(), vi.getTimerCount()]).toEqual(['', 0]);
  });

  test('keeps no process alive', () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const overload = createOverload({ ...OVERLOAD, now: () => performance.now(), heapUsed: () => 1, heapLimit: 100 });
    expect(timers()).toBe(before);
    overload.stop();
  });
});
