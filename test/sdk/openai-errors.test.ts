import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backend, fakes, openDoor, pool, rawServer } from '../proxy/http/door.ts';
import { eventually } from '../support/eventually.ts';
import type { Sdk } from './sdk.ts';
import { OPENAI_SDKS, served, sha256Of } from './served.ts';

/** The Secret of a pool's clients, and what refers to it. */
function clientsOf(
  name: string,
  keys: Record<string, string>,
): { credentials: Record<string, unknown>; fields: object } {
  const entries = Object.entries(keys).map(([client, key]) => [client, sha256Of(key)]);
  const of = { kind: 'LLMPool', namespace: 'ml', name };
  return {
    credentials: { format: 1, kind: 'Credentials', of, id: name, values: {}, clients: Object.fromEntries(entries) },
    fields: { access: { secret: 'clients' }, credentials: { id: name } },
  };
}

describe.each(OPENAI_SDKS)('the openai SDK for $language', ({ start, ...classes }) => {
  let sdk: Sdk;
  beforeAll(() => {
    sdk = start();
  });
  afterAll(() => sdk.stop());

  test('raises NotFoundError for a model that nobody serves', async () => {
    const { url } = await served();
    const { error } = await sdk.call('chat', { url, model: 'gpt-nope' });
    expect(error).toMatchObject({ class: 'NotFoundError', status: 404, code: 'model_not_found', param: 'model' });
    expect(error?.message).toContain('gpt-nope');
    expect(error?.requestId).toMatch(/\S{8,}/);
  });

  test('raises AuthenticationError for a wrong key, PermissionDeniedError for the key of another pool', async () => {
    const [gpu] = await fakes('gpu');
    const door = await openDoor();
    const [ours, theirs] = [clientsOf('chat', { ann: 'key-of-ann' }), clientsOf('other', { bob: 'key-of-bob' })];
    await door.put(ours.credentials, pool('chat', [backend(gpu)], ours.fields));
    await door.put(theirs.credentials, pool('other', [backend(gpu)], theirs.fields));
    const ask = async (apiKey: string) => (await sdk.call('chat', { url: `${door.url}/v1`, apiKey })).error;
    expect(await ask('key-of-ann')).toBeUndefined();
    const wrong = await ask('key-of-eve');
    expect(wrong).toMatchObject({ class: 'AuthenticationError', status: 401, code: 'invalid_api_key' });
    expect(await ask('key-of-bob')).toMatchObject({
      ...{ class: 'PermissionDeniedError', status: 403, code: 'model_not_allowed' },
    });
    expect(JSON.stringify(wrong)).not.toContain('key-of-eve');
    expect(gpu.calls).toHaveLength(1);
    const listed = await sdk.call('models', { url: `${door.url}/v1`, apiKey: 'key-of-bob' });
    expect(listed).toMatchObject({ value: expect.not.arrayContaining(['chat']) });
  });

  test('raises RateLimitError beyond a limit, with the seconds to wait', async () => {
    const { url } = await served({ ofPool: { limits: { perClient: { requestsPerMinute: 1 } } } });
    expect(await sdk.call('chat', { url })).not.toHaveProperty('error');
    const { error } = await sdk.call('chat', { url });
    expect(error).toMatchObject({ class: 'RateLimitError', status: 429, code: 'rate_limit_exceeded' });
    expect(Number(error?.retryAfter)).toBeGreaterThan(50);
    expect(Number(error?.retryAfter)).toBeLessThanOrEqual(60);
  });

  test('raises the class of the server’s own 4xx, with its words', async () => {
    const { gpu, url } = await served();
    for (const [status, name] of [
      [400, 'BadRequestError'],
      [409, 'ConflictError'],
      [422, 'UnprocessableEntityError'],
    ] as const) {
      gpu.behave({ status });
      expect((await sdk.call('chat', { url })).error).toMatchObject({
        ...{ class: name, status, message: `gpu fails with ${status}`, type: 'fake', code: `fake_${status}` },
      });
    }
    expect(gpu.calls).toHaveLength(3);
  });

  test('raises BadRequestError for a body without a model', async () => {
    const { gpu, url } = await served();
    const { error } = await sdk.call('chat', { url, model: '' });
    expect(error).toMatchObject({ class: 'BadRequestError', status: 400, code: 'missing_model' });
    expect(gpu.calls).toHaveLength(0);
  });

  test('is told that a body is too large, however large it is', async () => {
    const [gpu] = await fakes('gpu');
    const door = await openDoor({ maxBodyBytes: 1_000 });
    await door.put(pool('chat', [backend(gpu)]));
    for (const bytes of [2_000, 5_000_000]) {
      const base64 = Buffer.alloc(bytes).toString('base64');
      const { error } = await sdk.call('vision', { url: `${door.url}/v1`, base64 });
      expect(error).toMatchObject({ class: classes.statusClass, status: 413, code: 'request_too_large' });
    }
    expect(gpu.calls).toHaveLength(0);
  });

  test('raises InternalServerError for a server’s 5xx, for one that is gone, and for one that refuses our key', async () => {
    const { gpu, url } = await served({ ofPool: { retry: { attempts: 2, backoffMs: 1 } } });
    gpu.behave({ status: 500 });
    const broken = { class: 'InternalServerError', status: 500, message: 'gpu fails with 500' };
    expect((await sdk.call('chat', { url })).error).toMatchObject(broken);
    expect(gpu.calls).toHaveLength(2);
    const unusable = { class: 'InternalServerError', status: 502, code: 'upstream_error' };
    gpu.behave({ status: 401 });
    expect((await sdk.call('chat', { url })).error).toMatchObject(unusable);
    await gpu.stop();
    expect((await sdk.call('chat', { url })).error).toMatchObject(unusable);
  });

  test('raises InternalServerError when no endpoint is left, and when the pool’s own time is over', async () => {
    const { gpu, door, url } = await served({ ofPool: { timeouts: { requestMs: 150 } } });
    gpu.behave({ delayMs: 10_000 });
    const late = { class: 'InternalServerError', status: 504, code: 'timeout' };
    expect((await sdk.call('chat', { url })).error).toMatchObject(late);
    await door.put(pool('chat', []));
    expect((await sdk.call('chat', { url })).error).toMatchObject({
      ...{ class: 'InternalServerError', status: 503, code: 'no_healthy_endpoints' },
      message: expect.stringContaining('No healthy providers available'),
    });
  });

  test('raises APIError in the middle of a stream that is cut: never a clean end', async () => {
    const { gpu, url } = await served();
    gpu.behave({ chunks: 50, cutAfterChunks: 4, intervalMs: 5 });
    for (const call of ['stream', 'response_streamed'] as const) {
      const { error, parts } = await sdk.call(call, { url });
      expect(error).toMatchObject({ class: 'APIError', isApiError: true, code: 'upstream_disconnected' });
      expect(parts.length).toBeGreaterThan(0);
    }
  });

  test('raises APIError in a stream whose server falls silent', async () => {
    const { gpu, url } = await served({ ofPool: { timeouts: { idleMs: 150 } } });
    gpu.behave({ stallAfterChunks: 3 });
    const { error, parts } = await sdk.call('stream', { url });
    expect(error).toMatchObject({ class: 'APIError', isApiError: true });
    expect(parts).toHaveLength(3);
    await eventually('the server is rid of the call', () => gpu.open() === 0);
  });

  test('gets the server’s own error in the middle of a stream as the server said it', async () => {
    const { gpu, url } = await served();
    const said = { error: { message: 'CUDA out of memory', type: 'server_error', param: null, code: 'oom' } };
    const chunk = { id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'Hi' } }] };
    const body = [chunk, said].map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
    gpu.behave({ body, contentType: 'text/event-stream' });
    const { error, parts } = await sdk.call('stream', { url });
    expect(error).toMatchObject({ class: 'APIError', code: 'oom', message: 'CUDA out of memory' });
    expect(parts).toHaveLength(1);
  });

  test('never takes a sound that was cut for a whole one', async () => {
    const cut = await rawServer('gpu', (socket) => {
      socket.once('data', () => {
        socket.write(
          `HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 90000\r\n\r\n${'x'.repeat(5_000)}`,
        );
        setTimeout(() => socket.destroy(), 20);
      });
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(cut)]));
    const { error, value } = await sdk.call('speech', { url: `${door.url}/v1` });
    expect(value).toBeUndefined();
    expect(error?.class).toBe(classes.cutBodyClass);
  });

  test('raises its own timeout, and the server is rid of the call', async () => {
    const { gpu, url } = await served();
    gpu.behave({ delayMs: 10_000 });
    const { error } = await sdk.call('chat', { url, timeoutMs: 200 });
    expect(error).toMatchObject({ class: classes.timeoutClass, isApiError: true });
    await eventually('the server is rid of the call', () => gpu.calls[0]?.cancelledAtMs);
    expect(gpu.calls).toHaveLength(1);
  });

  test('tries again after the Retry-After of a server that was rate limited', async () => {
    const { gpu, url } = await served();
    gpu.behaveNext({ status: 429, retryAfter: '1' });
    const { error, value, sent, tookMs } = await sdk.call('chat', { url, maxRetries: 2 });
    expect(error).toBeUndefined();
    expect(value).toMatchObject({ choices: [{ message: { content: 'gpu' } }] });
    expect(tookMs).toBeGreaterThanOrEqual(1_000);
    expect(sent).toHaveLength(2);
    expect(gpu.calls).toHaveLength(2);
  });

  test('tries again after the Retry-After of a pool’s limit', async () => {
    const { gpu, door, url } = await served({ ofPool: { limits: { pool: { requestsPerMinute: 30 } } } });
    const messages = [{ role: 'user', content: 'Hi' }];
    const all = Array.from({ length: 30 }, () => door.post('/v1/chat/completions', { model: 'chat', messages }));
    for (const answer of all) expect((await answer).status).toBe(200);
    const { error, sent, tookMs } = await sdk.call('chat', { url, maxRetries: 2 });
    expect(error).toBeUndefined();
    expect(tookMs).toBeGreaterThanOrEqual(1_000);
    expect(sent).toHaveLength(2);
    expect(gpu.calls).toHaveLength(31);
  });
});
