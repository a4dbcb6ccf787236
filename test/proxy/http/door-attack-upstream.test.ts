import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, openDoor, pool, rawServer } from './door.ts';
import { movableClock } from './door-clock.ts';
import { seriesOf } from './door-series.ts';

const CHAT = '/v1/chat/completions';

describe('a server that says no and then nothing more', () => {
  test.each([
    ['not one byte of why', 'content-length: 10\r\n\r\n'],
    ['half of why', 'content-length: 10\r\n\r\nbecau'],
    ['why without end', 'transfer-encoding: chunked\r\n\r\n'],
  ])('(%s) holds its call up for a second, not for its timeouts', async (_, rest) => {
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 503 No\r\ncontent-type: text/plain\r\n${rest}`);
        if (!rest.includes('chunked')) return;
        const drip = setInterval(() => socket.write('1\r\n.\r\n'), 50);
        socket.once('close', () => clearInterval(drip));
      });
    });
    const [b] = await fakes('b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(server), backend(b)], { strategy: 'Failover' }));
    const startedAt = performance.now();
    const response = await door.post(CHAT, chat());
    expect([response.status, response.headers.get('x-sluice-backend')]).toEqual([200, 'b']);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'a', outcome: 'server_error' })).toBe(1);
  });

  test('is 502 where there is no other', async () => {
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\n'));
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 } }));
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.message).toContain('answered 503');
  });
});

describe('an endpoint that is tried after its rest', () => {
  test('serves the others as soon as it answers, not when that answer, a long stream, is over', async () => {
    const clock = movableClock();
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { ejection: { rateLimitedMs: 60_000 }, queue: { timeoutMs: 2_000 } }));
    a.behaveNext({ status: 429 });
    expect((await door.post(CHAT, chat())).status).toBe(429);
    clock.forward(60_000);
    a.behaveNext({ stallAfterChunks: 2 });
    const stream = await door.post(CHAT, chat('chat', { stream: true }));
    expect(stream.status).toBe(200);
    expect((await door.post(CHAT, chat())).status).toBe(200);
    expect((await door.pool()).endpoints).toMatchObject([{ state: 'ready', reason: '', inFlight: 1 }]);
    await stream.body?.cancel();
    await expect.poll(async () => (await door.pool()).inFlight).toBe(0);
  });

  test('is tried by one call alone until it answers', async () => {
    const clock = movableClock();
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { ejection: { rateLimitedMs: 60_000 } }));
    a.behaveNext({ status: 429 });
    expect((await door.post(CHAT, chat())).status).toBe(429);
    clock.forward(60_000);
    a.behaveNext({ firstByteDelayMs: 300 });
    const together = [1, 2, 3].map(() => door.post(CHAT, chat()));
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(2);
    expect(a.calls).toHaveLength(2);
    for (const answer of together) expect((await answer).status).toBe(200);
  });
});
