import { describe, expect, test } from 'vitest';
import { choose } from '../../../proxy/balance/choose.ts';
import { type Conversations, hasMoved } from '../../../proxy/balance/conversations.ts';
import { hashOf } from '../../../proxy/balance/rendezvous.ts';
import type { Endpoint, Pool } from '../../../proxy/pool.ts';
import { type BackendPlan, poolOf } from './pools.ts';

const DEPS = { random: () => 0.5, shareOf: (limit: number) => limit };
const KEYS = Array.from({ length: 10_000 }, (_, n) => hashOf(`conversation ${n}`));
const TEN: BackendPlan[] = Array.from({ length: 10 }, (_, n) => ({ name: `b${n}` }));

function pick(pool: Pool, asked: { conversation?: number; prefixKey?: number }): Endpoint {
  const choice = choose(
    pool,
    { tried: [], spills: 0, conversation: undefined, prefixKey: undefined, ...asked },
    0,
    DEPS,
  );
  if (typeof choice === 'string') throw new Error(choice);
  return choice;
}

function homes(pool: Pool): string[] {
  return KEYS.map((conversation) => pick(pool, { conversation }).address);
}

function countsOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

describe('affinity', () => {
  test('every proxy sends a conversation to the same endpoint, without a word between them', () => {
    expect(homes(poolOf(TEN))).toEqual(homes(poolOf([...TEN].reverse())));
  });

  test('an endpoint that goes moves its own conversations and no other; one that comes takes a tenth at most', () => {
    const ten = homes(poolOf(TEN));
    const nine = homes(poolOf(TEN.slice(0, 9)));
    const moved = ten.filter((home, index) => home !== nine[index]);
    expect(countsOf(moved)).toEqual({ 'b9-0': moved.length });
    expect(moved.length / KEYS.length).toBeLessThanOrEqual(0.11);
    expect(moved.length / KEYS.length).toBeGreaterThan(0.08);
  });

  test('backends have conversations in proportion to their weight, whatever number of endpoints they have', () => {
    const counts = countsOf(
      homes(
        poolOf([
          { name: 'a', weight: 3 },
          { name: 'b', weight: 1, endpoints: 2 },
        ]),
      ),
    );
    expect(counts['a-0']).toBeGreaterThan(7_300);
    expect(counts['a-0']).toBeLessThan(7_700);
    expect(counts['b-0']).toBeGreaterThan(1_100);
  });

  test('a conversation whose endpoint rests goes elsewhere, is told so once, and comes back', () => {
    const pool = poolOf(TEN);
    const remembered: Conversations = new Map();
    const conversation = KEYS[0] as number;
    const moved = (): boolean => hasMoved(remembered, pool, conversation, pick(pool, { conversation }));
    const home = pick(pool, { conversation });
    expect(moved()).toBe(false);
    home.state.restUntil = 1_000;
    expect([moved(), moved()]).toEqual([true, false]);
    home.state.restUntil = 0;
    expect([moved(), moved()]).toEqual([true, false]);
    expect(pick(pool, { conversation })).toBe(home);
  });

  test('a proxy that has not seen a conversation says that it moved where its own endpoint cannot be had', () => {
    const pool = poolOf(TEN);
    const conversation = KEYS[0] as number;
    pick(pool, { conversation }).state.isHealthy = false;
    expect(hasMoved(new Map(), pool, conversation, pick(pool, { conversation }))).toBe(true);
  });

  test('no more than ten thousand conversations of a pool are remembered', () => {
    const pool = poolOf(TEN);
    const remembered: Conversations = new Map();
    for (let key = 0; key < 20_000; key += 1) hasMoved(remembered, pool, key, pick(pool, { conversation: key }));
    expect(remembered.size).toBe(10_000);
  });
});

describe('PrefixHash', () => {
  const hashed = (plans: BackendPlan[]): Pool => poolOf(plans, { strategy: 'PrefixHash' });

  test('calls with the same beginning go to one endpoint; a change of the set moves no more than its part', () => {
    const ten = KEYS.map((prefixKey) => pick(hashed(TEN), { prefixKey }).address);
    const eleven = KEYS.map((prefixKey) => pick(hashed([...TEN, { name: 'new' }]), { prefixKey }).address);
    const moved = eleven.filter((home, index) => home !== ten[index]);
    expect(countsOf(moved)).toEqual({ 'new-0': moved.length });
    expect(moved.length / KEYS.length).toBeLessThanOrEqual(1 / 10);
  });

  test('one beginning that everybody has spreads once its endpoint carries a quarter more than its share', () => {
    const pool = hashed(TEN);
    for (let n = 0; n < 100; n += 1) pick(pool, { prefixKey: 7 }).state.inFlight += 1;
    const loads = pool.tiers[0]?.endpoints.map(({ state }) => state.inFlight) ?? [];
    expect(loads.reduce((sum, load) => sum + load, 0)).toBe(100);
    expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil((1.25 * 100) / 10));
  });

  test('a call without a beginning goes where the load is least', () => {
    const pool = hashed([{ name: 'a' }, { name: 'b' }]);
    const [a] = pool.tiers[0]?.endpoints ?? [];
    if (a !== undefined) a.state.inFlight = 5;
    expect(pick(pool, {}).address).toBe('b-0');
  });
});

describe('LeastRequest', () => {
  function spread(plans: BackendPlan[], calls: number, underWay: number): Record<string, number> {
    let seed = 7;
    const random = (): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const pool = poolOf(plans, { strategy: 'LeastRequest' });
    const open: Endpoint[] = [];
    const names: string[] = [];
    const asked = { tried: [], spills: 0, conversation: undefined, prefixKey: undefined };
    for (let n = 0; n < calls; n += 1) {
      const endpoint = choose(pool, asked, 0, { ...DEPS, random });
      if (typeof endpoint === 'string') throw new Error(endpoint);
      endpoint.state.inFlight += 1;
      names.push(endpoint.address);
      open.push(endpoint);
      if (open.length > underWay)
        (open.splice(Math.floor(random() * open.length), 1)[0] as Endpoint).state.inFlight -= 1;
    }
    return countsOf(names);
  }

  test('equal endpoints get equal parts, within 5 %', () => {
    const counts = Object.values(spread([{ name: 'a', endpoints: 4 }], 20_000, 40));
    for (const count of counts) expect(Math.abs(count - 5_000)).toBeLessThan(250);
  });

  test('under load weights 3 and 1 hold within 10 %', () => {
    const { 'a-0': a = 0, 'b-0': b = 1 } = spread([{ name: 'a', weight: 3 }, { name: 'b' }], 20_000, 40);
    expect(a / b).toBeGreaterThan(2.7);
    expect(a / b).toBeLessThan(3.3);
  });

  test('an endpoint that does not answer gets no more than what it holds', () => {
    const pool = poolOf([{ name: 'a', endpoints: 2 }], { strategy: 'LeastRequest' });
    const [stuck] = pool.tiers[0]?.endpoints ?? [];
    if (stuck !== undefined) stuck.state.inFlight = 10;
    const asked = { tried: [], spills: 0, conversation: undefined, prefixKey: undefined };
    for (let n = 0; n < 50; n += 1) expect(choose(pool, asked, 0, DEPS)).not.toBe(stuck);
  });
});

describe('slow start', () => {
  test('an endpoint that an active check brought back takes a tenth at first, all after 30 s, and never bunches', () => {
    const pool = poolOf([{ name: 'a' }, { name: 'b' }]);
    const [a] = pool.tiers[0]?.endpoints ?? [];
    if (a === undefined) throw new Error('no endpoint');
    a.state.recoveredAt = 1;
    let turn = 0;
    const random = (): number => {
      turn += 1;
      return (turn % 100) / 100;
    };
    const asked = { tried: [], spills: 0, conversation: undefined, prefixKey: undefined };
    const shareAt = (now: number): number =>
      Array.from({ length: 400 }, () => choose(pool, asked, now, { ...DEPS, random })).filter((one) => one === a)
        .length / 400;
    expect(shareAt(1)).toBeLessThan(0.2);
    expect(shareAt(15_001)).toBeGreaterThan(0.2);
    expect(shareAt(30_001)).toBe(0.5);
    expect(a.state.recoveredAt).toBe(0);
  });

  test('alone in its tier it takes every call', () => {
    const pool = poolOf([{ name: 'a' }]);
    const [a] = pool.tiers[0]?.endpoints ?? [];
    if (a !== undefined) a.state.recoveredAt = 1;
    const asked = { tried: [], spills: 0, conversation: undefined, prefixKey: undefined };
    for (let n = 0; n < 20; n += 1) expect(choose(pool, asked, 1, { ...DEPS, random: () => 0.99 })).toBe(a);
  });
});
