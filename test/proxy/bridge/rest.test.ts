import { describe, expect, test } from 'vitest';
import type { FakeTei } from '../../support/fake-tei.ts';
import { tei, teis } from '../grpc/instances.ts';
import { type Door, errorOf, openDoor } from '../http/door.ts';

/** The door to one instance. */
async function opened(fields: object = {}): Promise<{ door: Door; a: FakeTei }> {
  const [a] = await teis('a');
  const door = await openDoor();
  await door.put(tei('a', a.origin, fields));
  return { door, a };
}

const INFO = {
  ...{ version: '1.9.3', docker_label: 'sha-1', model_id: 'BAAI/bge', model_dtype: 'float32', model_type: 2 },
  ...{ max_concurrent_requests: 512, max_input_length: 300, max_batch_tokens: 16384, max_client_batch_size: 32 },
  ...{ tokenization_workers: 4 },
};

describe('TEI’s REST of an instance that speaks gRPC', () => {
  test.each([
    ['embed', { inputs: 'abc' }, [[3]], 'Embed'],
    ['embed', { inputs: ['abc'] }, [[3]], 'Embed'],
    ['embed', { inputs: ['abc', 'e'] }, [[3], [1]], 'EmbedStream'],
    ['embed_sparse', { inputs: 'abc' }, [[{ index: 3, value: 1 }]], 'EmbedSparse'],
    [
      'embed_sparse',
      { inputs: ['abc', 'e'] },
      [[{ index: 3, value: 1 }], [{ index: 1, value: 1 }]],
      'EmbedSparseStream',
    ],
    ['embed_all', { inputs: 'abc' }, [[[3]]], 'EmbedAll'],
    ['embed_all', { inputs: ['abc', 'e'] }, [[[3]], [[1]]], 'EmbedAllStream'],
    ['predict', { inputs: 'abc' }, [{ score: 3, label: 'a' }], 'Predict'],
    ['predict', { inputs: ['abc'] }, [{ score: 3, label: 'a' }], 'Predict'],
    ['predict', { inputs: ['abc', 'e'] }, [{ score: 1, label: 'abc|e' }], 'PredictPair'],
    [
      'predict',
      { inputs: [['abc'], ['d', 'e']] },
      [[{ score: 1, label: 'abc' }], [{ score: 1, label: 'd|e' }]],
      'PredictPairStream',
    ],
    ['predict', { inputs: [['abc']] }, [[{ score: 1, label: 'abc' }]], 'PredictPairStream'],
    [
      'tokenize',
      { inputs: ['abc', 'ü'] },
      [
        [{ id: 3, text: 'abc', special: false, start: null, stop: null }],
        [{ id: 1, text: 'ü', special: false, start: null, stop: null }],
      ],
      'TokenizeStream',
    ],
    ['decode', { ids: [1, 300, 4294967295] }, ['1 300 4294967295'], 'Decode'],
    ['decode', { ids: [[1, 2], [3]] }, ['1 2', '3'], 'DecodeStream'],
    ['rerank', { query: 'q', texts: ['x'] }, [{ index: 0, text: 'x', score: 1 }], 'Rerank'],
  ])('/%s with %j is answered %j by %s', async (operation, body, answer, method) => {
    const { door, a } = await opened();
    const response = await door.post(`/instances/a/${operation}`, body);
    expect([response.status, await response.json()]).toEqual([200, answer]);
    for (const each of a.received) expect(each.method).toBe(method);
    expect(a.seen).toHaveLength(1);
    expect(response.headers.get('content-type')).toBe('application/json');
  });

  test('sends what TEI’s REST means where nothing is said: cut on the right, normalized, with special tokens', async () => {
    const { door, a } = await opened();
    const bodies: [string, object][] = [
      ['embed', { inputs: 'x', truncate: null, normalize: null, prompt_name: null, dimensions: null }],
      ['embed_sparse', { inputs: 'x' }],
      ['embed_all', { inputs: 'x' }],
      ['predict', { inputs: 'x' }],
      ['rerank', { query: 'q', texts: ['x'] }],
      ['tokenize', { inputs: 'x' }],
      ['decode', { ids: [1] }],
    ];
    for (const [operation, body] of bodies) await door.post(`/instances/a/${operation}`, body);
    const cut = { inputs: 'x', truncate: true };
    expect(a.received.map(({ request }) => plain(request))).toEqual([
      cut,
      cut,
      cut,
      { ...cut, raw_scores: false },
      { query: 'q', texts: ['x'], truncate: true, raw_scores: false, return_text: false },
      { inputs: 'x', add_special_tokens: true },
      { ids: [1], skip_special_tokens: true },
    ]);
  });

  test('sends each field where it is said', async () => {
    const { door, a } = await opened();
    const cut = { truncate: false, truncation_direction: 'Left' };
    const bodies: [string, object][] = [
      ['embed', { inputs: 'x', ...cut, normalize: false, prompt_name: 'query', dimensions: 70_000 }],
      ['embed_sparse', { inputs: 'x', ...cut, prompt_name: 'query' }],
      ['embed_all', { inputs: 'x', truncation_direction: 'left', prompt_name: 'query' }],
      ['predict', { inputs: 'x', ...cut, raw_scores: true }],
      ['predict', { inputs: ['x', 'y'], ...cut, raw_scores: true }],
      ['rerank', { query: 'q', texts: ['x'], ...cut, raw_scores: true, return_text: true }],
      ['tokenize', { inputs: 'x', add_special_tokens: false, prompt_name: 'query' }],
      ['decode', { ids: [1], skip_special_tokens: false }],
    ];
    for (const [operation, body] of bodies) {
      expect((await door.post(`/instances/a/${operation}`, body)).status, operation).toBe(200);
    }
    const left = { truncate: false, truncation_direction: 1 };
    expect(a.received.map(({ request }) => plain(request))).toEqual([
      { inputs: 'x', ...left, normalize: false, prompt_name: 'query', dimensions: 70_000 },
      { inputs: 'x', ...left, prompt_name: 'query' },
      { inputs: 'x', ...left, truncate: true, prompt_name: 'query' },
      { inputs: 'x', ...left, raw_scores: true },
      { inputs: ['x', 'y'], ...left, raw_scores: true },
      { query: 'q', texts: ['x'], ...left, raw_scores: true, return_text: true },
      { inputs: 'x', add_special_tokens: false, prompt_name: 'query' },
      { ids: [1], skip_special_tokens: false },
    ]);
  });

  test('has /info in TEI’s words, as far as its gRPC knows them', async () => {
    const { door, a } = await opened();
    a.answer('Info', () => INFO);
    expect(await (await door.get('/instances/a/info')).json()).toEqual({
      ...INFO,
      ...{ model_type: { reranker: {} }, model_sha: null, sha: null, max_batch_requests: null },
    });
  });

  test.each([
    ['embed', {}, 'inputs'],
    ['embed', { inputs: { a: 1 } }, 'inputs'],
    ['embed', { inputs: 'x', truncate: 'yes' }, 'truncate'],
    ['embed', { inputs: 'x', truncation_direction: 'up' }, 'truncation_direction'],
    ['embed', { inputs: 'x', normalize: 1 }, 'normalize'],
    ['embed', { inputs: 'x', prompt_name: 7 }, 'prompt_name'],
    ['embed', { inputs: 'x', dimensions: 1.5 }, 'dimensions'],
    ['embed_sparse', { inputs: [[1]] }, 'inputs'],
    ['predict', { inputs: ['a', 'b', 'c'] }, 'inputs'],
    ['predict', { inputs: [['a', 'b', 'c']] }, 'inputs'],
    ['predict', { inputs: [] }, 'inputs'],
    ['rerank', { texts: ['a'] }, 'query'],
    ['rerank', { query: 'q' }, 'texts'],
    ['rerank', { query: 'q', texts: [] }, 'texts'],
    ['rerank', { query: 'q', documents: [{ title: 'a' }] }, 'documents'],
    ['tokenize', { inputs: 7 }, 'inputs'],
    ['decode', { ids: [-1] }, 'ids'],
    ['decode', { ids: [4294967296] }, 'ids'],
    ['decode', { ids: 'abc' }, 'ids'],
  ])('/%s with %j is refused by its field `%s`', async (operation, body, param) => {
    const { door, a } = await opened();
    const error = await errorOf(await door.post(`/instances/a/${operation}`, body));
    expect(error).toMatchObject({ status: 400, code: 'bad_request', param });
    expect(error.message).toMatch(new RegExp(`^\`${param}\` must be `));
    expect(a.accepted()).toBe(0);
  });

  test.each(['[]', '"text"', 'null', '7'])('a body of %s is no object', async (body) => {
    const { door } = await opened();
    const error = await errorOf(await door.post('/instances/a/embed', body));
    expect(error).toMatchObject({ status: 400, message: 'The body must be a JSON object' });
  });

  test('thousands of inputs go as one stream, of which the server has no more at a time than it takes', async () => {
    const { door, a } = await opened({ maxBatch: 8 });
    const inputs = Array.from({ length: 5_000 }, (_, n) => 'x'.repeat(n % 50));
    const response = await door.post('/instances/a/embed', { inputs });
    expect(await response.json()).toEqual(inputs.map(({ length }) => [length]));
    expect(a.seen).toHaveLength(1);
  });

  test('an answer of megabytes goes out as it comes, and whole', async () => {
    const { door, a } = await opened();
    const floats = Array.from({ length: 50_000 }, (_, n) => n / 8);
    a.answer('EmbedAll', () => ({ token_embeddings: [{ embeddings: floats }, { embeddings: [1] }] }));
    const response = await door.post('/instances/a/embed_all', { inputs: ['a', 'b', 'c', 'd'] });
    expect(response.headers.get('content-length')).toBeNull();
    expect(await response.json()).toEqual(Array.from({ length: 4 }, () => [floats, [1]]));
  });
});

/** Enums are numbers; RIGHT, which is the default, is left out, and so is what says which optional field is there. */
function plain(request: Record<string, unknown>): object {
  const kept = Object.entries(request).filter(([name, value]) => !name.startsWith('_') && !isRight(name, value));
  return Object.fromEntries(kept);
}

function isRight(name: string, value: unknown): boolean {
  return name === 'truncation_direction' && value === 0;
}
