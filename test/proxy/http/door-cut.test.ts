import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { backend, chat, fakes, httpPost, openDoor, pool, rawClient, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';
/** Of JSON: more than is held until it can be judged. */
const LONG = `{"a":"${'x'.repeat(300_000)}`;
const STREAM = chat('chat', { stream: true });
const SSE = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n';

/** A server that answers each request with these bytes and then does with the connection what is said. */
function answering(bytes: string, then: (socket: Socket) => void): ReturnType<typeof rawServer> {
  return rawServer('a', (socket) => socket.on('data', () => socket.write(bytes, () => then(socket))));
}

async function ask(server: { name: string; url: string }, body: object): Promise<string> {
  const door = await openDoor();
  await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 } }));
  const client = await rawClient(door.port);
  client.send(httpPost(CHAT, body));
  const answer = await client.closed;
  expect(await door.pool()).toMatchObject({ inFlight: 0, endpoints: [{ inFlight: 0 }] });
  return answer;
}

describe('an upstream that is lost after its first byte', () => {
  const chunked = `${SSE}transfer-encoding: chunked\r\n\r\nb\r\ndata: one\n\n\r\n`;
  const counted = `${SSE}content-length: 4000\r\n\r\ndata: one\n\n`;
  test.each([
    ['a reset', chunked, (socket: Socket) => socket.resetAndDestroy()],
    ['a close', chunked, (socket: Socket) => socket.end()],
    ['a close within an event', `${chunked}a\r\ndata: half\r\n`, (socket: Socket) => socket.end()],
    ['bytes that are no chunk', `${chunked}zz\r\n`, () => undefined],
    ['a close before its declared end', counted, (socket: Socket) => socket.end()],
  ])(
    'ends an event stream with an error event and a closed connection, never with [DONE], after %s',
    async (_, bytes, then) => {
      const answer = await ask(await answering(bytes, then), STREAM);
      expect(answer).toContain('data: one\n\n');
      const events = answer.split('\n\n');
      const error = JSON.parse(/^data: (.*)$/m.exec(events.at(-2) ?? '')?.[1] ?? '{}') as { error: object };
      expect(error).toMatchObject({ error: { code: 'upstream_disconnected', type: 'server_error' } });
      expect(answer).not.toContain('[DONE]');
      expect(answer, 'no clean end').not.toMatch(/\r\n0\r\n\r\n$/);
    },
  );

  test.each([
    ['counted', `content-length: 400000\r\n\r\n${LONG}`],
    ['chunked', `transfer-encoding: chunked\r\n\r\n${LONG.length.toString(16)}\r\n${LONG}\r\n`],
  ])('cuts a %s unary answer that is too long to be held where it was cut', async (_, rest) => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
    const answer = await ask(await answering(head + rest, (socket) => socket.destroy()), chat());
    expect(answer.trimEnd().endsWith(LONG)).toBe(true);
    expect(answer).not.toContain('upstream_disconnected');
  });

  test('is counted as cut, and a fetch sees an error, not an end', async () => {
    const [a] = await fakes('a');
    a.behave({ cutAfterChunks: 2 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    await expect((await door.post(CHAT, STREAM)).text()).rejects.toThrow();
    expect(await door.metrics()).toContain('sluice_attempts_total{pool="ml/chat",backend="a",outcome="cut"} 1');
    expect(a.calls).toHaveLength(1);
  });

  test('an error event of the upstream’s own passes as it came', async () => {
    const own = 'data: {"error":{"message":"own","code":"x"}}\n\n';
    const server = await answering(`${SSE}connection: close\r\n\r\ndata: one\n\n${own}`, (socket) => socket.end());
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)]));
    expect(await (await door.post(CHAT, STREAM)).text()).toBe(`data: one\n\n${own}`);
  });
});

describe('a kept connection', () => {
  /** Answers once on each connection; a second request on it is met with a close. */
  function onceEach(mishap: (socket: Socket) => void): ReturnType<typeof rawServer> {
    return rawServer('a', (socket) => {
      let requests = 0;
      socket.on('data', () => {
        requests += 1;
        if (requests > 1) mishap(socket);
        else socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
      });
    });
  }

  test.each([
    ['closed', (socket: Socket) => socket.end()],
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
  ])('that is %s just as it is used again costs no attempt: the call goes on a fresh one', async (_, mishap) => {
    const server = await onceEach(mishap);
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 } }));
    for (let n = 0; n < 4; n += 1) {
      const response = await door.post(CHAT, chat());
      expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '1']);
      await response.text();
    }
    expect(await door.metrics()).toContain('backend="a",outcome="success"} 4');
    expect(await door.metrics()).not.toContain('outcome="cut"');
  });

  test('costs no attempt either while other calls open connections of their own', async () => {
    const server = await rawServer('a', (socket, connection) => {
      let requests = 0;
      socket.on('data', () => {
        requests += 1;
        const answer = (): void => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}');
        if (connection > 1) answer();
        else if (requests === 1) answer();
        else setTimeout(() => socket.destroy(), 100);
      });
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 } }));
    await (await door.post(CHAT, chat())).text();
    const onKept = door.post(CHAT, chat());
    await expect.poll(async () => (await door.pool()).inFlight).toBe(1);
    expect((await door.post(CHAT, chat())).status).toBe(200);
    expect(server.connections()).toBe(2);
    expect((await onKept).status).toBe(200);
  });

  test('that dies after a byte of its answer is no such case', async () => {
    const server = await onceEach((socket) => socket.end('HTTP/1.1 200 OK\r\n'));
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 } }));
    expect((await door.post(CHAT, chat())).status).toBe(200);
    expect((await door.post(CHAT, chat())).status).toBe(502);
  });

  test('a fresh connection that dies is an attempt', async () => {
    const server = await rawServer('a', (socket) => socket.once('data', () => socket.destroy()));
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 } }));
    expect((await door.post(CHAT, chat())).status).toBe(502);
    expect(server.connections()).toBe(1);
  });
});
