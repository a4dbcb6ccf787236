import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { canonicalJson, readAccessKeys } from '../../../proxy/config/encode.ts';
import { type Bench, keyedPool, openBench, ownerOf, pool } from './texts.ts';

const CHAT = 'LLMPool/ml/chat';
const access = { secret: 'clients' };
const hashed = (key: string): string => createHash('sha256').update(key).digest('hex');
const clientsOf = ({ served }: Bench): unknown => served.get(CHAT)?.clients;

function credentials(id: string, clients?: Record<string, string>): string {
  return canonicalJson({ format: 1, kind: 'Credentials', of: ownerOf('chat'), id, values: {}, clients });
}

describe('the Secret of clients', () => {
  test('is read as the sha256 of each key, without the line ends of a file', () => {
    expect(readAccessKeys({ ann: 'k1\r\n\n', bob: 'k 2', cé: 'clé' }).clients).toEqual({
      ...{ ann: hashed('k1'), bob: hashed('k 2'), cé: hashed('clé') },
    });
  });

  test('gives a key that two clients have to the first by name, in whatever order they stand', () => {
    const expected = { clients: { ann: hashed('k') }, unusable: ["key 'bob' holds the same as 'ann'"] };
    expect(readAccessKeys({ bob: 'k', ann: 'k\n' })).toEqual(expected);
    expect(readAccessKeys({ ann: 'k', bob: 'k' })).toEqual(expected);
  });

  test.each([
    ['', 'is empty'],
    ['\n', 'is empty'],
    ['a\nb', 'is not one line'],
    [' a', 'is not one line'],
    ['a ', 'is not one line'],
    ['a\tb', 'is not one line'],
    [Buffer.from([0xff, 0x61]).toString('utf8'), 'is not one line'],
  ])('lets nobody in by %j', (value, why) => {
    expect(readAccessKeys({ x: value })).toEqual({
      clients: {},
      unusable: [expect.stringContaining(`key 'x' ${why}`)],
    });
  });

  test('may have clients of any name but the one that JSON readers drop', () => {
    const data = JSON.parse('{"constructor":"a","toString":"b","7":"c","__proto__":"d"}');
    const { clients, unusable } = readAccessKeys(data);
    expect(Object.entries(clients).sort()).toEqual([
      ['7', hashed('c')],
      ['constructor', hashed('a')],
      ['toString', hashed('b')],
    ]);
    expect(unusable).toEqual(["key '__proto__' cannot name a client"]);
  });
});

describe('a document with `access` that names its Credentials', () => {
  test('is served with their clients, and another set of clients alone is a change', async () => {
    const bench = openBench();
    bench.documents.put('keys', credentials('1', { ann: hashed('a') }));
    bench.documents.put('chat', pool('chat', { access, credentials: { id: '1' } }));
    await bench.turn();
    expect(clientsOf(bench)).toEqual({ ann: hashed('a') });
    bench.documents.put('keys', credentials('2', { bob: hashed('b') }));
    bench.documents.put('chat', pool('chat', { access, credentials: { id: '2' } }));
    await bench.turn();
    expect(clientsOf(bench)).toEqual({ bob: hashed('b') });
    expect(bench.batches).toHaveLength(2);
  });

  test('has no clients at all where these say of none', async () => {
    const bench = openBench();
    bench.documents.put('keys', credentials('1'));
    bench.documents.put('chat', pool('chat', { access, credentials: { id: '1' } }));
    await bench.turn();
    expect(bench.served.get(CHAT)?.document.access).toEqual(access);
    expect(clientsOf(bench)).toBeUndefined();
    expect(bench.documents.wants().secrets.size).toBe(0);
  });
});

describe('a document with `access` that names none (a sidecar’s)', () => {
  test('wants the Secret, and is served with the hashes of its keys, also when it names no other', async () => {
    const bench = openBench();
    bench.documents.put('chat', pool('chat', { access }));
    expect(bench.documents.wants().secrets).toEqual(new Set(['ml/clients']));
    await bench.turn();
    expect(bench.served.size).toBe(0);
    bench.documents.putSecret('ml/clients', { ann: 'key of ann\n' });
    await bench.turn();
    expect(clientsOf(bench)).toEqual({ ann: hashed('key of ann') });
    expect(JSON.stringify(bench.served.get(CHAT))).not.toContain('key of ann');
  });

  test('follows its Secret: a new key, its deletion, its return', async () => {
    const bench = openBench();
    bench.documents.put('chat', pool('chat', { access }));
    const seen: unknown[] = [];
    for (const data of [{ ann: 'a' }, { ann: 'b' }, { ann: 'b' }, undefined, { ann: 'c' }]) {
      bench.documents.putSecret('ml/clients', data);
      await bench.turn();
      seen.push(clientsOf(bench));
    }
    const [a, b, c] = ['a', 'b', 'c'].map((key) => ({ ann: hashed(key) }));
    expect(seen).toEqual([a, b, b, undefined, c]);
    expect(bench.batches).toHaveLength(4);
  });

  test('is served without clients where its Secret is missing, and ready', async () => {
    const bench = openBench();
    bench.documents.put('chat', pool('chat', { access }));
    bench.documents.putSecret('ml/clients', undefined);
    bench.documents.settle();
    await bench.documents.whenSettled;
    expect(bench.served.get(CHAT)).toMatchObject({ document: { access }, clients: undefined });
    expect(bench.reports.map(({ state }) => state)).toEqual(['loaded']);
  });

  test('closes a pool that was open, though its Secret could not be read in time', async () => {
    const bench = openBench({ waitMs: 30 });
    bench.documents.put('chat', pool('chat'));
    await bench.turn();
    expect(bench.served.get(CHAT)?.document.access).toBeUndefined();
    bench.documents.put('chat', pool('chat', { access }));
    await expect.poll(() => bench.served.get(CHAT)?.document.access).toEqual(access);
    expect(clientsOf(bench)).toBeUndefined();
    bench.documents.putSecret('ml/clients', { ann: 'a' });
    await bench.turn();
    expect(clientsOf(bench)).toEqual({ ann: hashed('a') });
  });

  test('is never seen without clients between one Secret and another', async () => {
    const bench = openBench();
    bench.documents.put('chat', pool('chat', { access }));
    bench.documents.putSecret('ml/clients', { ann: 'a' });
    await bench.turn();
    bench.documents.put('chat', pool('chat', { access: { secret: 'others' } }));
    await bench.turn();
    bench.documents.putSecret('ml/others', { bob: 'b' });
    await bench.turn();
    const seen = bench.applied.map((input) => ('removed' in input ? 'removed' : input.clients));
    expect(seen).toEqual([{ ann: hashed('a') }, { bob: hashed('b') }]);
  });

  test('lets nobody stay in whose key was taken out, also while a value that it sends is missing', async () => {
    const bench = openBench();
    bench.documents.put('chat', keyedPool('chat', { access }));
    bench.documents.putSecret('ml/provider', { 'api-key': 'sk-1' });
    bench.documents.putSecret('ml/clients', { ann: 'a', bob: 'b' });
    await bench.turn();
    bench.documents.putSecret('ml/provider', undefined);
    bench.documents.putSecret('ml/clients', { ann: 'a' });
    await bench.turn();
    expect(bench.served.get(CHAT)).toMatchObject({ credentials: { 'provider/api-key': 'sk-1' } });
    expect(clientsOf(bench)).toEqual({ ann: hashed('a') });
    bench.documents.putSecret('ml/clients', undefined);
    await bench.turn();
    expect(clientsOf(bench)).toBeUndefined();
    expect(bench.served.get(CHAT)?.document.access).toEqual(access);
  });

  test('reaches no Secret of another namespace, whatever it names, and lets nobody in', async () => {
    const bench = openBench({ waitMs: 30 });
    bench.documents.putSecret('other/clients', { ann: 'a' });
    bench.documents.put('chat', pool('chat', { access: { secret: '../other/clients' } }));
    await expect.poll(() => bench.served.has(CHAT)).toBe(true);
    expect(clientsOf(bench)).toBeUndefined();
    expect(bench.documents.wants().secrets.size).toBe(0);
  });
});
