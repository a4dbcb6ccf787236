import OpenAI from 'openai';
import { fetch } from 'undici';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { type Behaviour, type FakeLlm, startFakeLlm } from './fake-llm.ts';
import { sha256 } from './fake-llm-answers.ts';
import { startLoad } from './open-loop.ts';

let llm: FakeLlm;
let client: OpenAI;
beforeAll(async () => {
  llm = await startFakeLlm({ name: 'alpha', models: ['m1', 'm2'] });
  client = new OpenAI({ baseURL: `${llm.url}/v1`, apiKey: 'k', maxRetries: 0 });
});
beforeEach(() => llm.behave());
afterAll(() => llm.stop());

const messages: [{ role: 'user'; content: string }] = [{ role: 'user', content: 'hi' }];
const post = (behaviour: Behaviour, body: object = { model: 'm' }, signal?: AbortSignal) =>
  fetch(`${llm.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-fake': JSON.stringify(behaviour) },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });

test('it answers chat, says who it is, and keeps what it received', async () => {
  const answer = await client.chat.completions.create({ model: 'm', messages });
  expect(answer.choices[0]?.message.content).toBe('alpha');
  expect(answer.model).toBe('m');
  const call = llm.calls.at(-1);
  expect(call).toMatchObject({ method: 'POST', path: '/v1/chat/completions', done: true });
  expect(JSON.parse(String(call?.body))).toMatchObject({ model: 'm', messages });
  expect(call?.headers['authorization']).toBe('Bearer k');
});

test('it streams chat with usage', async () => {
  const stream = await client.chat.completions.create({
    model: 'm',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let tokens = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    tokens += chunk.usage?.completion_tokens ?? 0;
  }
  expect(text).toBe('alpha 0 alpha 1 alpha 2 ');
  expect(tokens).toBe(5);
});

test('it embeds the same input to the same vector, in both encodings', async () => {
  const [binary, plain] = await Promise.all([
    client.embeddings.create({ model: 'e', input: ['a', 'b'] }),
    client.embeddings.create({ model: 'e', input: ['a', 'b'], encoding_format: 'float' }),
  ]);
  expect(binary.data).toEqual(plain.data);
  expect(binary.data[0]).not.toEqual(binary.data[1]);
});

test('it lists models and takes uploads', async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(['m1', 'm2']);
  const file = new File([Buffer.alloc(100_000, 7)], 'a.wav');
  const answer = await client.audio.transcriptions.create({ model: 'm', file });
  const body = llm.calls.at(-1)?.body ?? Buffer.alloc(0);
  expect(answer).toMatchObject({ text: 'alpha', bytes: body.length, sha256: sha256(body) });
  expect(body.length).toBeGreaterThan(100_000);
});

test('a header steers one call, a setting all, a list the next ones', async () => {
  expect((await post({ status: 429, retryAfter: '7' })).headers.get('retry-after')).toBe('7');
  llm.behave({ status: 503 });
  llm.behaveNext({ status: 500 }, {});
  const status = async () => (await fetch(`${llm.url}/v1/models`)).status;
  expect([await status(), await status(), await status()]).toEqual([500, 200, 503]);
});

test.each<[string, Behaviour]>([
  ['garbage', { garbage: true }],
  ['a close before the headers', { closeBeforeHeaders: true }],
])('%s is no answer', async (_, behaviour) => {
  await expect(post(behaviour)).rejects.toThrow('fetch failed');
});

test.each<[string, Behaviour, boolean]>([
  ['bytes', { cutAfterBytes: 20 }, false],
  ['events', { cutAfterChunks: 2 }, true],
])('a cut after some %s breaks the body and is not the client leaving', async (_, behaviour, stream) => {
  const answer = await post(behaviour, { model: 'm', stream });
  expect(answer.status).toBe(200);
  await expect(answer.text()).rejects.toThrow('terminated');
  expect(llm.calls.at(-1)).toMatchObject({ done: false, cancelledAtMs: undefined });
});

test('a client that leaves a stalled stream is seen', async () => {
  const leave = new AbortController();
  const answer = await post({ stallAfterChunks: 2 }, { model: 'm', stream: true }, leave.signal);
  await answer.body?.getReader().read();
  expect(llm.open()).toBe(1);
  leave.abort();
  await eventually('cancelled', () => llm.calls.at(-1)?.cancelledAtMs !== undefined);
  await eventually('no call open', () => llm.open() === 0);
});

test('delays hold the head and the first byte', async () => {
  const begin = performance.now();
  const answer = await post({ delayMs: 60, firstByteDelayMs: 60 });
  const headMs = performance.now() - begin;
  await answer.text();
  expect(headMs).toBeGreaterThan(50);
  expect(performance.now() - begin).toBeGreaterThan(110);
});

test('the open loop counts each call and each failure by its kind', async () => {
  llm.behaveNext({ status: 503 }, { closeBeforeHeaders: true }, { body: '{}' });
  const { made, failed, failures, latencyMs } = await startLoad({ urls: [llm.url], perSecond: 200, durationMs: 500 })
    .done;
  expect({ made, failed }).toEqual({ made: 100, failed: 3 });
  expect(failures).toEqual({ 'status 503': 1, UND_ERR_SOCKET: 1, 'no choice': 1 });
  expect(latencyMs.p50).toBeGreaterThan(0);
});

test('the open loop measures from when a call was due', async () => {
  llm.behave({ delayMs: 100 });
  const load = startLoad({ urls: [llm.url, llm.url], perSecond: 100 });
  await eventually('20 calls', () => load.made() >= 20);
  const { latencyMs, made, failed } = await load.stop();
  expect(latencyMs.p50).toBeGreaterThan(99);
  expect(failed).toBe(0);
  expect(made).toBe(load.made());
});
