import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import type { Call, FakeLlm } from '../../support/fake-llm.ts';
import { errorOf, fakes, httpPost, instance, openDoor, rawClient } from './door.ts';
import { seriesOf } from './door-series.ts';

const EMBEDDINGS = '/v1/embeddings';
const inputs = (count: number): string[] => Array.from({ length: count }, (_, n) => `input ${n}`);
const asked = (count: number): object => ({
  model: 'bge',
  input: inputs(count),
  encoding_format: 'float',
  user: 'ann',
});

interface Answer {
  readonly data: readonly { readonly index: number; readonly embedding: readonly number[] }[];
  readonly usage: Readonly<Record<string, number>>;
}

/** How many inputs each call had. */
function sizesOf({ calls }: { readonly calls: readonly Call[] }): number[] {
  return calls
    .filter(({ method }) => method === 'POST')
    .map(({ body }) => (JSON.parse(body.toString()) as { input: string[] }).input.length);
}

async function embeddingOf(server: FakeLlm, input: string): Promise<readonly number[]> {
  const response = await fetch(`${server.url}${EMBEDDINGS}`, { method: 'POST', body: JSON.stringify({ input }) });
  return ((await response.json()) as Answer).data[0]?.embedding ?? [];
}

describe('an embeddings call with more inputs than the server takes at once', () => {
  test('goes in parts and comes back as one answer: in order, counted through, usage summed', async () => {
    const [tei] = await fakes('tei');
    tei.behaveNext({ delayMs: 150 }, {}, { delayMs: 50 });
    const door = await openDoor();
    await door.put(instance('bge', tei, { maxBatch: 32 }));
    const response = await door.post(EMBEDDINGS, asked(100));
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '4']);
    const text = await response.text();
    expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(text)));
    expect(sizesOf(tei).sort((x, y) => x - y)).toEqual([4, 32, 32, 32]);
    for (const { body } of tei.calls) {
      expect(JSON.parse(body.toString())).toMatchObject({ model: 'bge', encoding_format: 'float', user: 'ann' });
    }
    const { data, usage } = JSON.parse(text) as Answer;
    expect(data.map(({ index }) => index)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(usage).toEqual({ prompt_tokens: 12, total_tokens: 12 });
    for (const n of [0, 31, 32, 63, 64, 99]) expect(data[n]?.embedding).toEqual(await embeddingOf(tei, `input ${n}`));
    expect(await seriesOf(door, 'sluice_tokens_total', { pool: 'ml/bge', type: 'input' })).toBe(12);
    expect(await seriesOf(door, 'sluice_requests_total', { pool: 'ml/bge', code: '200' })).toBe(1);
    expect(await seriesOf(door, 'sluice_attempts_total', { pool: 'ml/bge' }), 'all of one outcome').toBe(4);
    expect(await seriesOf(door, 'sluice_attempts_total', { pool: 'ml/bge', outcome: 'success' })).toBe(4);
  });

  test.each([
    [1, [1]],
    [32, [32]],
    [33, [1, 32]],
  ])('of %i inputs is so many calls: %j', async (count, sizes) => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei, { maxBatch: 32 }));
    expect((await door.post(EMBEDDINGS, asked(count))).status).toBe(200);
    expect(sizesOf(tei).sort((x, y) => x - y)).toEqual(sizes);
  });

  test('tries again only the part that failed, elsewhere', async () => {
    const [one, two] = await fakes('one', 'two');
    one.behaveNext({ status: 500 });
    const door = await openDoor();
    const of = { kind: 'EmbeddingInstance', namespace: 'ml', name: 'bge' };
    const entry = (port: number): object => ({ backend: 'pods', address: '127.0.0.1', port, ready: true });
    await door.put(instance('bge', { name: 'pods', scheme: 'http', path: '' }, { maxBatch: 32 }), {
      ...{ format: 1, kind: 'Endpoints', of, piece: 0 },
      endpoints: [entry(one.port), entry(two.port)],
    });
    const response = await door.post(EMBEDDINGS, asked(100));
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '5']);
    const { data } = (await response.json()) as Answer;
    expect(data.map(({ index }) => index)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    const firsts = [...one.calls, ...two.calls].map(
      ({ body }) => (JSON.parse(body.toString()) as { input: string[] }).input[0] as string,
    );
    const twice = firsts.filter((first, at) => firsts.indexOf(first) !== at);
    expect(firsts).toHaveLength(5);
    expect(twice).toHaveLength(1);
    expect(two.calls.length).toBeGreaterThanOrEqual(2);
  });

  test('of which the server calls a part wrong is answered with that, and the other parts are let go', async () => {
    const [tei] = await fakes('tei');
    tei.behave({ delayMs: 20_000 });
    tei.behaveNext({ status: 422 });
    const door = await openDoor();
    await door.put(instance('bge', tei, { maxBatch: 10 }));
    const response = await door.post(EMBEDDINGS, asked(100));
    expect(response.status).toBe(422);
    expect(((await response.json()) as { error: { code: string } }).error.code).toBe('fake_422');
    await expect.poll(() => tei.open()).toBe(0);
    expect(tei.calls.length).toBeLessThanOrEqual(8);
    expect(await seriesOf(door, 'sluice_in_flight_requests', { pool: 'ml/bge' })).toBe(0);
  });

  test('whose client leaves is cancelled in all its parts, and no other part is begun', async () => {
    const [tei] = await fakes('tei');
    tei.behave({ delayMs: 20_000 });
    const door = await openDoor();
    await door.put(instance('bge', tei, { maxBatch: 10 }));
    const client = await rawClient(door.port);
    client.send(httpPost(EMBEDDINGS, asked(100)));
    await eventually('eight parts are under way', () => tei.open() === 8);
    const leftAt = performance.now();
    client.socket.destroy();
    await expect.poll(() => tei.open(), { interval: 5 }).toBe(0);
    for (const { cancelledAtMs } of tei.calls) expect((cancelledAtMs ?? 0) - leftAt).toBeLessThan(200);
    expect(tei.calls).toHaveLength(8);
    await expect.poll(() => seriesOf(door, 'sluice_requests_total', { pool: 'ml/bge', code: '499' })).toBe(1);
    expect(await seriesOf(door, 'sluice_in_flight_requests', { pool: 'ml/bge' })).toBe(0);
  });

  test('keeps within the slots of the instance', async () => {
    const [tei] = await fakes('tei');
    tei.behave({ delayMs: 20 });
    const door = await openDoor();
    await door.put(instance('bge', tei, { maxBatch: 5, maxConcurrent: 2 }));
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, tei.open());
    }, 1);
    expect((await door.post(EMBEDDINGS, asked(50))).status).toBe(200);
    clearInterval(watch);
    expect(tei.calls).toHaveLength(10);
    expect(most).toBe(2);
  });

  test('that ends in nonsense in one part is 502, in our words', async () => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei, { maxBatch: 50, retry: { attempts: 1 } }));
    tei.behaveNext({ body: '{"data":"none"}' });
    expect(await errorOf(await door.post(EMBEDDINGS, asked(100)))).toMatchObject({
      status: 502,
      code: 'upstream_error',
    });
  });
});

describe('the size of a part', () => {
  test('is what the server says in /info, asked once', async () => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei));
    tei.behaveNext({ body: '{"model_id":"bge","max_client_batch_size":50}' });
    for (let n = 0; n < 3; n += 1) expect((await door.post(EMBEDDINGS, asked(100))).status).toBe(200);
    expect(tei.calls.filter(({ path }) => path === '/info')).toHaveLength(1);
    expect(sizesOf(tei)).toEqual([50, 50, 50, 50, 50, 50]);
  });

  test.each([
    ['is 404', { status: 404 }],
    ['says nothing of it', {}],
  ])('is 32 where /info %s', async (_, behaviour) => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei));
    tei.behaveNext(behaviour);
    expect((await door.post(EMBEDDINGS, asked(40))).status).toBe(200);
    expect(sizesOf(tei).sort((x, y) => x - y)).toEqual([8, 32]);
  });

  test('matters to nobody with a single input, and to no list of token ids: the server is not asked', async () => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei));
    const ids = Array.from({ length: 100 }, (_, n) => n);
    for (const input of ['one', ['one'], ids]) {
      expect((await door.post(EMBEDDINGS, { model: 'bge', input })).status).toBe(200);
    }
    expect(tei.calls.map(({ path }) => path)).toEqual(Array(3).fill(EMBEDDINGS));
  });
});
