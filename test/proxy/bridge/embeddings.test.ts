import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import type { FakeTei } from '../../support/fake-tei.ts';
import { tei, teiOf, teis } from '../grpc/instances.ts';
import { type Door, errorOf, openDoor } from '../http/door.ts';
import { seriesOf } from '../http/door-series.ts';

const EMBEDDINGS = '/v1/embeddings';
const VECTOR = [0.1, -2.5, 1e-9, 3.4e38].map(Math.fround);
const inputs = (count: number): string[] => Array.from({ length: count }, (_, n) => 'x'.repeat(n + 1));

interface Answer {
  readonly data: readonly { readonly index: number; readonly embedding: readonly number[] }[];
  readonly usage: Readonly<Record<string, number>>;
}

/** The door to one instance, whose answers tell the length of the input, and cost as many tokens. */
async function opened(fields: object = {}): Promise<{ door: Door; a: FakeTei }> {
  const [a] = await teis('a');
  a.answer('Embed', ({ inputs }) => {
    const { length } = String(inputs);
    return { embeddings: [length, 0.5], metadata: { compute_chars: 1, compute_tokens: length } };
  });
  const door = await openDoor();
  await door.put(tei('a', a.origin, { model: 'BAAI/bge', ...fields }));
  return { door, a };
}

describe('OpenAI’s embeddings of an instance that speaks gRPC', () => {
  test('of one text are one call, and answered as OpenAI answers', async () => {
    const { door, a } = await opened();
    const response = await door.post(EMBEDDINGS, { model: 'a', input: 'four', user: 'ann' });
    const text = await response.text();
    expect(JSON.parse(text)).toEqual({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: [4, 0.5] }],
      model: 'a',
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      ...{ 'content-type': 'application/json', 'content-length': String(text.length), 'x-total-time': '7' },
      ...{ 'x-sluice-pool': 'ml/a', 'x-sluice-backend': 'a', 'x-sluice-attempts': '1' },
    });
    expect([...response.headers.keys()].filter((name) => name.startsWith('grpc'))).toEqual([]);
    // TEI's HTTP cuts what is too long; its gRPC does it only where it is told.
    expect(a.received).toMatchObject([{ method: 'Embed', request: { inputs: 'four', truncate: true } }]);
    expect(await seriesOf(door, 'sluice_tokens_total', { pool: 'ml/a', type: 'input' })).toBe(4);
    const line = JSON.parse(door.log.find((each) => each.includes('"status":200')) ?? '{}');
    expect(line).toMatchObject({ model: 'a', pool: 'ml/a', status: 200 });
  });

  test('of several are one stream, in order; by model id, namespace/name or with `dimensions`', async () => {
    const { door, a } = await opened({ maxBatch: 32 });
    for (const model of ['BAAI/bge', 'ml/a']) {
      const response = await door.post(EMBEDDINGS, { model, input: ['aaa', 'b', 'cc'], dimensions: 2 });
      const { data, usage } = (await response.json()) as Answer;
      expect(data.map(({ index, embedding }) => [index, embedding[0]])).toEqual([
        [0, 3],
        [1, 1],
        [2, 2],
      ]);
      expect(usage).toEqual({ prompt_tokens: 6, total_tokens: 6 });
    }
    expect(a.seen).toHaveLength(2);
    expect(a.received).toHaveLength(6);
    for (const each of a.received) expect(each).toMatchObject({ method: 'EmbedStream', request: { dimensions: 2 } });
  });

  test('come as base64 of 32-bit floats to who asks for it', async () => {
    const { door, a } = await opened();
    a.answer('Embed', () => ({ embeddings: VECTOR }));
    const ask = async (encoding_format: string): Promise<unknown> => {
      const response = await door.post(EMBEDDINGS, { model: 'a', input: 'x', encoding_format });
      return ((await response.json()) as Answer).data[0]?.embedding;
    };
    expect(await ask('float')).toEqual(VECTOR);
    const bytes = Buffer.from(String(await ask('base64')), 'base64');
    expect(VECTOR.map((_, index) => bytes.readFloatLE(index * 4))).toEqual(VECTOR);
  });

  test.each(['float', undefined] as const)('are floats to the openai SDK, which asks for %s', async (format) => {
    const { door, a } = await opened();
    a.answer('Embed', ({ inputs }) => ({ embeddings: [...VECTOR, String(inputs).length] }));
    const client = new OpenAI({ baseURL: `${door.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const asked = { model: 'a', input: ['a', 'bb'], ...(format && { encoding_format: format }) };
    const { data } = await client.embeddings.create(asked);
    expect(data.map(({ embedding }) => embedding)).toEqual([
      [...VECTOR, 1],
      [...VECTOR, 2],
    ]);
  });

  test('go in parts of what the CR, else the server’s Info, says that it takes', async () => {
    const { door, a } = await opened();
    a.answer('Info', () => ({ max_client_batch_size: 4 }));
    const response = await door.post(EMBEDDINGS, { model: 'a', input: inputs(10) });
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '3']);
    const { data, usage } = (await response.json()) as Answer;
    expect(data.map(({ index, embedding }) => [index, embedding[0]])).toEqual(inputs(10).map((_, n) => [n, n + 1]));
    expect(usage).toEqual({ prompt_tokens: 55, total_tokens: 55 });
    expect(a.received.filter(({ method }) => method === 'Info')).toHaveLength(1);
    await door.put(tei('a', a.origin, { model: 'BAAI/bge', maxBatch: 5 }));
    expect((await door.post(EMBEDDINGS, { model: 'a', input: inputs(10) })).headers.get('x-sluice-attempts')).toBe('2');
  });

  test('are spread over the endpoints, and tried at another where one fails', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(...teiOf('e', [a.port, b.port], { maxBatch: 1 }));
    const response = await door.post(EMBEDDINGS, { model: 'e', input: inputs(6) });
    expect(response.status).toBe(200);
    expect([a.received.length, b.received.length]).toEqual([3, 3]);
    const headers = { 'x-fake-status': '14', 'x-fake-only': 'a' };
    const ask = () => door.post(EMBEDDINGS, { model: 'e', input: 'x' }, { headers });
    // Whose turn it is first is left to chance; of two calls in a row one meets the server that fails.
    const answers = [await ask(), await ask()];
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers.map(({ headers: of }) => of.get('x-sluice-attempts'))).toContain('2');
  });

  test('pass the client’s headers as metadata, but no key, and nothing that is gRPC’s own', async () => {
    const { door, a } = await opened();
    await door.put(tei('a', a.origin, {}, { headers: [{ name: 'authorization', value: 'Bearer upstream' }] }));
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = {
      ...{ authorization: 'Bearer client', 'X-Team': 'search', 'x-request-id': 'r-1', traceparent },
      ...{ 'grpc-timeout': '1n', 'grpc-encoding': 'gzip', 'x-bytes-bin': '!', accept: 'application/json' },
    };
    expect((await door.post(EMBEDDINGS, { model: 'a', input: 'x' }, { headers })).status).toBe(200);
    const metadata = a.seen[0]?.getMap() ?? {};
    expect(metadata).toMatchObject({ authorization: 'Bearer upstream', 'x-team': 'search', 'x-request-id': 'r-1' });
    expect(metadata).toMatchObject({ traceparent, 'x-sluice-hops': '1' });
    for (const name of ['grpc-timeout', 'grpc-encoding', 'x-bytes-bin', 'accept', 'accept-encoding']) {
      expect(metadata).not.toHaveProperty(name);
    }
  });

  test.each([
    [{}, 'input', '`input` must be a string or a list of strings that is not empty'],
    [{ input: [] }, 'input', '`input` must be a string or a list of strings that is not empty'],
    [{ input: ['a', null] }, 'input', '`input` must be a string or a list of strings that is not empty'],
    [{ input: [1, 2] }, 'input', '`input` must be text: an instance that speaks gRPC takes no token ids'],
    [{ input: [[1], [2]] }, 'input', '`input` must be text: an instance that speaks gRPC takes no token ids'],
    [{ input: 'x', encoding_format: 'hex' }, 'encoding_format', "`encoding_format` must be 'float' or 'base64'"],
    [{ input: 'x', dimensions: 0 }, 'dimensions', '`dimensions` must be a whole number above 0'],
    [{ input: 'x', dimensions: '8' }, 'dimensions', '`dimensions` must be a whole number above 0'],
  ])('with %j are refused, and the server is not asked', async (body, param, message) => {
    const { door, a } = await opened();
    const error = await errorOf(await door.post(EMBEDDINGS, { model: 'a', ...body }));
    expect(error).toEqual({
      ...{ status: 400, retryAfter: null, type: 'invalid_request_error', code: 'bad_request' },
      ...{ param, message },
    });
    expect(a.accepted()).toBe(0);
    expect(await seriesOf(door, 'sluice_requests_total', { pool: 'ml/a', code: '400' })).toBe(1);
  });

  test('are posted as JSON: all else is refused', async () => {
    const { door, a } = await opened();
    expect(await errorOf(await door.get(`${EMBEDDINGS}?model=a`))).toMatchObject({
      ...{ status: 405, code: 'method_not_allowed' },
    });
    const form = new FormData();
    form.set('model', 'a');
    form.set('input', 'x');
    const multipart = await fetch(door.url + EMBEDDINGS, { method: 'POST', body: form });
    expect(await errorOf(multipart)).toMatchObject({ status: 415, code: 'unsupported_media_type' });
    expect(a.accepted()).toBe(0);
  });
});
