import { describe, expect, test } from 'vitest';
import { freePort } from '../../support/ports.ts';
import { backend, chat, type Door, fakes, httpPost, instance, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';

function accessLines(door: Door): Record<string, unknown>[] {
  return door.log.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === 'request');
}

describe('the access log', () => {
  test('has one line a request, which tells what it came to and every attempt', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ status: 500 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover' }));
    await (await door.post(`${CHAT}?a=b`, chat(), { headers: { 'x-request-id': 'mine' } })).text();
    await (await door.post(CHAT, chat('none'))).text();
    await (await door.get('/v1/models')).text();
    await expect.poll(() => accessLines(door).length).toBe(3);
    const [served, unknown, models] = accessLines(door);
    const ms = expect.any(Number);
    expect(served).toEqual({
      ...{ level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), program: 'proxy', msg: 'request', id: 'mine' },
      ...{ method: 'POST', path: CHAT, status: 200, ms, model: 'chat', pool: 'ml/chat', firstByteMs: ms },
      attempts: [
        { backend: 'a', endpoint: `127.0.0.1:${a.port}`, outcome: 'server_error', ms },
        { backend: 'b', endpoint: `127.0.0.1:${b.port}`, outcome: 'success', ms },
      ],
    });
    expect(unknown).toMatchObject({ status: 404, model: 'none', error: 'model_not_found' });
    expect(models).toMatchObject({ method: 'GET', path: '/v1/models', status: 200 });
  });

  test('has one line also for who waited, who left and who was refused', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 100 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })]));
    await Promise.all([door.post(CHAT, chat()), door.post(CHAT, chat())]);
    expect(accessLines(door).filter(({ queueMs }) => Number(queueMs) > 50)).toHaveLength(1);
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat()));
    await expect.poll(() => a.calls.length).toBe(3);
    client.socket.destroy();
    await expect
      .poll(() => accessLines(door).at(-1))
      .toMatchObject({ status: 499, attempts: [{ outcome: 'cancelled' }] });
  });

  test('is cut short where a client makes it long, and stays one line whatever it sends', async () => {
    const door = await openDoor();
    await (await door.post(CHAT, { model: `line\nbreak "quote" ${'x'.repeat(5_000)}` })).text();
    await (await door.post(`/v1/${'y'.repeat(5_000)}`, {})).text();
    await expect.poll(() => accessLines(door).length).toBe(2);
    for (const line of door.log) expect(line.length).toBeLessThan(1_000);
    expect(door.log.every((line) => !line.includes('\n'))).toBe(true);
    expect(accessLines(door)[0]?.['model']).toMatch(/^line\nbreak "quote" x+$/);
  });
});

describe('a secret', () => {
  test('in any header, query or body, of a request or an answer, that goes well or wrong, shows in no log', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor({ maxBodyBytes: 10_000 });
    const refused = { name: 'refused', url: `http://127.0.0.1:${await freePort()}` };
    const headers = [{ name: 'x-key', value: 'SECRET' }];
    const query = [{ name: 'key', value: 'SECRET' }];
    await door.put(
      pool('chat', [backend(a, { headers, query })], { retry: { attempts: 2, backoffMs: 1 } }),
      pool('two', [backend(refused, { headers, query }), backend(b, { headers, query })], { strategy: 'Failover' }),
      instance('bge', { name: 'x', url: a.url, headers }),
    );
    a.behave({ headers: { 'x-answer': 'SECRET' }, body: '{"answer":"SECRET"}' });
    const secretHeaders = {
      ...{ authorization: 'Bearer SECRET', cookie: 'SECRET', 'x-api-key': 'SECRET', 'x-other': 'SECRET' },
      ...{ 'user-agent': 'SECRET', 'x-request-id': 'not an id: SECRET' },
    };
    const secret = { messages: [{ role: 'user', content: 'SECRET' }], key: 'SECRET' };
    const call = async (path: string, body: unknown): Promise<void> => {
      await (await door.post(`${path}?api_key=SECRET`, body, { headers: secretHeaders })).text();
    };
    await call(CHAT, { model: 'chat', ...secret });
    await call(CHAT, { model: 'two', ...secret });
    await call(CHAT, { model: 'none', ...secret });
    await call(CHAT, `{"key": "SECRET" oops`);
    await call(CHAT, { key: 'SECRET', pad: 'x'.repeat(20_000) });
    await call('/instances/bge/embed', { inputs: 'SECRET' });
    await call('/v1/models', 'SECRET');
    await call('/nowhere', 'SECRET');
    for (const status of [400, 401, 429, 500]) {
      a.behave({ status, body: '{"error":{"message":"SECRET"}}', headers: { 'x-answer': 'SECRET' } });
      await call(CHAT, { model: 'chat', ...secret });
    }
    for (const behaviour of [{ garbage: true }, { closeBeforeHeaders: true }]) {
      a.behave(behaviour);
      await call(CHAT, { model: 'chat', ...secret });
    }
    const client = await rawClient(door.port);
    client.send('SECRET GARBAGE\r\nSECRET\r\n\r\n');
    await client.closed;
    const absolute = await rawClient(door.port);
    absolute.send('POST http://user:SECRET@x/v1/x?SECRET HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n');
    await absolute.until('400');
    await expect.poll(() => accessLines(door).length).toBeGreaterThanOrEqual(14);
    expect(door.log.filter((line) => line.includes('SECRET'))).toEqual([]);
  });
});
