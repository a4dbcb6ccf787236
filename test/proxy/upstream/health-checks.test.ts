import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { EndpointState, HealthCheck, Pool, PoolState } from '../../../proxy/pool.ts';
import { createHealthChecks, type HealthChecks } from '../../../proxy/upstream/health-checks.ts';
import { type BackendPlan, poolOf, stateOf } from '../balance/pools.ts';

const SETTINGS: HealthCheck = {
  ...{ path: 'models', intervalMs: 30_000, timeoutMs: 5_000 },
  ...{ unhealthyThreshold: 2, healthyThreshold: 1 },
};

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => vi.useRealTimers());

interface Asked {
  readonly address: string;
  readonly path: string;
  readonly timeoutMs: number;
  readonly at: number;
}

/** Checks of a pool whose endpoints answer as `isWell` says, those that hang only when `answer` is called. */
class Bench {
  readonly asked: Asked[] = [];
  readonly woken: boolean[] = [];
  readonly state: PoolState;
  readonly checks: HealthChecks;
  readonly startedAt = performance.now();
  random = 0.5;
  isWell: (address: string) => boolean = () => true;
  answer: (() => void) | undefined;
  hangs: (address: string) => boolean = () => false;

  constructor(plans: readonly BackendPlan[], more: Partial<Pool> = {}) {
    this.state = stateOf(poolOf(plans, { healthCheck: SETTINGS, ...more }));
    this.checks = createHealthChecks({
      check: ({ address }, path, timeoutMs) => {
        this.asked.push({ address, path, timeoutMs, at: performance.now() - this.startedAt });
        if (!this.hangs(address)) return Promise.resolve(this.isWell(address));
        return new Promise((resolve) => {
          this.answer = () => resolve(this.isWell(address));
        });
      },
      now: () => performance.now(),
      random: () => this.random,
      wake: (state) => this.woken.push(state === this.state),
    });
    this.checks.follow(this.state);
  }

  get now(): number {
    return performance.now();
  }

  endpoint(at = 0): EndpointState {
    const endpoint = this.state.current?.tiers.flatMap((tier) => tier.backends.flatMap((one) => one.endpoints))[at];
    if (endpoint === undefined) throw new Error(`no endpoint ${at}`);
    return endpoint.state;
  }

  /** The same pool with other settings, over the same states. */
  edit(more: Partial<Pool>): void {
    const { current } = this.state;
    if (current === undefined) throw new Error('the pool is gone');
    this.state.current = { ...current, ...more };
    this.checks.follow(this.state);
  }

  async after(ms: number): Promise<number> {
    await vi.advanceTimersByTimeAsync(ms);
    return this.asked.length;
  }
}

describe('when endpoints are checked', () => {
  test('each once in an interval, a tenth more or less, from its first check on', async () => {
    const bench = new Bench([{ name: 'a' }, { name: 'drained', weight: 0 }]);
    await bench.after(95_000);
    const of = (name: string): number[] => bench.asked.filter(({ address }) => address === name).map(({ at }) => at);
    expect(of('a-0')).toEqual([600, 30_600, 60_600, 90_600]);
    expect(of('drained-0')).toHaveLength(4);
    expect(bench.asked[0]).toMatchObject({ path: 'models', timeoutMs: 5_000 });
  });

  test.each([
    [0, 27_000],
    [0.999, 33_000],
  ])('the pause is never the same for all: a draw of %d makes it %i ms', async (random, ms) => {
    const bench = new Bench([{ name: 'a' }]);
    await bench.after(1_000);
    bench.random = random;
    await bench.after(30_000);
    await bench.after(ms + 30_000);
    const [, second = 0, third = 0] = bench.asked.map(({ at }) => at);
    expect(third - second).toBe(ms);
  });

  test('few soon, many spread over the interval', async () => {
    const few = new Bench([{ name: 'a', endpoints: 5 }]);
    few.random = 0.999;
    expect(await few.after(1_300)).toBe(5);

    const random = fractions();
    const many = stateOf(poolOf([{ name: 'a', endpoints: 20_000 }], { healthCheck: SETTINGS }));
    const bySecond = new Map<number, number>();
    const startedAt = performance.now();
    const check = (): Promise<boolean> => {
      const second = Math.floor((performance.now() - startedAt) / 1000);
      bySecond.set(second, (bySecond.get(second) ?? 0) + 1);
      return Promise.resolve(true);
    };
    const checks = createHealthChecks({ check, now: () => performance.now(), random, wake: () => undefined });
    checks.follow(many);
    await vi.advanceTimersByTimeAsync(30_300);
    expect([...bySecond.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(20_000);
    expect(Math.max(...bySecond.values())).toBeLessThan(3_000);
    bySecond.clear();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(Math.max(...bySecond.values())).toBeLessThan(2_000);
    checks.stop();
  });

  test('never twice at once, and one that hangs delays no other', async () => {
    const bench = new Bench([{ name: 'a' }, { name: 'b' }]);
    bench.hangs = (address) => address === 'a-0';
    await bench.after(200_000);
    const count = (name: string): number => bench.asked.filter(({ address }) => address === name).length;
    expect([count('a-0'), count('b-0')]).toEqual([1, 7]);
    bench.answer?.();
    await bench.after(300);
    expect(count('a-0')).toBe(2);
  });

  test('no more often than ten times a second, whatever the interval', async () => {
    const bench = new Bench([{ name: 'a' }], { healthCheck: { ...SETTINGS, intervalMs: 1 } });
    const asked = await bench.after(1_000);
    expect(asked).toBeGreaterThan(8);
    expect(asked).toBeLessThanOrEqual(11);
  });

  test('with a limit of time in any case', async () => {
    const bench = new Bench([{ name: 'a' }], { healthCheck: { ...SETTINGS, timeoutMs: 0 } });
    await bench.after(1_000);
    expect(bench.asked[0]?.timeoutMs).toBe(30_000);
  });

  test('an unhealthy endpoint of a gRPC instance each second, and of no other pool', async () => {
    const instance = { instanceName: 'bge', model: undefined, protocol: 'GRPC', maxBatch: 32 } as const;
    const bench = new Bench([{ name: 'a' }], { kind: 'EmbeddingInstance', instance });
    expect(await bench.after(40_000)).toBe(2);
    bench.isWell = () => false;
    await bench.after(60_000);
    expect(bench.endpoint().isHealthy).toBe(false);
    const before = bench.asked.length;
    expect((await bench.after(10_000)) - before).toBeGreaterThanOrEqual(7);
    const pool = new Bench([{ name: 'a' }]);
    pool.isWell = () => false;
    await pool.after(31_000);
    expect(await pool.after(10_000)).toBe(2);
  });

  test('the pool knows when the next one is due', async () => {
    const bench = new Bench([{ name: 'a' }]);
    expect(bench.endpoint().nextCheckAt - bench.now).toBe(600);
    await bench.after(600);
    expect(bench.endpoint().nextCheckAt - bench.now).toBe(30_000);
  });
});

describe('what checks make of an endpoint', () => {
  test('unhealthy after so many bad ones in a row, healthy after so many good ones', async () => {
    const healthCheck = { ...SETTINGS, unhealthyThreshold: 3, healthyThreshold: 2 };
    const bench = new Bench([{ name: 'a' }, { name: 'b' }], { healthCheck });
    const seen: boolean[] = [];
    for (const isWell of [false, false, true, false, false, false, true, false, true, true]) {
      bench.isWell = (address) => address === 'b-0' || isWell;
      await bench.after(30_000);
      seen.push(bench.endpoint().isHealthy);
    }
    expect(seen).toEqual([true, true, true, true, true, false, false, false, false, true]);
    expect(bench.endpoint(1).isHealthy).toBe(true);
  });

  test('a check that fails to answer at all is a bad one', async () => {
    const state = stateOf(poolOf([{ name: 'a' }], { healthCheck: { ...SETTINGS, unhealthyThreshold: 1 } }));
    const check = (): Promise<boolean> => Promise.reject(new Error('it broke'));
    const checks = createHealthChecks({ check, now: () => performance.now(), random: () => 0, wake: () => undefined });
    checks.follow(state);
    await vi.advanceTimersByTimeAsync(1);
    expect(state.current?.tiers[0]?.endpoints[0]?.state.isHealthy).toBe(false);
    checks.stop();
  });

  test('those that wait are woken when it goes and when it comes back, which it does slowly', async () => {
    const bench = new Bench([{ name: 'a' }]);
    bench.isWell = () => false;
    await bench.after(1_000);
    expect(bench.woken).toEqual([]);
    await bench.after(30_000);
    expect(bench.woken).toEqual([true]);
    expect(bench.endpoint().recoveredAt).toBe(0);
    bench.isWell = () => true;
    await bench.after(30_000);
    expect(bench.woken).toEqual([true, true]);
    expect(bench.now - bench.endpoint().recoveredAt).toBe(400);
    await bench.after(30_000);
    expect(bench.woken).toHaveLength(2);
  });

  test('a good one ends a rest for failures, without a slow start, and wakes those that wait', async () => {
    const bench = new Bench([{ name: 'a' }]);
    Object.assign(bench.endpoint(), { restUntil: bench.now + 90_000, failures: 5, ejections: 2 });
    await bench.after(600);
    expect(bench.endpoint()).toMatchObject({ restUntil: 0, failures: 0, ejections: 2, recoveredAt: 0 });
    expect(bench.woken).toEqual([true]);
  });

  test('a good one leaves a rest after a 429 as it is, and a bad one any', async () => {
    const bench = new Bench([{ name: 'a' }]);
    const restUntil = bench.now + 90_000;
    Object.assign(bench.endpoint(), { restUntil, restReason: 'rate_limited' });
    await bench.after(600);
    expect(bench.endpoint().restUntil).toBe(restUntil);
    bench.endpoint().restReason = 'failures';
    bench.isWell = () => false;
    await bench.after(30_000);
    expect(bench.endpoint().restUntil).toBe(restUntil);
    expect(bench.woken).toEqual([]);
  });

  test('a good one of several that are needed ends no rest', async () => {
    const bench = new Bench([{ name: 'a' }], { healthCheck: { ...SETTINGS, healthyThreshold: 2 } });
    Object.assign(bench.endpoint(), { restUntil: bench.now + 90_000, isHealthy: false });
    await bench.after(600);
    expect(bench.endpoint().restUntil).not.toBe(0);
    await bench.after(30_000);
    expect(bench.endpoint()).toMatchObject({ restUntil: 0, isHealthy: true });
  });

  test('the last one that served is unhealthy: one that rests for failures is tried at once', async () => {
    const bench = new Bench([{ name: 'a' }, { name: 'b' }]);
    bench.isWell = () => false;
    await bench.after(1_000);
    bench.endpoint(1).contraryChecks = 0;
    bench.endpoint(1).restUntil = bench.now + 90_000;
    await bench.after(30_000);
    expect(bench.endpoint(0).isHealthy).toBe(false);
    expect(bench.endpoint(1).restUntil).toBeLessThanOrEqual(bench.now);
  });
});

describe('checks follow what changes', () => {
  test('an endpoint that goes is not checked again, one that stays is checked as before', async () => {
    const bench = new Bench([{ name: 'a' }, { name: 'b' }]);
    await bench.after(1_000);
    const [tier] = bench.state.current?.tiers ?? [];
    const [a, b] = tier?.backends ?? [];
    if (tier === undefined || a === undefined || b === undefined) throw new Error('no backends');
    bench.endpoint(0).isHealthy = false;
    const gone = bench.endpoint(0);
    bench.edit({ tiers: [{ ...tier, backends: [b], endpoints: b.endpoints }] });
    await bench.after(60_000);
    expect(bench.asked.slice(2).map(({ address, at }) => [address, at])).toEqual([
      ['b-0', 30_600],
      ['b-0', 60_600],
    ]);
    expect(gone.isHealthy).toBe(true);
  });

  test('a new endpoint is checked soon, and by its own backend', async () => {
    const bench = new Bench([]);
    expect(await bench.after(60_000)).toBe(0);
    bench.edit({ tiers: poolOf([{ name: 'new' }]).tiers });
    expect(await bench.after(1_000)).toBe(1);
    expect(bench.asked[0]?.address).toBe('new-0');
  });

  test('an answer that comes after its endpoint went says nothing', async () => {
    const bench = new Bench([{ name: 'a' }], { healthCheck: { ...SETTINGS, unhealthyThreshold: 1 } });
    Object.assign(bench, { hangs: () => true, isWell: () => false });
    await bench.after(1_000);
    const endpoint = bench.endpoint();
    bench.edit({ healthCheck: undefined });
    bench.answer?.();
    expect(await bench.after(100_000)).toBe(1);
    expect(endpoint.isHealthy).toBe(true);
  });

  test('a pool that is no longer checked has no unhealthy endpoint, and one that is gone is left alone', async () => {
    const bench = new Bench([{ name: 'a' }]);
    bench.isWell = () => false;
    await bench.after(31_000);
    expect(bench.endpoint().isHealthy).toBe(false);
    bench.edit({ healthCheck: undefined });
    expect(bench.endpoint()).toMatchObject({ isHealthy: true, contraryChecks: 0 });
    expect(await bench.after(100_000)).toBe(2);
    bench.edit({ healthCheck: SETTINGS });
    expect(await bench.after(1_000)).toBe(3);
    bench.state.current = undefined;
    bench.checks.follow(bench.state);
    expect(await bench.after(100_000)).toBe(3);
  });

  test('path, timeout and thresholds count from the next check on, which comes when it was due', async () => {
    const bench = new Bench([{ name: 'a' }]);
    await bench.after(1_000);
    bench.edit({ healthCheck: { ...SETTINGS, path: '/health', timeoutMs: 700, unhealthyThreshold: 1 } });
    bench.isWell = () => false;
    expect(await bench.after(29_500)).toBe(1);
    expect(await bench.after(200)).toBe(2);
    expect(bench.asked[1]).toMatchObject({ path: '/health', timeoutMs: 700 });
    expect(bench.endpoint().isHealthy).toBe(false);
  });

  test('a shorter interval counts at once, also while a check is under way', async () => {
    const bench = new Bench([{ name: 'a' }]);
    await bench.after(1_000);
    bench.edit({ healthCheck: { ...SETTINGS, intervalMs: 1_000 } });
    expect(await bench.after(2_000)).toBe(3);
    bench.hangs = () => true;
    await bench.after(1_000);
    bench.edit({ healthCheck: { ...SETTINGS, intervalMs: 500 } });
    const before = await bench.after(5_000);
    bench.hangs = () => false;
    bench.answer?.();
    expect(await bench.after(1_250)).toBe(before + 3);
  });

  test('none is made after stop', async () => {
    const bench = new Bench([{ name: 'a' }, { name: 'b' }]);
    await bench.after(1_000);
    bench.checks.stop();
    expect(await bench.after(100_000)).toBe(2);
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** Evenly spread, the same each time. */
function fractions(): () => number {
  let at = 0;
  return () => {
    at = (at + 0.618_033_988_749_895) % 1;
    return at;
  };
}
