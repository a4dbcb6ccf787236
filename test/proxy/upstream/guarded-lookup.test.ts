import type { LookupAddress } from 'node:dns';
import { describe, expect, test } from 'vitest';
import { createUpstreamRules } from '../../../proxy/config/upstream-address.ts';
import { guardedLookup, REFUSED_ADDRESS } from '../../../proxy/upstream/guarded-lookup.ts';

const rules = createUpstreamRules({ allow: [], allowLoopback: false, apiServer: ['10.0.0.1'] });

/** What a connection would be told for a name that resolves to these. */
function ask(addresses: string[], all: boolean): Promise<{ error: NodeJS.ErrnoException | null; answer: unknown }> {
  const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }));
  const resolve = (_: string, __: object, callback: (error: null, addresses: LookupAddress[]) => void): void =>
    callback(null, found);
  const lookup = guardedLookup(rules, resolve as never);
  return new Promise((done) => {
    lookup('some.name', { all }, ((error: NodeJS.ErrnoException | null, answer: unknown) =>
      done({ error, answer })) as never);
  });
}

describe('the lookup of an upstream’s name', () => {
  test.each([
    ['127.0.0.1'],
    ['127.8.8.8'],
    ['::1'],
    ['169.254.169.254'],
    ['fe80::1'],
    ['fd00:ec2::254'],
    ['::ffff:169.254.169.254'],
    ['0.0.0.0'],
    ['10.0.0.1'],
  ])('refuses %s, which the name may have come to mean only now', async (address) => {
    for (const all of [true, false]) {
      const { error } = await ask([address], all);
      expect(error?.code).toBe(REFUSED_ADDRESS);
      expect(error?.message).toContain('some.name');
    }
  });

  test('hides what must not be called among what may', async () => {
    const { answer } = await ask(['127.0.0.1', '203.0.113.7', '169.254.169.254', '2001:db8::1'], true);
    expect(answer).toEqual([
      { address: '203.0.113.7', family: 4 },
      { address: '2001:db8::1', family: 6 },
    ]);
    expect((await ask(['::1', '203.0.113.7'], false)).answer).toBe('203.0.113.7');
  });

  test('of a name without an address says so', async () => {
    expect((await ask([], true)).error?.message).toContain('has no address');
  });

  test('passes the resolver’s own failure on', async () => {
    const failure = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    const lookup = guardedLookup(rules, ((_: string, __: object, callback: (error: Error) => void) =>
      callback(failure)) as never);
    const error = await new Promise((done) => lookup('x', {}, done));
    expect(error).toBe(failure);
  });
});
