import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, openDoor, pool, rawServer } from './door.ts';
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
