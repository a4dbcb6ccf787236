import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { authorize, presentedKey, usableWith } from '../../../proxy/admit/access.ts';
import { ProxyError } from '../../../proxy/errors.ts';
import { getModel, listModels } from '../../../proxy/http/models.ts';
import type { Access, Pool, PoolState } from '../../../proxy/pool.ts';
import type { Snapshot } from '../../../proxy/snapshot.ts';
import { poolOf, stateOf } from '../balance/pools.ts';

const sha256 = (key: string | Buffer): string => createHash('sha256').update(key).digest('hex');

/** Keys by client; `missing`: the Secret is not there. */
function access(clients: Record<string, string> | 'missing'): Access {
  if (clients === 'missing') return { clients: undefined };
  return { clients: new Map(Object.entries(clients).map(([client, key]) => [sha256(key), client])) };
}

const OPEN = poolOf([], { key: 'ml/open' });
const ONE = poolOf([], { key: 'ml/one', access: access({ team: 'key-1', other: 'key-2' }) });
const TWO = poolOf([], { key: 'ml/two', access: access({ team: 'key-3' }) });
const MISSING = poolOf([], { key: 'ml/missing', access: access('missing') });

function snapshotOf(names: Record<string, Pool>, more: Partial<Snapshot> = {}): Snapshot {
  const states = new Map<string, PoolState>(
    Object.values(names).map((pool) => [pool.key, { ...stateOf(pool), key: pool.key }]),
  );
  const byName = new Map(Object.entries(names).map(([name, pool]) => [name, states.get(pool.key) as PoolState]));
  return {
    ...{ states, byPath: states, byName, instancesByName: new Map(), byModelId: new Map(), catchAll: undefined },
    instances: { states: [], turn: 0 },
    ...more,
  };
}

const SNAPSHOT = snapshotOf({ open: OPEN, one: ONE, two: TWO, missing: MISSING });

function enter(pool: Pool, key: string | undefined): string | ProxyError {
  try {
    return authorize(pool, key, SNAPSHOT, () => 7);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
}

describe('the key that a client presents', () => {
  test.each([
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    ['BEARER   abc', 'abc'],
    ['Bearer a b=', 'a b='],
    ['Bearer', undefined],
    ['Bearer ', undefined],
    ['Bearerabc', undefined],
    ['Basic YTpi', undefined],
    ['abc', undefined],
    ['', undefined],
  ])('in %j is %j', (value, key) => {
    expect(presentedKey(['Host', 'x', 'AUTHORIZATION', value, 'x-a', 'b'])).toBe(key);
  });

  test('is none where there are two, even the same', () => {
    expect(presentedKey(['authorization', 'Bearer a', 'Authorization', 'Bearer a'])).toBeUndefined();
    expect(presentedKey(['authorization', 'Bearer a', 'Authorization', 'Basic x'])).toBeUndefined();
  });

  test('is not looked for in other headers', () => {
    expect(presentedKey(['x-api-key', 'a', 'api-key', 'b', 'proxy-authorization', 'Bearer c'])).toBeUndefined();
  });
});

describe('a pool with access', () => {
  test('lets a key in and knows its client by the name in the Secret', () => {
    expect([enter(ONE, 'key-1'), enter(ONE, 'key-2'), enter(TWO, 'key-3')]).toEqual(['team', 'other', 'team']);
  });

  test('knows a key by its bytes, as Node hands them over', () => {
    const key = 'schlüssel-🔑';
    const own = poolOf([], { access: access({ team: key }) });
    const asNode = Buffer.from(key).toString('latin1');
    expect(authorize(own, asNode, SNAPSHOT, () => 1)).toBe('team');
  });

  test.each([
    ['no key', undefined],
    ['an unknown key', 'wrong'],
    ['the beginning of a key', 'key-'],
    ['a key with more behind it', 'key-1 '],
    ['the hash of a key', sha256('key-1')],
    ['the name of a client', 'team'],
    ['a name that every object has', '__proto__'],
  ])('answers 401 to %s, and says nothing of it', (_, key) => {
    const error = enter(ONE, key);
    expect(error).toMatchObject({ status: 401, code: 'invalid_api_key' });
    if (key !== undefined) expect((error as ProxyError).message).not.toContain(key);
  });

  test('answers 403 to a key of another pool, and names the pool but not the key', () => {
    const error = enter(ONE, 'key-3');
    expect(error).toMatchObject({ status: 403, code: 'model_not_allowed', param: 'model' });
    expect((error as ProxyError).message).toMatch(/ml\/one/);
    expect((error as ProxyError).message).not.toContain('key-3');
  });

  test.each([undefined, 'key-1'])('whose Secret is missing lets nobody in: 503 for %j', (key) => {
    expect(enter(MISSING, key)).toMatchObject({ status: 503, code: 'access_unavailable', retryAfterSeconds: 7 });
  });

  test('with an empty Secret lets nobody in', () => {
    const empty = poolOf([], { access: access({}) });
    expect(enter(empty, 'wrong')).toMatchObject({ status: 401 });
    expect(enter(empty, 'key-1')).toMatchObject({ status: 403 });
  });
});

describe('an open pool', () => {
  test('lets everybody in, and tells clients apart by what they present', () => {
    const clients = [undefined, 'a', 'b', 'a'].map((key) => enter(OPEN, key));
    expect(clients[0]).toBe('');
    expect(clients[1]).toBe(clients[3]);
    expect(new Set(clients).size).toBe(3);
  });
});

describe('the list of models', () => {
  const listed = (key: string | undefined, snapshot = SNAPSHOT): string[] =>
    listModels(snapshot, usableWith(key)).data.map(({ id }) => id);

  test('is what the caller may use: open pools, and those that know its key', () => {
    expect(listed(undefined)).toEqual(['open']);
    expect(listed('key-1')).toEqual(['one', 'open']);
    expect(listed('key-3')).toEqual(['open', 'two']);
    expect(listed('wrong')).toEqual(['open']);
  });

  test('gives one model to those who may use it; to others it does not exist', () => {
    expect(getModel(SNAPSHOT, 'one', usableWith('key-1'))).toMatchObject({ id: 'one', object: 'model' });
    expect(getModel(SNAPSHOT, 'ml/one', usableWith('key-2'))).toMatchObject({ id: 'ml/one' });
    for (const [id, key] of [
      ['one', undefined],
      ['one', 'key-3'],
      ['ml/one', 'wrong'],
      ['missing', 'key-1'],
      ['none', 'key-1'],
    ] as const) {
      expect(() => getModel(SNAPSHOT, id, usableWith(key))).toThrow(
        expect.objectContaining({ status: 404, code: 'model_not_found' }),
      );
    }
  });

  test('has instances, by name and by model id, once each, where one of those that share the id may be used', () => {
    const instance = (key: string, more: Partial<Pool> = {}): Pool =>
      poolOf([], {
        ...{ kind: 'EmbeddingInstance', key, models: [key.slice(3)] },
        instance: { instanceName: key.slice(3), model: 'BAAI/bge', protocol: 'HTTP', maxBatch: 32 },
        ...more,
      });
    const bge = instance('ml/bge', { access: access({ team: 'key-1' }) });
    const other = instance('ml/other', { access: access({ team: 'key-3' }) });
    const plain = snapshotOf({ bge, other });
    const byModelId = new Map([['BAAI/bge', { states: [...plain.states.values()], turn: 0 }]]);
    const snapshot = { ...plain, byModelId };
    expect(listed('key-1', snapshot)).toEqual(['BAAI/bge', 'bge']);
    expect(listed('key-3', snapshot)).toEqual(['BAAI/bge', 'other']);
    expect(listed('wrong', snapshot)).toEqual([]);
  });

  test('shows a name by where it leads: a path that is also a name of an open pool leads to the path', () => {
    const snapshot = snapshotOf({ 'ml/one': OPEN, one: ONE });
    expect(listed(undefined, snapshot)).toEqual([]);
    expect(listed('key-1', snapshot)).toEqual(['ml/one', 'one']);
  });
});
