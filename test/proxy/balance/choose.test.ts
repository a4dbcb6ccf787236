import { describe, expect, test } from 'vitest';
import { type Asked, choose } from '../../../proxy/balance/choose.ts';
import { startAtRandomPhase } from '../../../proxy/balance/phase.ts';
import type { EndpointState, Pool } from '../../../proxy/pool.ts';
import { type BackendPlan, poolOf } from './pools.ts';

const DEPS = { random: () => 0.5, shareOf: (limit: number) => limit };

function asking(more: Partial<Asked> = {}): Asked {
  return { tried: [], spills: 0, conversation: undefined, prefixKey: undefined, ...more };
}

function picks(pool: Pool, times: number, tried: EndpointState[] = []): string[] {
  return Array.from({ length: times }, () => {
    const choice = choose(pool, asking({ tried }), 0, DEPS);
    return typeof choice === 'string' ? choice : choice.address;
  });
}

function shares(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) {
    const backend = name.replace(/-\d+$/, '');
    counts[backend] = (counts[backend] ?? 0) + 1;
  }
  return counts;
}

const FIVE_THREE_TWO: BackendPlan[] = [
  { name: 'a', weight: 5 },
  { name: 'b', weight: 3 },
  { name: 'c', weight: 2 },
];

describe('Weighted', () => {
  test('[V-5] [M-5] weights 5, 3 and 2 hold exactly in every ten calls in a row, from any call on', () => {
    const all = picks(poolOf(FIVE_THREE_TWO), 200);
    for (let start = 0; start + 10 <= all.length; start += 1) {
      expect(shares(all.slice(start, start + 10))).toEqual({ a: 5, b: 3, c: 2 });
    }
  });

  test.each([
    [[5, 1], { a: 5, b: 1 }],
    [[2, 1], { a: 2, b: 1 }],
    [[3, 2, 1], { a: 3, b: 2, c: 1 }],
    [[5, 3], { a: 5, b: 3 }],
    [[10, 1], { a: 10, b: 1 }],
    [[8, 8, 8, 3, 3], { a: 8, b: 8, c: 8, d: 3, e: 3 }],
    [[100, 50], { a: 2, b: 1 }],
  ])('[P-11] weights %j give the shares %j within one period', (weights, expected) => {
    const pool = poolOf(weights.map((weight, index) => ({ name: 'abcde'.charAt(index), weight })));
    const period = Object.values(expected).reduce((sum, share) => sum + share, 0);
    const all = picks(pool, period * 3);
    for (let start = 0; start <= period * 2; start += 1) {
      expect(shares(all.slice(start, start + period))).toEqual(expected);
    }
  });

  test('a backend of weight 0 is drained', () => {
    const pool = poolOf([
      { name: 'a', weight: 0 },
      { name: 'b', weight: 1 },
    ]);
    expect(shares(picks(pool, 10))).toEqual({ b: 10 });
  });

  test('the weight is the backend’s, shared by its endpoints in turn', () => {
    const pool = poolOf([
      { name: 'a', weight: 2, endpoints: 4 },
      { name: 'b', weight: 1 },
    ]);
    const all = picks(pool, 12);
    expect(shares(all)).toEqual({ a: 8, b: 4 });
    expect(all.filter((name) => name === 'a-0')).toHaveLength(2);
  });

  test('a backend that was full for a while neither bursts nor starves when it is back', () => {
    const pool = poolOf([
      { name: 'a', weight: 1, maxConcurrent: 1 },
      { name: 'b', weight: 1 },
    ]);
    const a = pool.tiers[0]?.backends[0]?.endpoints[0]?.state as EndpointState;
    a.inFlight = 1;
    expect(shares(picks(pool, 50))).toEqual({ b: 50 });
    a.inFlight = 0;
    expect(shares(picks(pool, 10))).toEqual({ a: 5, b: 5 });
  });

  test('replicas that start together do not all send their first call to the same backend', () => {
    let seed = 1;
    const random = (): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const firsts = Array.from({ length: 1000 }, () => {
      const pool = poolOf(FIVE_THREE_TWO);
      startAtRandomPhase(pool, random);
      return picks(pool, 1)[0] ?? '';
    });
    const { a = 0, b = 0, c = 0 } = shares(firsts);
    expect(a).toBeGreaterThan(440);
    expect(a).toBeLessThan(560);
    expect(b).toBeGreaterThan(240);
    expect(c).toBeGreaterThan(140);
  });
});

describe('other strategies', () => {
  test('[P-1] RoundRobin takes each in turn whatever its weight, and still drains weight 0', () => {
    const pool = poolOf([...FIVE_THREE_TWO, { name: 'd', weight: 0 }], { strategy: 'RoundRobin' });
    expect(shares(picks(pool, 9))).toEqual({ a: 3, b: 3, c: 3 });
  });

  test('[P-1] Failover stays on the first that can be had, in the order of the CR', () => {
    const pool = poolOf(FIVE_THREE_TWO, { strategy: 'Failover' });
    const a = pool.tiers[0]?.backends[0]?.endpoints[0]?.state as EndpointState;
    expect(shares(picks(pool, 5))).toEqual({ a: 5 });
    expect(shares(picks(pool, 5, [a]))).toEqual({ b: 5 });
  });
});

describe('tiers', () => {
  const PLANS: BackendPlan[] = [{ name: 'spare', tier: 1 }, { name: 'a' }, { name: 'b', maxConcurrent: 1 }];

  test('[P-13] a higher tier gets nothing while a lower one has an endpoint', () => {
    expect(shares(picks(poolOf(PLANS), 10))).toEqual({ a: 5, b: 5 });
  });

  test('[M-6] [V-6] when every endpoint of the lower tier was tried, the next tier serves the same request', () => {
    const pool = poolOf(PLANS);
    const tried = pool.tiers[0]?.backends.map((backend) => backend.endpoints[0]?.state as EndpointState) ?? [];
    expect(picks(pool, 1, tried)).toEqual(['spare-0']);
  });

  test('with every slot taken the answer is busy, with nothing untried left it is none', () => {
    const pool = poolOf([{ name: 'a', maxConcurrent: 1 }]);
    const state = pool.tiers[0]?.backends[0]?.endpoints[0]?.state as EndpointState;
    state.inFlight = 1;
    expect(choose(pool, asking(), 0, DEPS)).toBe('busy');
    expect(choose(pool, asking({ tried: [state] }), 0, DEPS)).toBe('none');
  });
});
