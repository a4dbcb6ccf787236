import { describe, expect, test } from 'vitest';
import type { FakeTei } from '../../support/fake-tei.ts';
import { tei, teis } from '../grpc/instances.ts';
import { type Door, errorOf, openDoor } from '../http/door.ts';

const DOCUMENTS = ['bb', 'dddd', 'a', 'ccc'];

/** The door to one instance, to which longer texts are better. */
async function opened(fields: object = {}): Promise<{ door: Door; a: FakeTei }> {
  const [a] = await teis('a');
  a.answer('Rerank', ({ texts, return_text }) => ({
    ranks: (texts as string[]).map((text, index) => ({
      ...{ index, score: text.length },
      ...(return_text === true && { text }),
    })),
    metadata: { compute_tokens: 40 },
  }));
  const door = await openDoor();
  await door.put(tei('a', a.origin, fields));
  return { door, a };
}

describe('rerank by an instance that speaks gRPC', () => {
  test('/v1/rerank with `documents` is answered as Cohere and Jina do, the best first', async () => {
    const { door, a } = await opened({ maxBatch: 32 });
    const body = { model: 'a', query: 'q', documents: DOCUMENTS };
    expect(await (await door.post('/v1/rerank', body)).json()).toEqual({
      ...{ object: 'list', model: 'a', usage: { prompt_tokens: 40, total_tokens: 40 } },
      results: [
        { index: 1, relevance_score: 4 },
        { index: 3, relevance_score: 3 },
        { index: 0, relevance_score: 2 },
        { index: 2, relevance_score: 1 },
      ],
    });
    expect(a.received).toMatchObject([
      { method: 'Rerank', request: { query: 'q', texts: DOCUMENTS, truncate: true, return_text: false } },
    ]);
  });

  test('it gives the first `top_n`, with their documents where they are wanted, which may be objects', async () => {
    const { door } = await opened({ maxBatch: 32 });
    const documents = ['bb', { text: 'dddd', title: 'D' }, 'a'];
    const more = { top_n: 2, return_documents: true };
    const response = await door.post('/v1/rerank', { model: 'a', query: 'q', documents, ...more });
    expect(((await response.json()) as { results: unknown }).results).toEqual([
      { index: 1, relevance_score: 4, document: { text: 'dddd' } },
      { index: 0, relevance_score: 2, document: { text: 'bb' } },
    ]);
  });

  test.each(['/v1/rerank', '/instances/a/rerank'])('%s with `texts` is TEI’s', async (path) => {
    const { door } = await opened({ maxBatch: 32 });
    const body = { model: 'a', query: 'q', texts: DOCUMENTS };
    const plain = await (await door.post(path, body)).json();
    expect(plain).toEqual([
      { index: 1, score: 4 },
      { index: 3, score: 3 },
      { index: 0, score: 2 },
      { index: 2, score: 1 },
    ]);
    const withText = await (await door.post(path, { ...body, return_text: true })).json();
    expect(withText).toMatchObject([{ text: 'dddd' }, { text: 'ccc' }, { text: 'bb' }, { text: 'a' }]);
  });

  test.each([
    [4, 'Rerank'],
    [3, 'RerankStream'],
    // Nobody said how many the server takes.
    [undefined, 'RerankStream'],
  ])('four texts for a server that takes %s at a time go by %s', async (maxBatch, method) => {
    const { door, a } = await opened(maxBatch === undefined ? {} : { maxBatch });
    const response = await door.post('/instances/a/rerank', { query: 'q', texts: DOCUMENTS, return_text: true });
    expect(await response.json()).toMatchObject([{ text: 'dddd' }, { text: 'ccc' }, { text: 'bb' }, { text: 'a' }]);
    expect(a.received).toMatchObject([{ method, request: { query: 'q', texts: DOCUMENTS } }]);
  });

  test.each([
    ['one text is not ranked', [{ index: 0 }]],
    ['one is ranked twice', [{ index: 0 }, { index: 0 }]],
    ['one is ranked that was not sent', [{ index: 0 }, { index: 2 }]],
  ])('an answer in which %s is no answer', async (_, ranks) => {
    const { door, a } = await opened();
    a.answer('Rerank', () => ({ ranks }));
    const error = await errorOf(await door.post('/instances/a/rerank', { query: 'q', texts: ['x', 'y'] }));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.message).toContain('it does not rank each text once');
  });

  test('a long query with many texts, which would go out once for each, is too much', async () => {
    const { door, a } = await opened();
    const body = { query: 'q'.repeat(40_000), texts: Array.from({ length: 1_000 }, () => 'x') };
    const error = await errorOf(await door.post('/instances/a/rerank', body));
    expect(error).toMatchObject({ status: 413, code: 'request_too_large', param: 'query' });
    expect(a.accepted()).toBe(0);
  });

  test.each([
    [{ query: 'q' }, 'texts'],
    [{ documents: ['a'] }, 'query'],
    [{ query: 'q', documents: ['a'], top_n: 0 }, 'top_n'],
    [{ query: 'q', documents: ['a'], return_documents: 1 }, 'return_documents'],
    [{ query: 'q', documents: 'a' }, 'documents'],
  ])('/v1/rerank with %j is refused by its field `%s`', async (body, param) => {
    const { door } = await opened();
    expect(await errorOf(await door.post('/v1/rerank', { model: 'a', ...body }))).toMatchObject({ status: 400, param });
  });
});
