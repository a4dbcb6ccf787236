import { describe, expect, test } from 'vitest';
import { choose } from '../../proxy/balance/choose.ts';
import { hashOf } from '../../proxy/balance/rendezvous.ts';
import { type Explanation, explain } from '../../proxy/explain.ts';
import { matchModel } from '../../proxy/match.ts';
import type { Endpoint, Pool, PoolState, StrategyName } from '../../proxy/pool.ts';
import type { Snapshot } from '../../proxy/snapshot.ts';
import { poolOf, stateOf } from './balance/pools.ts';

const NOW = 1_000_000;

/** A clock that stands, the same chance each time, and limits that are this proxy's alone. */
const deps = { now: () => NOW, random: () => 0.3, shareOf: (limit: number) => limit };

function snapshotOf(...states: PoolState[]): Snapshot {
  const all = states.map((state) => [state.current?.key ?? '', state] as const);
  const byName = new Map(
    states.flatMap((state) => (state.current?.models ?? []).map((name) => [name, state] as const)),
  );
  return {
    ...{ states: new Map(all), byPath: new Map(all), byName, catchAll: byName.get('*') },
    ...{ instancesByName: new Map(), byModelId: new Map(), instances: { states: [], turn: 0 } },
  };
}

function explainPool(pool: Pool, given: Record<string, string> = {}, change: (state: PoolState) => void = () => {}) {
  const state = stateOf(pool);
  change(state);
  const explained = explain(snapshotOf(state), 'chat', new Map(Object.entries(given)), deps);
  if (explained === undefined) throw new Error('the pool was not found');
  return explained;
}

function endpointsOf(pool: Pool): readonly Endpoint[] {
  return pool.tiers.flatMap((tier) => tier.backends.flatMap(({ endpoints }) => endpoints));
}

/** The names of the next picks, as calls would get them. */
function picks(pool: Pool, count: number, conversation?: number): string[] {
  return Array.from({ length: count }, () => {
    const choice = choose(pool, { tried: [], spills: 0, conversation, prefixKey: undefined }, NOW, deps);
    return typeof choice === 'string' ? choice : choice.address;
  });
}

const rest = (endpoint: Endpoint | undefined, why: 'failures' | 'rate_limited'): void => {
  if (endpoint === undefined) throw new Error('no such endpoint');
  Object.assign(endpoint.state, { restUntil: NOW + 5_000, restReason: why });
};

describe('/explain names the endpoint that the next call gets', () => {
  test.each(['Weighted', 'RoundRobin', 'Failover', 'LeastRequest', 'PrefixHash'] satisfies StrategyName[])(
    'with %s, and asking moves nothing',
    (strategy) => {
      const plans = [{ name: 'a', weight: 3, endpoints: 2 }, { name: 'b' }, { name: 'c', tier: 1 }];
      const asked = poolOf(plans, { strategy });
      const unasked = poolOf(plans, { strategy });
      const state = stateOf(asked);
      const snapshot = snapshotOf(state);
      const said: string[] = [];
      const got: string[] = [];
      for (let n = 0; n < 12; n += 1) {
        for (let times = 0; times < 3; times += 1) explain(snapshot, 'chat', new Map(), deps);
        said.push(explain(snapshot, 'chat', new Map(), deps)?.next?.address ?? '');
        got.push(...picks(asked, 1));
      }
      expect(said).toEqual(got);
      expect(got).toEqual(picks(unasked, 12));
    },
  );

  test('and what it would be asked for, and why', () => {
    expect(explainPool(poolOf([{ name: 'a' }, { name: 'b' }]))).toMatchObject({
      ...{ model: 'chat', asked: 'chat', pool: 'ml/chat', kind: 'LLMPool', matchedBy: 'name', strategy: 'Weighted' },
      ...{ access: 'open', inFlight: 0, queue: { depth: 0, maxDepth: 1000 } },
      next: { backend: 'a', address: 'a-0', tier: 0, model: 'chat' },
      why: 'tier 0: Weighted, the next in turn; 2 usable',
    });
  });

  test('by the conversation’s header, as calls of that conversation go', () => {
    const plans = Array.from({ length: 8 }, (_, n) => ({ name: `b${n}` }));
    const pool = poolOf(plans, { affinityHeader: 'x-session-id' });
    for (const id of ['one', 'two', 'three']) {
      const { next, why } = explainPool(pool, { 'x-session-id': id });
      expect(next?.address).toBe(picks(pool, 1, hashOf(id))[0]);
      expect(why).toMatch(/conversation's own, by x-session-id; 8 usable/);
    }
  });

  test('by prompt_cache_key, else user, with PrefixHash: the same each time, and not the same for all', () => {
    const plans = Array.from({ length: 8 }, (_, n) => ({ name: `b${n}` }));
    const pool = poolOf(plans, { strategy: 'PrefixHash' });
    const homeOf = (given: Record<string, string>): string => explainPool(pool, given).next?.address ?? '';
    const homes = Array.from({ length: 20 }, (_, n) => homeOf({ prompt_cache_key: `key-${n}`, user: 'u' }));
    expect(new Set(homes).size).toBeGreaterThan(3);
    expect(homes).toEqual(Array.from({ length: 20 }, (_, n) => homeOf({ user: `key-${n}` })));
    expect(explainPool(pool, { user: 'x' }).why).toMatch(/by its key/);
    expect(explainPool(pool).why).toMatch(/without a key/);
  });

  test('in the next tier, and why not in the one before', () => {
    const pool = poolOf([{ name: 'a' }, { name: 'b' }, { name: 'c', tier: 1 }]);
    const [a, b] = endpointsOf(pool);
    rest(a, 'failures');
    rest(b, 'rate_limited');
    const { tiers, next, why } = explainPool(pool);
    expect(next).toMatchObject({ backend: 'c', tier: 1 });
    expect(why).toBe('tier 1: Weighted, the next in turn; 1 usable, none in tier 0');
    expect(tiers).toMatchObject([
      {
        ...{ tier: 0, usable: 0 },
        endpoints: [
          { backend: 'a', state: 'ejected', cooldownSeconds: 5, isUsable: false },
          { backend: 'b', state: 'cooling', cooldownSeconds: 5, isUsable: false },
        ],
      },
      { tier: 1, usable: 1, endpoints: [{ backend: 'c', state: 'ready', reason: '', isUsable: true }] },
    ]);
  });
});

describe('/explain says why a call would get none', () => {
  const reasonOf = (pool: Pool, change?: (state: PoolState) => void): Explanation => explainPool(pool, {}, change);

  test.each([
    ['full', (endpoint: Endpoint) => Object.assign(endpoint.state, { inFlight: 4 }), /full: 4 of 4 calls/, /wait/],
    ['being tried', ({ state }: Endpoint) => Object.assign(state, { isProbing: true }), /tries it first/, /wait/],
    ['cooling', (endpoint: Endpoint) => rest(endpoint, 'rate_limited'), /429/, /^rate_limit_exceeded/],
    ['ejected', (endpoint: Endpoint) => rest(endpoint, 'failures'), /in a row/, /^no_healthy_endpoints/],
    ['unhealthy', ({ state }: Endpoint) => Object.assign(state, { isHealthy: false }), /checks/, /^no_healthy/],
  ])('where every endpoint is %s', (_, change, reason, why) => {
    const pool = poolOf([{ name: 'a', maxConcurrent: 4 }]);
    for (const endpoint of endpointsOf(pool)) change(endpoint);
    const explained = reasonOf(pool);
    expect(explained.next).toBeNull();
    expect(explained.why).toMatch(why);
    expect(explained.tiers[0]?.endpoints[0]?.reason).toMatch(reason);
  });

  test('where the pool has no endpoint, only a drained one, or one that is not ready', () => {
    expect(reasonOf(poolOf([])).why).toMatch(/^no_healthy_endpoints/);
    const drained = reasonOf(poolOf([{ name: 'a', weight: 0 }]));
    expect(drained.why).toMatch(/^no_healthy_endpoints/);
    expect(drained.tiers[0]?.endpoints[0]).toMatchObject({
      reason: 'drained: its backend has weight 0',
      isUsable: false,
    });
    const pool = poolOf([{ name: 'a', endpoints: 0 }]);
    Object.assign(pool.tiers[0]?.backends[0] ?? {}, { unready: ['10.0.0.1:80'] });
    expect(reasonOf(pool).tiers[0]?.endpoints).toMatchObject([{ address: '10.0.0.1:80', reason: 'not ready' }]);
  });

  test('where the pool is full, others wait already, or the Secret with its client keys is missing', () => {
    const pool = poolOf([{ name: 'a' }], { maxConcurrent: 2, queue: { maxDepth: 5, timeoutMs: 1, spillAfterMs: 1 } });
    expect(reasonOf(pool, (state) => Object.assign(state, { inFlight: 2 })).why).toMatch(/2 of 2 calls/);
    expect(reasonOf(pool, ({ queue }) => Object.assign(queue, { size: 3 })).why).toMatch(/wait .*behind 3/);
    expect(reasonOf(pool, ({ queue }) => Object.assign(queue, { size: 5 })).why).toMatch(/^queue_full/);
    const closed = reasonOf(poolOf([{ name: 'a' }], { access: { clients: undefined } }));
    expect([closed.access, closed.next, closed.why]).toEqual([
      'unavailable',
      null,
      expect.stringMatching(/^access_un/),
    ]);
  });
});

describe('/explain finds the pool as a call would', () => {
  test('by path, name, proxy-NAME and the catch-all', () => {
    const one = stateOf(poolOf([{ name: 'a' }], { key: 'ml/one', models: ['one'], firstModel: 'one' }));
    const rest = stateOf(poolOf([{ name: 'b' }], { key: 'ml/rest', models: ['*'], firstModel: 'rest' }));
    const snapshot = snapshotOf(one, rest);
    const found = ['ml/one', 'one', 'proxy-one', 'other'].map((model) => explain(snapshot, model, new Map(), deps));
    expect(found.map((found) => [found?.pool, found?.matchedBy, found?.asked, found?.next?.model])).toEqual([
      ['ml/one', 'namespace/name', 'ml/one', 'one'],
      ['ml/one', 'name', 'one', 'one'],
      ['ml/one', 'name', 'one', 'one'],
      ['ml/rest', 'catch-all', 'other', 'other'],
    ]);
    expect(explain(snapshotOf(one), 'other', new Map(), deps)).toBeUndefined();
    expect(explain(snapshotOf(one), '__proto__', new Map(), deps)).toBeUndefined();
  });

  test('by model id, whose turns asking does not take', () => {
    const states = ['x', 'y'].map((name) => stateOf(poolOf([{ name }], { key: `ml/${name}`, models: [] })));
    const snapshot = { ...snapshotOf(...states), byModelId: new Map([['id', { states, turn: 0 }]]) };
    const turns: (string | undefined)[] = [];
    for (let n = 0; n < 4; n += 1) {
      for (let times = 0; times < 3; times += 1) explain(snapshot, 'id', new Map(), deps);
      const explained = explain(snapshot, 'id', new Map(), deps);
      expect(explained?.matchedBy).toBe('model id');
      expect(explained?.pool).toBe(matchModel(snapshot, 'id', () => true)?.state.current?.key);
      turns.push(explained?.pool);
    }
    expect(turns).toEqual(['ml/x', 'ml/y', 'ml/x', 'ml/y']);
  });

  test('and says nothing of keys, nor of what it was told', () => {
    const access = { clients: new Map([[`${'5e'.repeat(32)}`, 'team-of-key']]) };
    const pool = poolOf([{ name: 'a' }], { access });
    Object.assign(pool.tiers[0]?.backends[0] ?? {}, { headers: ['authorization', 'Bearer top'], query: 'k=top' });
    const text = JSON.stringify(explainPool(pool, { authorization: 'top', user: 'secret-user' }));
    expect(text).toContain('"access":"keys"');
    expect(text).not.toMatch(/top|5e5e|team-of-key|secret-user/);
  });
});
