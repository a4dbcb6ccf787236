import { hash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, errorOf, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

interface Report {
  readonly name: string;
  readonly state: string;
  readonly message: string;
}

async function reportOf(door: Door, name: string): Promise<Report | undefined> {
  const { documents } = (await (await fetch(`${door.adminUrl}/config`)).json()) as { documents: Report[] };
  return documents.find((report) => report.name === name);
}

describe('a header that a CR sets', () => {
  test.each([
    ['host', 'other.example'],
    ['Content-Length', '5'],
    ['transfer-encoding', 'chunked'],
    ['connection', 'close'],
    ['x bad', 'v'],
    ['x-bad\r\nx-other', 'v'],
    ['', 'v'],
    ['x-value', 'a\r\nx-other: b'],
    ['x-value', 'a\nb'],
    ['x-value', 'a\0b'],
    ['x-value', 'a\u010ab'],
  ])(
    'as %j: %j is refused in words that name it; what was there before serves, and every other pool',
    async (name, value) => {
      const [a, b] = await fakes('a', 'b');
      const door = await openDoor();
      await door.put(pool('chat', [backend(a)]), pool('other', [backend(b)]));
      await door.put(pool('chat', [backend(a, { headers: [{ name, value }] })], { firstModel: 'changed' }));
      const report = await reportOf(door, 'chat');
      expect(report?.state).toBe('rejected');
      expect(report?.message).toMatch(/^backend a: headers: /);
      expect((await door.post(CHAT, chat())).status).toBe(200);
      expect((await door.post(CHAT, chat('other'))).status).toBe(200);
      expect(a.calls[0]?.rawHeaders).not.toContain('x-other');
    },
  );

  test('from a Secret is refused without its value in the words', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
    const auth = { name: 'authorization', prefix: 'Bearer ', valueFrom: { secret: 's', key: 'k' } };
    const credentials = { format: 1, kind: 'Credentials', of, id: '1', values: { 's/k': 'sk-very-secret\r\nx: y' } };
    await door.put(credentials, pool('chat', [backend(a, { headers: [auth] })], { credentials: { id: '1' } }));
    const report = await reportOf(door, 'chat');
    expect(report?.message).toContain('the value of authorization');
    expect(JSON.stringify([report, door.log])).not.toContain('very-secret');
  });
});

describe('names that mean something to JavaScript', () => {
  const NAMES = ['constructor', 'toString', 'hasOwnProperty', 'valueOf'];

  test('are models like any others, mapped or not', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const modelMap = Object.fromEntries(NAMES.map((name) => [name, `mapped-${name}`]));
    await door.put(
      { ...pool('chat', [backend(a, { modelMap })]), models: NAMES },
      pool('plain', [backend(a, { modelMap: { gpt: 'llama' } })], { models: ['*'] }),
    );
    for (const name of NAMES) expect((await door.post(CHAT, chat(name))).status).toBe(200);
    expect(a.calls.map(({ body }) => (JSON.parse(body.toString()) as { model: string }).model)).toEqual(
      NAMES.map((name) => `mapped-${name}`),
    );
    for (const name of ['isPrototypeOf', '__proto__']) {
      expect((await door.post(CHAT, chat(name))).status).toBe(200);
      expect((JSON.parse(a.calls.at(-1)?.body.toString() ?? '') as { model: string }).model).toBe(name);
    }
  });

  test('are clients like any others', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
    const clients = Object.fromEntries(NAMES.map((name) => [name, hash('sha256', `key-of-${name}`, 'hex')]));
    await door.put(
      { format: 1, kind: 'Credentials', of, id: '1', values: {}, clients },
      pool('chat', [backend(a)], {
        credentials: { id: '1' },
        access: { secret: 'clients' },
        limits: { perClient: { requestsPerMinute: 1 } },
      }),
    );
    for (const name of NAMES) {
      const headers = { authorization: `Bearer key-of-${name}` };
      expect([name, (await door.post(CHAT, chat(), { headers })).status]).toEqual([name, 200]);
      expect([name, (await door.post(CHAT, chat(), { headers })).status]).toEqual([name, 429]);
    }
    expect((await door.post(CHAT, chat(), { headers: { authorization: 'Bearer __proto__' } })).status).toBe(401);
  });
});

test('a query that a CR sets adds no other parameter, and no fragment', async () => {
  const [a] = await fakes('a');
  const door = await openDoor();
  const query = [
    { name: 'api-version', value: '1&admin=true#x y\r\n' },
    { name: 'a&b', value: '' },
  ];
  await door.put(pool('chat', [backend(a, { query })]));
  expect((await door.post(`${CHAT}?api-version=2&api%2Dversion=3&z=1`, chat())).status).toBe(200);
  expect(a.calls[0]?.path).toBe('/v1/chat/completions?z=1&api-version=1%26admin%3Dtrue%23x%20y%0D%0A&a%26b=');
});

test('weights as large as numbers go cost no more than others', async () => {
  const [a] = await fakes('a');
  const door = await openDoor();
  const many = Array.from({ length: 64 }, (_, n) => ({ name: `b-${n}`, url: `${a.url}/v1`, weight: 1_000_000 - n }));
  const startedAt = performance.now();
  for (const strategy of ['Weighted', 'LeastRequest', 'PrefixHash', 'Failover', 'RoundRobin']) {
    await door.put(pool('chat', many, { strategy }));
    await door.remove(pool('chat', many, { strategy }));
    await door.put(pool('chat', many, { strategy }));
    expect((await door.post(CHAT, chat())).status).toBe(200);
  }
  expect(performance.now() - startedAt).toBeLessThan(3_000);
});

test('a pool that claims a name with a slash does not get the calls for that pool', async () => {
  const [a, b] = await fakes('a', 'b');
  const door = await openDoor();
  await door.put(
    pool('chat', [backend(a)]),
    pool('thief', [backend(b)], { models: ['ml/chat', 'chat', 'proxy-chat'], namespace: 'aa' }),
  );
  expect((await door.post(CHAT, chat('ml/chat'))).headers.get('x-sluice-pool')).toBe('ml/chat');
});

test('an unknown key is told nothing but that it is unknown', async () => {
  const [a] = await fakes('a');
  const door = await openDoor();
  const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
  await door.put(
    { format: 1, kind: 'Credentials', of, id: '1', values: {}, clients: { ann: hash('sha256', 'right', 'hex') } },
    pool('chat', [backend(a)], { credentials: { id: '1' }, access: { secret: 'clients' } }),
  );
  for (const key of ['', 'wrong', 'right ', ' right', 'RIGHT', hash('sha256', 'right', 'hex'), 'ann']) {
    const error = await errorOf(await door.post(CHAT, chat(), { headers: { authorization: `Bearer ${key}x` } }));
    expect([key, error.status]).toEqual([key, 401]);
    expect(error.message).not.toMatch(/ann|sha256|right/);
  }
  expect(a.calls).toHaveLength(0);
});
