import type { Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { backend, chat, type Door, fakes, httpPost, openDoor, pool, rawClient, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';
const JSON_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

/** Fails the test where anything was thrown that nobody caught, which in a process of its own ends it. */
function expectNoCrash(): void {
  const faults: unknown[] = [];
  const note = (error: unknown): void => void faults.push(error);
  process.on('unhandledRejection', note).on('uncaughtException', note);
  onTestFinished(() => {
    process.off('unhandledRejection', note).off('uncaughtException', note);
    expect(faults).toEqual([]);
  });
}

function answering(
  bytes: string | Buffer,
  then: (socket: Socket) => void = () => undefined,
): ReturnType<typeof rawServer> {
  return rawServer('a', (socket) => socket.on('data', () => socket.write(bytes, 'latin1', () => then(socket))));
}

async function doorTo(server: { name: string; url: string }): Promise<Door> {
  const door = await openDoor();
  await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 }, timeouts: { firstByteMs: 1_000 } }));
  return door;
}

async function ask(door: Door, body = chat()): Promise<string> {
  const client = await rawClient(door.port);
  client.send(httpPost(CHAT, body, 'connection: close\r\n'));
  return client.closed;
}

describe('an upstream that is hostile', () => {
  test.each([
    [
      'a header named __proto__',
      `${JSON_HEAD}__proto__: x\r\n__proto__: y\r\nconstructor: z\r\ncontent-length: 2\r\n\r\n{}`,
      200,
    ],
    ['two content types', `${JSON_HEAD}content-type: text/event-stream\r\ncontent-length: 2\r\n\r\n{}`, 200],
    ['the same header many times', `${JSON_HEAD}${'x-a: b\r\n'.repeat(100)}content-length: 2\r\n\r\n{}`, 200],
    ['a status of its own', 'HTTP/1.1 799 Odd\r\ncontent-length: 2\r\n\r\n{}', 799],
    ['the status 999', 'HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\n{}', 999],
    ['the status 204 with a body', 'HTTP/1.1 204 None\r\ncontent-length: 2\r\n\r\n', 204],
    ['the status 304', 'HTTP/1.1 304 Same\r\n\r\n', 304],
    [
      'early hints before its answer',
      `HTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n${JSON_HEAD}content-length: 2\r\n\r\n{}`,
      200,
    ],
    ['trailers', `${JSON_HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-t: 1\r\n\r\n`, 200],
    ['two lengths', `${JSON_HEAD}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`, 502],
    [
      'length and chunks',
      `${JSON_HEAD}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
      502,
    ],
    ['a length that is none', `${JSON_HEAD}content-length: many\r\n\r\n{}`, 502],
    ['a NUL in a header', `${JSON_HEAD}x-a: b\0c\r\ncontent-length: 2\r\n\r\n{}`, 502],
    ['a 100 that nobody asked for', `HTTP/1.1 100 Continue\r\n\r\n${JSON_HEAD}content-length: 2\r\n\r\n{}`, 200],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 502],
  ])('with %s crashes nothing, and the next call is served', async (_, bytes, status) => {
    expectNoCrash();
    const server = await answering(bytes);
    const door = await doorTo(server);
    expect(await ask(door)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    const [b] = await fakes('b');
    await door.put(pool('chat', [backend(b)]));
    expect((await door.post(CHAT, chat())).status).toBe(200);
  });

  test('cannot slip an answer to the next call in behind its own', async () => {
    expectNoCrash();
    const stale = `${JSON_HEAD}content-length: 9\r\n\r\n"for you"`;
    let answered = 0;
    const server = await rawServer('a', (socket) => {
      socket.on('data', () => {
        answered += 1;
        socket.write(`${JSON_HEAD}content-length: 3\r\n\r\n${100 + answered}${answered === 1 ? stale : ''}`);
      });
    });
    const door = await doorTo(server);
    const bodies: string[] = [];
    for (let n = 0; n < 3; n += 1) bodies.push((await ask(door)).split('\r\n\r\n')[1] ?? '');
    expect(bodies.join()).not.toContain('for you');
  });

  test('keeps its bytes in headers as they are', async () => {
    const server = await answering(
      Buffer.from(`${JSON_HEAD}x-own: caf\xe9 \xff\r\ncontent-length: 2\r\n\r\n{}`, 'latin1'),
    );
    expect(await ask(await doorTo(server))).toContain('caf\xe9 \xff');
  });

  test('that answers with endless headers, or an endless failure, is given up', async () => {
    expectNoCrash();
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 500 No\r\ncontent-type: text/plain\r\n\r\n');
        const pour = (): void => {
          while (!socket.destroyed && socket.write('x'.repeat(65_536)));
        };
        socket.on('drain', pour);
        pour();
      });
    });
    const door = await doorTo(server);
    expect(await ask(door)).toMatch(/^HTTP\/1.1 502 [\s\S]*upstream_error/);
    expect(await door.pool()).toMatchObject({ inFlight: 0, endpoints: [{ inFlight: 0 }] });
  });

  test('that answers before it was asked is not listened to', async () => {
    expectNoCrash();
    const server = await rawServer('a', (socket) => socket.write(`${JSON_HEAD}content-length: 7\r\n\r\n"early"`));
    const door = await doorTo(server);
    expect(await ask(door)).toMatch(/^HTTP\/1.1 (200|502) /);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });

  test('that closes at every byte of its answer in turn leaves every call with an answer or a cut', async () => {
    expectNoCrash();
    const whole = `${JSON_HEAD}transfer-encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n`;
    let cutAt = 0;
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => socket.end(whole.slice(0, cutAt)));
    });
    const door = await doorTo(server);
    for (cutAt = 0; cutAt < whole.length; cutAt += 1) {
      const answer = await ask(door);
      const isCut = answer.startsWith('HTTP/1.1 200') && !answer.endsWith('0\r\n\r\n');
      expect(isCut || answer.startsWith('HTTP/1.1 502'), `cut at ${cutAt}: ${answer}`).toBe(true);
    }
    cutAt = whole.length;
    expect(await ask(door)).toMatch(/^HTTP\/1.1 200 [\s\S]*\{"a":1\}/);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });
});

describe('a client that is hostile', () => {
  test('and cuts at every byte of its request in turn leaves nothing behind', async () => {
    expectNoCrash();
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const bytes = httpPost(CHAT, chat());
    for (let cutAt = 0; cutAt < bytes.length; cutAt += 1) {
      const client = await rawClient(door.port);
      client.socket.end(bytes.slice(0, cutAt));
      await client.closed;
    }
    expect(a.calls).toHaveLength(0);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
    expect((await door.post(CHAT, chat())).status).toBe(200);
  });

  test('and sends noise is answered or cut, and everybody else is served', async () => {
    expectNoCrash();
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const good = Buffer.from(httpPost(CHAT, chat()));
    for (let n = 0; n < 300; n += 1) {
      const bytes = Buffer.from(good);
      for (let flips = random(4) + 1; flips > 0; flips -= 1) bytes[random(bytes.length)] = random(256);
      const client = await rawClient(door.port);
      client.socket.end(bytes);
      await client.closed;
    }
    expect((await door.post(CHAT, chat())).status).toBe(200);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });
});
