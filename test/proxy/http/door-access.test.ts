import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, errorOf, fakes, instance, openDoor, pool } from './door.ts';
import { clientKeys, keyed, withKey } from './door-credentials.ts';

const CHAT = '/v1/chat/completions';

async function statusBy(door: Door, key: string | undefined, model = 'chat'): Promise<number> {
  const response = await door.post(CHAT, chat(model), key === undefined ? {} : withKey(key));
  await response.text();
  return response.status;
}

/** The models that `GET /v1/models` lists for this key. */
async function modelsOf(door: Door, key?: string): Promise<string[]> {
  const response = await fetch(`${door.url}/v1/models`, key === undefined ? {} : withKey(key));
  return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id);
}

describe('a pool with access', () => {
  test('lets in who has one of its keys; others are told what is wrong, and nothing goes upstream for them', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      ...[pool('chat', [backend(a)], keyed('c1')), clientKeys('chat', 'c1', { ann: 'key-of-ann', bob: 'key-of-bob' })],
      ...[pool('other', [backend(a)], keyed('c2')), clientKeys('other', 'c2', { cid: 'key-of-cid' })],
    );
    const refused = async (headers: Record<string, string>): Promise<object> =>
      errorOf(await door.post(CHAT, chat(), { headers }));
    const wrongKey = { status: 401, code: 'invalid_api_key', type: 'authentication_error' };
    expect(await refused({})).toMatchObject(wrongKey);
    expect(await refused({ authorization: 'Bearer key-of-nobody' })).toMatchObject(wrongKey);
    expect(await refused({ authorization: 'Basic key-of-ann' })).toMatchObject(wrongKey);
    expect(await refused({ 'x-api-key': 'key-of-ann' })).toMatchObject(wrongKey);
    const notAllowed = { status: 403, code: 'model_not_allowed', type: 'permission_error', param: 'model' };
    expect(await refused({ authorization: 'Bearer key-of-cid' })).toMatchObject(notAllowed);
    expect(a.calls).toHaveLength(0);
    expect([await statusBy(door, 'key-of-ann'), await statusBy(door, 'key-of-bob')]).toEqual([200, 200]);
    expect(await statusBy(door, 'key-of-cid', 'other')).toBe(200);
  });

  test('whose Secret is missing lets nobody in, and says when to come again; once it is there it opens', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], keyed('c1')), clientKeys('chat', 'c1', undefined));
    for (const init of [{}, withKey('key-of-ann')]) {
      const error = await errorOf(await door.post(CHAT, chat(), init));
      expect(error).toMatchObject({ status: 503, code: 'access_unavailable' });
      expect(Number(error.retryAfter)).toBeGreaterThanOrEqual(1);
    }
    expect(await modelsOf(door, 'key-of-ann')).toEqual([]);
    expect(a.calls).toHaveLength(0);
    await door.put(clientKeys('chat', 'c2', { ann: 'key-of-ann' }), pool('chat', [backend(a)], keyed('c2')));
    expect(await statusBy(door, 'key-of-ann')).toBe(200);
  });

  test('follows its Secret: a new key opens at once, an old one no more, and no call of a key that stays fails', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const withKeys = (id: string, clients: Record<string, string>) =>
      door.put(clientKeys('chat', id, clients), pool('chat', [backend(a)], keyed(id)));
    await withKeys('c0', { ann: 'ann-0', bob: 'stays' });
    let isOver = false;
    const statuses: number[] = [];
    const caller = (async () => {
      while (!isOver) statuses.push(await statusBy(door, 'stays'));
    })();
    for (let n = 1; n <= 20; n += 1) {
      await withKeys(`c${n}`, { ann: `ann-${n}`, bob: 'stays' });
      expect([await statusBy(door, `ann-${n}`), await statusBy(door, `ann-${n - 1}`)]).toEqual([200, 401]);
    }
    isOver = true;
    await caller;
    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test('is in /v1/models for those it lets in', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('open', [backend(a)]),
      ...[pool('chat', [backend(a)], keyed('c1')), clientKeys('chat', 'c1', { ann: 'key-of-ann' })],
      ...[pool('other', [backend(a)], keyed('c2')), clientKeys('other', 'c2', { bob: 'key-of-bob' })],
    );
    expect(await modelsOf(door)).toEqual(['open']);
    expect(await modelsOf(door, 'key-of-ann')).toEqual(['chat', 'open']);
    expect(await modelsOf(door, 'key-of-bob')).toEqual(['open', 'other']);
    const one = async (key: string): Promise<number> =>
      (await fetch(`${door.url}/v1/models/chat`, withKey(key))).status;
    expect([await one('key-of-ann'), await one('key-of-bob')]).toEqual([200, 404]);
  });
});

describe('a client’s key', () => {
  test('goes into no upstream call and no line of the log, let in or refused', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('open', [backend(a)]),
      ...[pool('chat', [backend(a)], keyed('c1')), clientKeys('chat', 'c1', { ann: 'SECRET-KEY' })],
    );
    for (const model of ['chat', 'open', 'none']) await statusBy(door, 'SECRET-KEY', model);
    await statusBy(door, 'SECRET-KEY-OF-NOBODY');
    a.behave({ status: 500 });
    const failed = await door.post(CHAT, chat(), withKey('SECRET-KEY'));
    expect(await failed.text()).not.toContain('SECRET');
    await expect.poll(() => door.log.filter((line) => line.includes('"request"')).length).toBe(5);
    expect(a.calls.length).toBeGreaterThan(2);
    expect(
      JSON.stringify(a.calls.map(({ rawHeaders, path, body }) => [rawHeaders, path, body.toString()])),
    ).not.toContain('SECRET');
    expect(door.log.filter((line) => line.includes('SECRET'))).toEqual([]);
    const admin = ['/pools', '/config', '/metrics', '/explain?model=chat'];
    for (const path of admin) expect(await (await fetch(door.adminUrl + path)).text()).not.toMatch(/SECRET|ann/);
  });
});

describe('an embedding instance with access', () => {
  test('is called by its name by those it lets in; by model id each gets one that he may use', async () => {
    const [one, two, three] = await fakes('one', 'two', 'three');
    const door = await openDoor();
    const model = 'BAAI/bge';
    await door.put(
      ...[
        instance('one', one, { model, ...keyed('c1') }),
        clientKeys('one', 'c1', { ann: 'key-of-ann' }, 'EmbeddingInstance'),
      ],
      ...[
        instance('two', two, { model, ...keyed('c2') }),
        clientKeys('two', 'c2', { bob: 'key-of-bob' }, 'EmbeddingInstance'),
      ],
      instance('three', three, { model: 'other' }),
    );
    const embed = async (path: string, key?: string): Promise<number> => {
      const response = await door.post(
        path,
        { inputs: 'Hi', input: 'Hi', model },
        key === undefined ? {} : withKey(key),
      );
      await response.text();
      return response.status;
    };
    const direct = '/instances/one/embed';
    expect([await embed(direct, 'key-of-ann'), await embed(direct, 'key-of-bob'), await embed(direct)]).toEqual([
      ...[200, 403, 401],
    ]);
    for (let n = 0; n < 4; n += 1) expect(await embed('/v1/embeddings', 'key-of-ann')).toBe(200);
    for (let n = 0; n < 3; n += 1) expect(await embed('/v1/embeddings', 'key-of-bob')).toBe(200);
    expect([one.calls.length, two.calls.length, three.calls.length]).toEqual([5, 3, 0]);
    expect(await embed('/v1/embeddings')).toBe(401);
    expect(await embed('/instances/three/embed')).toBe(200);
    expect(await modelsOf(door, 'key-of-ann')).toEqual([model, 'one', 'other', 'three']);
  });
});
