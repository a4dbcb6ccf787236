import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backend, fakes, openDoor, pool } from '../proxy/http/door.ts';
import { eventually } from '../support/eventually.ts';
import { vectorOf } from '../support/fake-llm-answers.ts';
import { startPython } from './python.ts';
import type { Sdk } from './sdk.ts';
import { bodyOf, served, sha256Of } from './served.ts';

type LangChainCall =
  | 'chat'
  | 'stream'
  | 'stream_async'
  | 'batch'
  | 'tools'
  | 'tools_streamed'
  | 'structured'
  | 'vision'
  | 'response'
  | 'embeddings';

describe('LangChain’s client', () => {
  let langchain: Sdk<LangChainCall>;
  beforeAll(() => {
    langchain = startPython('langchain_calls.py');
  });
  afterAll(() => langchain.stop());

  test('[P-25] pointed at /v1, chats through two backends of one base URL, each with its own key', async () => {
    const [gpu] = await fakes('gpu');
    const door = await openDoor();
    const keyed = (name: string) => ({
      ...backend(gpu, { headers: [{ name: 'authorization', value: `Bearer key-${name}` }] }),
      name,
    });
    await door.put(pool('chat', [keyed('a'), keyed('b')]));
    for (let n = 0; n < 4; n += 1) {
      const { error, value, sent } = await langchain.call('chat', { url: `${door.url}/v1`, apiKey: 'any' });
      expect(error).toBeUndefined();
      expect(value).toEqual({ text: 'gpu', model: 'chat', tokens: [3, 5, 8] });
      expect(sent).toEqual([sha256Of(bodyOf(gpu))]);
    }
    const keys = gpu.calls.map(({ headers }) => headers.authorization);
    expect(keys.sort()).toEqual(['Bearer key-a', 'Bearer key-a', 'Bearer key-b', 'Bearer key-b']);
  });

  test('[P-25] streams, with the usage at the end', async () => {
    const { url } = await served();
    const { error, value, parts } = await langchain.call('stream', { url });
    expect(error).toBeUndefined();
    expect(parts.filter((text) => text !== '')).toEqual(['gpu 0 ', 'gpu 1 ', 'gpu 2 ']);
    expect(value).toMatchObject({ text: 'gpu 0 gpu 1 gpu 2 ', tokens: [3, 5, 8] });
  });

  test('streams asynchronously', async () => {
    const { url } = await served();
    const { error, parts } = await langchain.call('stream_async', { url });
    expect(error).toBeUndefined();
    expect(parts.join('')).toBe('gpu 0 gpu 1 gpu 2 ');
  });

  test('sends a batch at once, which waits for slots and is answered whole', async () => {
    const { gpu, url } = await served({ ofPool: { maxConcurrent: 2 } });
    gpu.behave({ delayMs: 20 });
    const { error, value } = await langchain.call('batch', { url });
    expect(error).toBeUndefined();
    expect(value).toEqual(Array(8).fill('gpu'));
  });

  test('[P-25] calls a tool and sends what it said, whole and streamed', async () => {
    const { gpu, url } = await served();
    const call = { name: 'weather', args: { city: 'Łódź' } };
    const { error, value, sent } = await langchain.call('tools', { url });
    expect(error).toBeUndefined();
    expect(value).toEqual({ call, answer: 'gpu' });
    expect(sent).toEqual([sha256Of(bodyOf(gpu, 0)), sha256Of(bodyOf(gpu, 1))]);
    expect(JSON.parse(bodyOf(gpu)).messages.at(-1)).toMatchObject({ role: 'tool', content: '11 °C in Łódź' });
    expect(await langchain.call('tools_streamed', { url })).toMatchObject({ value: [call] });
  });

  test('has an answer made to a schema', async () => {
    const { url } = await served();
    expect(await langchain.call('structured', { url })).toMatchObject({ value: { city: 'Łódź' } });
  });

  test('shows an image: its parts reach the server byte for byte', async () => {
    const { gpu, url } = await served();
    const base64 = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 256)).toString('base64');
    const { error, sent } = await langchain.call('vision', { url, base64 });
    expect(error).toBeUndefined();
    expect(sent).toEqual([sha256Of(bodyOf(gpu))]);
    const parts = JSON.parse(bodyOf(gpu)).messages[0].content;
    expect(parts[1]).toEqual({ type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } });
  });

  test('uses the Responses API', async () => {
    const { gpu, url } = await served();
    expect(await langchain.call('response', { url })).toMatchObject({ value: { text: 'gpu', tokens: [3, 5, 8] } });
    expect(gpu.calls[0]?.path).toBe('/v1/responses');
  });

  test('[P-25] embeds documents and a query', async () => {
    const { url } = await served();
    const { error, value } = await langchain.call('embeddings', { url });
    expect(error).toBeUndefined();
    expect(value).toEqual({ documents: ['a', 'ü'].map(vectorOf), query: vectorOf('a') });
  });

  test('[P-25] raises the SDK’s classes for what goes wrong', async () => {
    const { gpu, door, url } = await served({ ofPool: { retry: { attempts: 1 } } });
    const raised = async (asking: object = {}) => (await langchain.call('chat', { url, ...asking })).error;
    expect(await raised({ model: 'nope' })).toMatchObject({ class: 'NotFoundError', code: 'model_not_found' });
    gpu.behave({ status: 400 });
    expect(await raised()).toMatchObject({ class: 'BadRequestError', message: 'gpu fails with 400' });
    gpu.behave({ status: 500 });
    expect(await raised()).toMatchObject({ class: 'InternalServerError', message: 'gpu fails with 500' });
    gpu.behave({ delayMs: 10_000 });
    expect(await raised({ timeoutMs: 200 })).toMatchObject({ class: 'APITimeoutError' });
    await eventually('the server is rid of the call', () => gpu.open() === 0);
    gpu.behave();
    await door.put(pool('chat', [backend(gpu)], { limits: { pool: { requestsPerMinute: 0 } } }));
    expect(await raised()).toMatchObject({ class: 'RateLimitError', code: 'rate_limit_exceeded' });
  });

  test('raises APIError in the middle of a stream that is cut: never a clean end', async () => {
    const { gpu, url } = await served();
    gpu.behave({ chunks: 50, cutAfterChunks: 4, intervalMs: 5 });
    for (const call of ['stream', 'stream_async'] as const) {
      const { error, parts } = await langchain.call(call, { url });
      expect(error).toMatchObject({ isApiError: true, code: 'upstream_disconnected' });
      expect(parts.length).toBeGreaterThan(0);
    }
  });

  test('tries again after the Retry-After of a server that was rate limited', async () => {
    const { gpu, url } = await served();
    gpu.behaveNext({ status: 429, retryAfter: '1' });
    const { error, sent, tookMs } = await langchain.call('chat', { url, maxRetries: 2 });
    expect(error).toBeUndefined();
    expect(tookMs).toBeGreaterThanOrEqual(1_000);
    expect(sent).toHaveLength(2);
    expect(gpu.calls).toHaveLength(2);
  });
});
