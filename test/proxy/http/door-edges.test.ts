import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, httpPost, instance, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/;

describe('a model in the URL', () => {
  test('leads a GET or DELETE with ?model= to its pool, renamed as in a body, with no body and all else as it came', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { model: 'llama 3' })]), pool('other', [backend(b)]));
    await fetch(`${door.url}/v1/responses/resp_1?x=%20y&model=chat&flag`);
    await fetch(`${door.url}/v1/responses/resp_1?model=proxy-other`, { method: 'DELETE' });
    expect(a.calls.map(({ method, path, body }) => [method, path, body.length])).toEqual([
      ['GET', '/v1/responses/resp_1?x=%20y&model=llama%203&flag', 0],
    ]);
    expect(b.calls.map(({ method, path }) => [method, path])).toEqual([['DELETE', '/v1/responses/resp_1?model=other']]);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });

  test('leads DELETE /v1/models/{id} to that model’s pool', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('tuned', [backend(a)], { models: ['ft:gpt-4o:acme::abc'] }));
    await fetch(`${door.url}/v1/models/ft:gpt-4o:acme::abc`, { method: 'DELETE' });
    expect(a.calls.map(({ method, path }) => [method, path])).toEqual([['DELETE', '/v1/models/ft:gpt-4o:acme::abc']]);
    const unknown = await fetch(`${door.url}/v1/models/none`, { method: 'DELETE' });
    expect(await errorOf(unknown)).toMatchObject({ status: 404, code: 'model_not_found' });
  });

  test('that is not there is said, and what may be done about it', async () => {
    const door = await openDoor();
    expect(await errorOf(await door.get('/v1/files'))).toMatchObject({
      ...{ status: 404, code: 'unknown_path', param: 'model' },
      message: expect.stringContaining('?model=NAME'),
    });
    expect(await errorOf(await door.get('/v1/files?model=none'))).toMatchObject({ code: 'model_not_found' });
  });

  test.each([
    ['GET', CHAT, 'POST'],
    ['PUT', '/v1/files', 'GET, POST, DELETE'],
    ['HEAD', '/v1/models', 'GET'],
    ['PATCH', '/v1/models/chat', 'GET, DELETE'],
    ['GET', '/instances/bge/embed', 'POST'],
    ['POST', '/instances/bge/info', 'GET'],
  ])('%s %s is 405, and Allow says %s', async (method, path, allow) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(instance('bge', a));
    const response = await fetch(door.url + path, { method });
    expect([response.status, response.headers.get('allow')]).toEqual([405, allow]);
    expect(a.calls).toHaveLength(0);
  });
});

describe('what is not HTTP as it is served here', () => {
  test.each([
    [
      'a WebSocket',
      'GET /v1/realtime?model=chat',
      'connection: Upgrade\r\nupgrade: websocket\r\n',
      501,
      'not_implemented',
    ],
    ['another upgrade', `POST ${CHAT}`, 'connection: Upgrade\r\nupgrade: TLS/1.0\r\n', 501, 'not_implemented'],
    ['an expectation', `POST ${CHAT}`, 'expect: 200-ok\r\n', 417, 'expectation_failed'],
  ])(
    '%s is refused in OpenAI’s form, with the client’s id, and is in the access log',
    async (_, start, headers, status, code) => {
      const [a] = await fakes('a');
      const door = await openDoor();
      await door.put(pool('chat', [backend(a)]));
      const client = await rawClient(door.port);
      client.send(`${start} HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\n${headers}content-length: 0\r\n\r\n`);
      const answer = await client.until(`"code":"${code}"`);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toMatch(/content-type: application\/json/i);
      expect(answer).toMatch(/x-request-id: mine/i);
      await expect.poll(() => door.log.join()).toContain(code);
      expect(a.calls).toHaveLength(0);
      expect((await door.post(CHAT, chat())).status).toBe(200);
    },
  );

  test('a request without a Host gets an error with a body', async () => {
    const door = await openDoor();
    const client = await rawClient(door.port);
    client.send(`POST ${CHAT} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}`);
    expect(await client.until('"code":"bad_request"')).toMatch(/^HTTP\/1.1 400 /);
  });
});

describe('ids and traces', () => {
  test('of two request ids the first counts: once to the client, once upstream', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat(), 'x-request-id: one\r\nX-Request-Id: two\r\n'));
    const answer = await client.until('chat.completion');
    expect(answer.match(/x-request-id: .*/gi)).toEqual([expect.stringMatching(/: one$/)]);
    const sent = a.calls[0]?.rawHeaders ?? [];
    expect(sent.filter((_, index) => sent[index - 1]?.toLowerCase() === 'x-request-id')).toEqual(['one']);
  });

  test('a trace is passed on with its state, and one that means nothing is replaced without it', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
    for (const headers of [{ traceparent, tracestate: 'k=v' }, { traceparent: 'x', tracestate: 'k=v' }, {}, {}]) {
      await door.post(CHAT, chat(), { headers });
    }
    const [kept, replaced, made, another] = a.calls.map(({ headers }) => headers);
    expect(kept).toMatchObject({ traceparent, tracestate: 'k=v' });
    expect(replaced?.tracestate).toBeUndefined();
    for (const headers of [replaced, made, another]) expect(headers?.traceparent).toMatch(TRACEPARENT);
    expect(made?.traceparent).not.toBe(another?.traceparent);
  });
});

describe('/explain on the admin port', () => {
  test('names the endpoint that the next call gets, sends nothing and moves nothing', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { weight: 2, model: 'llama' }), backend(b)], { models: ['chat'] }));
    const servers = { a, b };
    for (let n = 0; n < 9; n += 1) {
      const asked = async () => (await fetch(`${door.adminUrl}/explain?model=chat&user=u`)).json();
      const said = (await asked()) as { next: { backend: 'a' | 'b'; model: string }; pool: string };
      expect(await asked()).toEqual(said);
      const before = servers[said.next.backend].calls.length;
      await door.post(CHAT, chat());
      expect(servers[said.next.backend].calls).toHaveLength(before + 1);
      expect(said).toMatchObject({ pool: 'ml/chat', next: { model: said.next.backend === 'a' ? 'llama' : 'chat' } });
    }
    expect(a.calls.length + b.calls.length).toBe(9);
  });

  test('says 404 of a model that leads nowhere, and 400 without a model', async () => {
    const door = await openDoor();
    for (const [path, status, message] of [
      ['/explain?model=none', 404, /There is no model 'none'/],
      ['/explain', 400, /model=NAME/],
      ['/explain?model=', 400, /model=NAME/],
    ] as const) {
      const response = await fetch(door.adminUrl + path);
      expect(response.status).toBe(status);
      expect(JSON.stringify(await response.json())).toMatch(message);
    }
  });
});
