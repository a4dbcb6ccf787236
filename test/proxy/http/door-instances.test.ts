import { describe, expect, test } from 'vitest';
import { backend, errorOf, fakes, instance, openDoor, pool } from './door.ts';

describe('embedding instances over HTTP', () => {
  test('TEI’s REST is there by instance name and by namespace%2Fname, at the server’s root', async () => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', { name: 'bge', url: `${tei.url}/` }));
    for (const operation of ['embed', 'embed_sparse', 'embed_all', 'rerank', 'predict', 'tokenize', 'decode']) {
      const response = await door.post(`/instances/bge/${operation}`, '{"inputs": "Hi"}');
      expect([response.status, response.headers.get('x-sluice-pool')]).toEqual([200, 'ml/bge']);
    }
    expect((await door.post('/instances/ml%2Fbge/embed?truncate=true', { inputs: 'Hi' })).status).toBe(200);
    for (const operation of ['info', 'health'])
      expect((await door.get(`/instances/bge/${operation}`)).status).toBe(200);
    const calls = tei.calls.map(({ method, path }) => `${method} ${path}`);
    expect(calls).toEqual([
      ...['POST /embed', 'POST /embed_sparse', 'POST /embed_all', 'POST /rerank', 'POST /predict', 'POST /tokenize'],
      ...['POST /decode', 'POST /embed?truncate=true', 'GET /info', 'GET /health'],
    ]);
    expect(tei.calls[0]?.body.toString()).toBe('{"inputs": "Hi"}');
    expect(tei.calls.at(-1)?.body.length).toBe(0);
  });

  test('OpenAI’s embeddings reach it by its name; by model id two instances take turns', async () => {
    const [one, two] = await fakes('one', 'two');
    const door = await openDoor();
    const model = 'BAAI/bge';
    await door.put(instance('one', one, { model }), instance('two', two, { model }));
    const by = async (name: string): Promise<string | null> => {
      const response = await door.post('/v1/embeddings', { model: name, input: 'Hi' });
      expect(response.status).toBe(200);
      return response.headers.get('x-sluice-pool');
    };
    expect([await by('one'), await by('two'), await by('ml/two')]).toEqual(['ml/one', 'ml/two', 'ml/two']);
    const turns = [await by(model), await by(model), await by(model), await by(model)];
    expect(turns.filter((pool) => pool === 'ml/one')).toHaveLength(2);
    expect(turns[0]).not.toBe(turns[1]);
    expect(one.calls[0]?.path).toBe('/v1/embeddings');
  });

  test('an instance of a shared model that has no endpoint is passed over', async () => {
    const [one] = await fakes('one');
    const door = await openDoor();
    const gone = instance('two', { name: 'two', scheme: 'http' }, { model: 'BAAI/bge' });
    await door.put(instance('one', one, { model: 'BAAI/bge' }), gone);
    for (let n = 0; n < 4; n += 1) {
      expect((await door.post('/v1/embeddings', { model: 'BAAI/bge', input: 'Hi' })).status).toBe(200);
    }
    const error = await errorOf(await door.post('/v1/embeddings', { model: 'two', input: 'Hi' }));
    expect(error).toMatchObject({ status: 503, code: 'no_healthy_endpoints' });
  });

  test('by model it serves embeddings and rerank, nothing else', async () => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei));
    expect((await door.post('/v1/rerank', { model: 'bge', query: 'q', texts: ['a'] })).status).toBe(200);
    expect(tei.calls[0]?.path).toBe('/rerank');
    const error = await errorOf(await door.post('/v1/chat/completions', { model: 'bge' }));
    expect(error).toMatchObject({ status: 404, code: 'unknown_path' });
  });

  test.each([
    ['POST', '/instances/none/embed', '{}', 404, 'instance_not_found'],
    ['POST', '/instances/chat/embed', '{}', 404, 'instance_not_found'],
    ['POST', '/instances/bge/unknown', '{}', 404, 'unknown_path'],
    ['POST', '/instances/bge', '{}', 404, 'unknown_path'],
    ['POST', '/instances/bge/embed', '{"inputs": ', 400, 'invalid_json'],
    ['POST', '/instances/bge/embed', '\ufeff{}', 400, 'invalid_json'],
    ['POST', '/instances/bge/embed', '', 400, 'invalid_json'],
    ['PUT', '/instances/bge/embed', '{}', 405, 'method_not_allowed'],
    ['POST', '/instances/bge/info', '{}', 405, 'method_not_allowed'],
    ['POST', '/instances/a%2Fb%2Fc/embed', '{}', 400, 'bad_request'],
    ['POST', '/instances/ml/bge/embed', '{}', 404, 'unknown_path'],
  ])('%s %s with %j is refused with %i %s', async (method, path, body, status, code) => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei), pool('chat', [backend(tei)]));
    expect(await errorOf(await door.post(path, body, { method }))).toMatchObject({ status, code });
    expect(tei.calls).toHaveLength(0);
  });

  test('an instance’s endpoints fail over to one another and share its slots', async () => {
    const [one, two] = await fakes('one', 'two');
    one.behave({ status: 500 });
    const door = await openDoor();
    const of = { kind: 'EmbeddingInstance', namespace: 'ml', name: 'bge' };
    const entry = (port: number): object => ({ backend: 'pods', address: '127.0.0.1', port, ready: true });
    await door.put(instance('bge', { name: 'pods', scheme: 'http', path: '' }), {
      ...{ format: 1, kind: 'Endpoints', of, piece: 0 },
      endpoints: [entry(one.port), entry(two.port)],
    });
    for (let n = 0; n < 6; n += 1) {
      const response = await door.post('/instances/bge/embed', { inputs: 'Hi' });
      expect(response.status).toBe(200);
    }
    expect(two.calls).toHaveLength(6);
    expect(one.calls.length).toBeGreaterThan(1);
  });
});
