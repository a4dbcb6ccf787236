import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';
const HEAD = 'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n';

describe('request bodies', () => {
  test('one that is declared too large is refused before it is sent', async () => {
    const door = await openDoor({ maxBodyBytes: 1_000 });
    const client = await rawClient(door.port);
    client.send(`${HEAD}content-length: 1001\r\n\r\n`);
    expect(await client.until('request_too_large')).toMatch(/^HTTP\/1.1 413 [\s\S]*1000 bytes/);
  });

  test('one that turns out too large is refused, and a client that sends first and reads then still hears why', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ maxBodyBytes: 1_000_000 });
    await door.put(pool('chat', [backend(a)]));
    for (const size of [1_000_001, 8_000_000]) {
      const body = JSON.stringify(chat('chat', { pad: 'x'.repeat(size) }));
      const error = await errorOf(await door.post(CHAT, body));
      expect(error).toMatchObject({ status: 413, code: 'request_too_large' });
      const client = await rawClient(door.port);
      client.send(`${HEAD}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
      expect(await client.until('request_too_large')).toMatch(/^HTTP\/1.1 413/);
    }
    expect((await door.post(CHAT, chat('chat', { pad: 'x'.repeat(900_000) }))).status).toBe(200);
    expect(a.calls).toHaveLength(1);
  });

  test('a refusal is heard although the body has not been read, and the connection goes on', async () => {
    const door = await openDoor();
    const body = 'x'.repeat(6_000_000);
    for (const [path, status] of [
      ['/nowhere', 404],
      ['/v1/../x', 400],
      ['/v1/models', 405],
    ] as const) {
      const client = await rawClient(door.port);
      client.send(httpPost(path, body));
      client.send(httpPost('/v1/chat/completions', {}));
      const answer = await client.until('missing_model');
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    }
  });

  test('a body that goes on and on after its refusal is not read for ever', async () => {
    const door = await openDoor({ times: { restMs: 200 } });
    const client = await rawClient(door.port);
    client.send('POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const drip = setInterval(() => client.send('1\r\nx\r\n'), 10);
    await client.closed;
    clearInterval(drip);
    expect(client.seen()).toMatch(/^HTTP\/1.1 404 /);
  });

  test('more than all may hold together is 503, and what is let go makes room again', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const door = await openDoor({ maxHeldBytes: 2_000_000 });
    await door.put(pool('chat', [backend(a)]));
    const large = (): Promise<Response> => door.post(CHAT, chat('chat', { pad: 'x'.repeat(900_000) }));
    const answers = await Promise.all([large(), large(), large(), large()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 503, 503]);
    const refused = answers.filter(({ status }) => status === 503);
    for (const response of refused) {
      expect(await errorOf(response)).toMatchObject({
        code: 'overloaded',
        retryAfter: expect.stringMatching(/^[1-9]/),
      });
    }
    for (let n = 0; n < 3; n += 1) expect((await large()).status).toBe(200);
  });

  test('a client that leaves, is refused or fails gives back what was held for it', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ maxHeldBytes: 1_500_000, maxBodyBytes: 1_200_000 });
    await door.put(pool('chat', [backend(a)], { retry: { attempts: 1 } }));
    const million = 'x'.repeat(1_000_000);
    for (let n = 0; n < 4; n += 1) {
      const client = await rawClient(door.port);
      client.send(`${HEAD}content-length: 1100000\r\n\r\n{"model":"${million}`);
      await expect.poll(() => client.socket.writableLength).toBe(0);
      client.socket.destroy();
      await expect.poll(() => door.log.filter((line) => line.includes('"status":499')).length).toBe(n + 1);
      expect((await door.post(CHAT, million)).status).toBe(400);
      expect((await door.post(CHAT, chat('none', { million }))).status).toBe(404);
      a.behaveNext({ status: 500 });
      expect((await door.post(CHAT, chat('chat', { million }))).status).toBe(500);
    }
    expect((await door.post(CHAT, chat('chat', { million }))).status).toBe(200);
  });

  test('one that never ends is cut once nothing comes, 408 before; one that comes slowly is not', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ times: { bodyMs: 300 } });
    await door.put(pool('chat', [backend(a)]));
    const silent = await rawClient(door.port);
    silent.send(`${HEAD}content-length: 50\r\n\r\n{"model":`);
    const never = await rawClient(door.port);
    never.send(`${HEAD}content-length: 50\r\n\r\n`);
    for (const client of [silent, never]) {
      expect(await client.closed).toMatch(/^HTTP\/1.1 408 [\s\S]*"code":"timeout"/);
    }
    const slow = await rawClient(door.port);
    const body = '{"model":"chat"}';
    slow.send(`${HEAD}content-length: ${body.length}\r\n\r\n`);
    for (const letters of body.match(/.{4}/g) ?? []) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      slow.send(letters);
    }
    expect(await slow.until('200 OK')).toMatch(/^HTTP\/1.1 200/);
  });

  test('a head that never ends is cut, 408 before', async () => {
    const door = await openDoor({ times: { headMs: 200, headCheckMs: 50 } });
    const client = await rawClient(door.port);
    client.send('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ');
    const drip = setInterval(() => client.send('x'), 20);
    const answer = await client.closed;
    clearInterval(drip);
    expect(answer).toMatch(/^HTTP\/1.1 408 [\s\S]*"code":"timeout"/);
  });

  test('Expect: 100-continue is answered where the body is wanted, and not sent on', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ maxBodyBytes: 1_000 });
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    const body = JSON.stringify(chat());
    client.send(`${HEAD}expect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`);
    await client.until('HTTP/1.1 100 Continue\r\n\r\n');
    client.send(body);
    await client.until('200 OK');
    expect(a.calls[0]?.headers.expect).toBeUndefined();
    const refused = await rawClient(door.port);
    refused.send(`${HEAD}expect: 100-continue\r\ncontent-length: 5000\r\n\r\n`);
    expect(await refused.until('too_large')).toMatch(/^HTTP\/1.1 413/);
  });
});
