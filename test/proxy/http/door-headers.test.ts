import { describe, expect, test } from 'vitest';
import { backend, chat, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';

describe('headers on their way up', () => {
  test('[P-17] a client’s credentials and what belongs to its connection never go upstream; the rest does', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const headers = {
      ...{ authorization: 'Bearer mine', 'x-api-key': 'mine', 'api-key': 'mine', cookie: 'mine=1' },
      ...{ 'proxy-authorization': 'mine', forwarded: 'for=1.2.3.4', 'x-forwarded-for': '1.2.3.4' },
      ...{ 'x-own': 'kept', accept: 'text/plain', 'accept-encoding': 'gzip, br', te: 'trailers' },
    };
    expect((await door.post(CHAT, chat(), { headers })).status).toBe(200);
    const got = a.calls[0]?.headers ?? {};
    expect(got).toMatchObject({ 'x-own': 'kept', accept: 'text/plain', 'accept-encoding': 'identity' });
    expect(JSON.stringify(a.calls[0]?.rawHeaders)).not.toMatch(/mine|1\.2\.3\.4|trailers/);
    expect(got.host).toBe(a.url.slice('http://'.length));
  });

  test('headers that Connection names stay behind', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat(), 'connection: keep-alive, X-Hop\r\nx-hop: mine\r\nx-own: kept\r\n'));
    await client.until('200 OK');
    expect(a.calls[0]?.headers).toMatchObject({ 'x-own': 'kept' });
    expect(a.calls[0]?.headers['x-hop']).toBeUndefined();
  });

  test('[M-9] each backend gets its own key and headers, and no client can take them away or change them', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const key = (from: string): object => ({
      headers: [
        { name: 'Authorization', prefix: 'Bearer ', valueFrom: { secret: 'keys', key: from } },
        { name: 'x-team', value: 'search' },
      ],
    });
    const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
    const values = { 'keys/a': 'key-of-a', 'keys/b': 'key-of-b' };
    await door.put(pool('chat', [backend(a, key('a')), backend(b, key('b'))], { credentials: { id: 'c1' } }), {
      format: 1,
      kind: 'Credentials',
      of,
      id: 'c1',
      values,
    });
    for (let n = 0; n < 4; n += 1) {
      const client = await rawClient(door.port);
      const hostile = 'authorization: Bearer mine\r\nx-team: mine\r\nconnection: authorization, x-team\r\n';
      client.send(httpPost(CHAT, chat(), hostile));
      await client.until('200 OK');
    }
    for (const server of [a, b]) {
      expect(server.calls).toHaveLength(2);
      for (const { headers } of server.calls) {
        expect(headers).toMatchObject({ authorization: `Bearer key-of-${server.name}`, 'x-team': 'search' });
      }
    }
  });

  test('two backends may share one url with different keys', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const keyed = (name: string): object => ({
      ...{ name, url: `${a.url}/v1`, maxConcurrent: 1 },
      headers: [{ name: 'authorization', value: `Bearer ${name}` }],
    });
    await door.put(pool('chat', [keyed('first'), keyed('second')]));
    a.behave({ delayMs: 100 });
    const answers = await Promise.all(Array.from({ length: 4 }, () => door.post(CHAT, chat())));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const keys = a.calls.map(({ headers }) => headers.authorization).sort();
    expect(keys).toEqual(['Bearer first', 'Bearer first', 'Bearer second', 'Bearer second']);
    const served = answers.map(({ headers }) => headers.get('x-sluice-backend')).sort();
    expect(served).toEqual(['first', 'first', 'second', 'second']);
  });

  test('a request id is kept where it is one, and made where it is not, and goes upstream once', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const kept = await door.post(CHAT, chat(), { headers: { 'x-request-id': 'my.id-1' } });
    expect(kept.headers.get('x-request-id')).toBe('my.id-1');
    const made = await door.post(CHAT, chat());
    expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f]{16}-\w+$/);
    const replaced = await door.post(CHAT, chat(), { headers: { 'x-request-id': 'not an id, but "words"' } });
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f]{16}-\w+$/);
    const ids = a.calls.map(({ rawHeaders }) =>
      rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'x-request-id'),
    );
    expect(ids).toEqual([kept, made, replaced].map(({ headers }) => [headers.get('x-request-id')]));
  });
});

describe('headers on their way down', () => {
  test('the answer says who gave it, and keeps what may pass', async () => {
    const [a] = await fakes('a');
    a.behave({
      headers: {
        ...{ 'x-own': 'kept', 'set-cookie': 'a=1', 'x-sluice-pool': 'forged', 'x-request-id': 'forged' },
        ...{ 'strict-transport-security': 'max-age=1', 'x-ratelimit-remaining-requests': '7' },
      },
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const { headers } = await door.post(CHAT, chat());
    expect(Object.fromEntries(headers)).toMatchObject({
      ...{ 'x-sluice-pool': 'ml/chat', 'x-sluice-backend': 'a', 'x-sluice-attempts': '1' },
      ...{ 'x-own': 'kept', 'x-ratelimit-remaining-requests': '7', 'content-type': 'application/json' },
    });
    expect(headers.get('x-request-id')).not.toBe('forged');
    expect([headers.get('set-cookie'), headers.get('strict-transport-security')]).toEqual([null, null]);
  });

  test('an answer that comes encoded all the same passes unexamined', async () => {
    const [a] = await fakes('a');
    a.behave({ body: 'not gzip at all', headers: { 'content-encoding': 'gzip' } });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat(), 'connection: close\r\n'));
    expect(await client.closed).toMatch(/content-encoding: gzip[\s\S]*\r\n\r\nnot gzip at all$/i);
  });
});
