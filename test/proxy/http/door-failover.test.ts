import { describe, expect, test } from 'vitest';
import { freePort } from '../../support/ports.ts';
import { backend, chat, errorOf, fakes, openDoor, pool, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';

/** First a, then b, then c: so that what a does is always what comes first. */
const inOrder = { strategy: 'Failover' };

async function servedBy(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  const { system_fingerprint } = (await response.json()) as { system_fingerprint: string };
  return `${system_fingerprint} after ${response.headers.get('x-sluice-attempts')}`;
}

describe('an endpoint that fails before its first byte', () => {
  test.each([500, 502, 503, 504, 529, 429, 408, 401, 403])(
    'with %i hands the request to another endpoint, and the client sees nothing of it',
    async (status) => {
      const [a, b] = await fakes('a', 'b');
      a.behave({ status });
      const door = await openDoor();
      await door.put(pool('chat', [backend(a), backend(b)], inOrder));
      expect(await servedBy(await door.post(CHAT, chat()))).toBe('b after 2');
      expect(a.calls[0]?.body).toEqual(b.calls[0]?.body);
    },
  );

  test.each([
    ['that refuses connections', async () => ({ name: 'a', url: `http://127.0.0.1:${await freePort()}` })],
    ['that closes without an answer', () => rawServer('a', (socket) => socket.once('data', () => socket.end()))],
    ['that resets', () => rawServer('a', (socket) => socket.once('data', () => socket.resetAndDestroy()))],
    ['that resets at once', () => rawServer('a', (socket) => socket.resetAndDestroy())],
    ['that speaks no HTTP', () => rawServer('a', (socket) => socket.end('220 smtp ready\r\n'))],
    [
      'whose head is cut',
      () => rawServer('a', (socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nx: '))),
    ],
    [
      'whose answer is cut before its first byte',
      () =>
        rawServer('a', (socket) =>
          socket.once('data', () =>
            socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-type: text/plain\r\n\r\n'),
          ),
        ),
    ],
    [
      'whose head never ends',
      () =>
        rawServer('a', (socket) =>
          socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(200_000)}`)),
        ),
    ],
    [
      'with a status that is none',
      () =>
        rawServer('a', (socket) =>
          socket.once('data', () => socket.end('HTTP/1.1 099 X\r\ncontent-length: 2\r\n\r\n{}')),
        ),
    ],
    [
      'with the status 000',
      () =>
        rawServer('a', (socket) =>
          socket.once('data', () => socket.end('HTTP/1.1 000 X\r\ncontent-length: 2\r\n\r\n{}')),
        ),
    ],
    [
      'that switches protocols',
      () =>
        rawServer('a', (socket) =>
          socket.once('data', () => socket.end('HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n')),
        ),
    ],
    ['whose name does not resolve', async () => ({ name: 'a', url: 'http://no-such-host.invalid' })],
    [
      'that speaks no TLS',
      async () => {
        const { name, url } = await rawServer('a', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
        return { name, url: url.replace('http:', 'https:') };
      },
    ],
  ])('%s hands it to another too', async (_, start) => {
    const a = await start();
    const [b] = await fakes('b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], inOrder));
    expect(await servedBy(await door.post(CHAT, chat()))).toBe('b after 2');
  });

  test('[M-7] a rate limit moves the request to another provider at once, and the caller changes nothing', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ status: 429, retryAfter: '60' });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)]));
    const answers = await Promise.all(Array.from({ length: 10 }, async () => servedBy(await door.post(CHAT, chat()))));
    expect(answers.every((answer) => answer.startsWith('b'))).toBe(true);
    expect(a.calls.length).toBeGreaterThan(0);
  });

  test('[M-6] [V-6] [P-13] the fallback tier serves while every primary is rate limited, and only then', async () => {
    const [a, b, spare] = await fakes('a', 'b', 'spare');
    const door = await openDoor();
    const backends = [backend(a), backend(b), backend(spare, { tier: 1, weight: 7 })];
    await door.put(pool('chat', backends, { ejection: { rateLimitedMs: 1_000 } }));
    for (let n = 0; n < 10; n += 1) await servedBy(await door.post(CHAT, chat()));
    expect(spare.calls).toHaveLength(0);
    a.behave({ status: 429 });
    for (let n = 0; n < 10; n += 1) expect(await servedBy(await door.post(CHAT, chat()))).toMatch(/^b/);
    expect(spare.calls).toHaveLength(0);
    b.behave({ status: 429 });
    for (let n = 0; n < 10; n += 1) expect(await servedBy(await door.post(CHAT, chat()))).toMatch(/^spare after [12]$/);
    b.behave();
    await expect.poll(async () => servedBy(await door.post(CHAT, chat())), { timeout: 5_000 }).toMatch(/^b/);
    const served = spare.calls.length;
    for (let n = 0; n < 10; n += 1) expect(await servedBy(await door.post(CHAT, chat()))).toMatch(/^b/);
    expect(spare.calls).toHaveLength(served);
  });

  test('[P-9] a tier that is full is waited for as long as spillAfter, then the next one serves', async () => {
    const [a, spare] = await fakes('a', 'spare');
    a.behave({ delayMs: 1_000 });
    const door = await openDoor();
    const rules = { queue: { spillAfterMs: 200 } };
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 }), backend(spare, { tier: 1 })], rules));
    const first = door.post(CHAT, chat());
    await expect.poll(() => a.calls.length).toBe(1);
    const startedAt = performance.now();
    expect(await servedBy(await door.post(CHAT, chat()))).toBe('spare after 1');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(199);
    expect(await servedBy(await first)).toBe('a after 1');
  });

  test('a full tier that has room again before spillAfter is not left', async () => {
    const [a, spare] = await fakes('a', 'spare');
    a.behave({ delayMs: 100 });
    const door = await openDoor();
    const rules = { queue: { spillAfterMs: 20_000 } };
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 }), backend(spare, { tier: 1 })], rules));
    const both = await Promise.all([door.post(CHAT, chat()), door.post(CHAT, chat())]);
    expect(await Promise.all(both.map(servedBy))).toEqual(['a after 1', 'a after 1']);
  });

  test('a backend of weight 0 gets nothing, not even what others failed', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ status: 500 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b, { weight: 0 })], { retry: { attempts: 3, backoffMs: 1 } }));
    expect((await door.post(CHAT, chat())).status).toBe(500);
    expect([a.calls.length, b.calls.length]).toEqual([3, 0]);
  });
});

describe('what is not tried again', () => {
  test.each([400, 404, 409, 413, 422])(
    'the client’s own error %i passes through unchanged, body and all',
    async (status) => {
      const [a, b] = await fakes('a', 'b');
      const body = `{"error":{"message":"no, ü","type":"x","code":${status}}}`;
      a.behave({ status, body, headers: { 'x-own': 'kept' } });
      const door = await openDoor();
      await door.put(pool('chat', [backend(a), backend(b)], inOrder));
      const response = await door.post(CHAT, chat());
      expect([response.status, response.headers.get('x-own'), await response.text()]).toEqual([status, 'kept', body]);
      expect(b.calls).toHaveLength(0);
    },
  );

  test('a redirect is no answer of ours to follow', async () => {
    const [a] = await fakes('a');
    a.behave({ status: 307, headers: { location: 'http://127.0.0.1:1/' }, body: '' });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    expect((await door.post(CHAT, chat(), { redirect: 'manual' })).status).toBe(307);
  });
});

describe('when nothing is left to try', () => {
  test.each([
    [429, 'rate_limited'],
    [500, 'server_error'],
    [503, 'server_error'],
    [408, 'server_error'],
  ])('the last %i passes through as it came', async (status, outcome) => {
    const [a, b] = await fakes('a', 'b');
    for (const server of [a, b]) server.behave({ status, headers: { 'x-own': server.name } });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], { ...inOrder, retry: { attempts: 2 } }));
    const response = await door.post(CHAT, chat());
    expect([response.status, response.headers.get('x-own')]).toEqual([status, 'b']);
    expect(await response.json()).toMatchObject({ error: { message: `b fails with ${status}`, type: 'fake' } });
    expect(await door.metrics()).toContain(`sluice_attempts_total{pool="ml/chat",backend="b",outcome="${outcome}"} 1`);
  });

  test.each([429, 503])('a %i without a Retry-After gets one of ours, one that has it keeps it', async (status) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { retry: { attempts: 1 }, ejection: { rateLimitedMs: 1 } }));
    a.behave({ status });
    expect((await door.post(CHAT, chat())).headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    await expect.poll(async () => (await door.pool()).endpoints[0]).toMatchObject({ state: 'ready' });
    a.behave({ status: 500 });
    expect((await door.post(CHAT, chat())).headers.get('retry-after')).toBeNull();
    a.behave({ status, retryAfter: '77' });
    expect((await door.post(CHAT, chat())).headers.get('retry-after')).toBe('77');
  });

  test('an upstream’s own 5xx passes through also where the very last attempt got no answer at all', async () => {
    const [a] = await fakes('a');
    a.behave({ status: 500 });
    const b = { name: 'b', url: `http://127.0.0.1:${await freePort()}` };
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], { ...inOrder, retry: { attempts: 2 } }));
    const response = await door.post(CHAT, chat());
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([500, '2']);
    expect(response.headers.get('x-sluice-backend'), 'whose answer it is').toBe('a');
    expect(await response.json()).toMatchObject({ error: { message: 'a fails with 500' } });
  });

  test.each([401, 403])('a credential fault %i of ours is 502: it is nothing the client could mend', async (status) => {
    const [a] = await fakes('a');
    a.behave({ status });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { retry: { attempts: 2, backoffMs: 1 } }));
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error', type: 'server_error' });
    expect(error.message).toContain("pool 'ml/chat'");
  });

  test('refused connections are 502, and count as attempts', async () => {
    const a = { name: 'a', url: `http://127.0.0.1:${await freePort()}` };
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { retry: { attempts: 4, backoffMs: 1 } }));
    const response = await door.post(CHAT, chat());
    expect([response.headers.get('x-sluice-attempts'), response.headers.get('x-sluice-backend')]).toEqual(['4', 'a']);
    expect(await errorOf(response)).toMatchObject({ status: 502, code: 'upstream_error' });
  });

  test('[P-20] a pool without an endpoint says "No healthy providers available", and when to come again', async () => {
    const door = await openDoor();
    await door.put(pool('chat', []));
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 503, code: 'no_healthy_endpoints', type: 'server_error' });
    expect(error.message).toContain('No healthy providers available');
    expect(error.retryAfter).toMatch(/^[1-9]\d*$/);
  });

  test('attempts are bounded over all endpoints', async () => {
    const servers = await fakes('a', 'b', 'c', 'd', 'e');
    for (const server of servers) server.behave({ status: 500 });
    const door = await openDoor();
    await door.put(
      pool(
        'chat',
        servers.map((server) => backend(server)),
        { retry: { attempts: 3 } },
      ),
    );
    const response = await door.post(CHAT, chat());
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([500, '3']);
    expect(servers.map(({ calls }) => calls.length).sort()).toEqual([0, 0, 1, 1, 1]);
  });

  test('the only endpoint is tried again, after a pause', async () => {
    const [a] = await fakes('a');
    a.behaveNext({ status: 500 }, { status: 503 }, { status: 502 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { retry: { attempts: 4, backoffMs: 40 } }));
    expect(await servedBy(await door.post(CHAT, chat()))).toBe('a after 4');
    expect(a.calls).toHaveLength(4);
  });
});
