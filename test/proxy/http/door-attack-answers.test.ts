import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { backend, chat, type Door, fakes, httpPost, openDoor, pool, rawClient, rawServer } from './door.ts';
import { seriesOf } from './door-series.ts';

const CHAT = '/v1/chat/completions';
const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = 'transfer-encoding: chunked\r\n';
const JSON_TYPE = 'content-type: application/json\r\n';
const EVENTS = 'content-type: text/event-stream\r\n';

/** Writes again and again, as fast as it is taken or each so many milliseconds, until the connection ends. */
function pour(socket: Socket, piece: string, everyMs?: number): void {
  const timer = setInterval(() => {
    while (!socket.destroyed && socket.write(piece) && everyMs === undefined);
  }, everyMs ?? 1);
  socket.once('close', () => clearInterval(timer));
}

async function doorTo(serve: (socket: Socket) => void, timeouts: object): Promise<Door> {
  const bad = await rawServer('bad', (socket) => socket.once('data', () => serve(socket)));
  const [good] = await fakes('good');
  const door = await openDoor();
  await door.put(pool('chat', [backend(bad), backend(good)], { strategy: 'Failover', timeouts }));
  return door;
}

describe('an answer that never comes to its point is left for another server’s', () => {
  test.each([
    ['a header without end', 'malformed', `${OK}x: `, 'x'.repeat(1_000)],
    ['headers without end', 'malformed', OK, 'x: y\r\n'.repeat(100)],
    ['interim answers without end', 'malformed', '', 'HTTP/1.1 103 Wait\r\n\r\n'],
    ['a chunk extension without end', 'malformed', `${OK}${JSON_TYPE}${CHUNKED}\r\n1;`, 'x'.repeat(1_000)],
    ['trailers without end', 'malformed', `${OK}${JSON_TYPE}${CHUNKED}\r\n2\r\n{}\r\n0\r\n`, 'x: y\r\n'],
    ['a chunk of more bytes than there are', 'malformed', `${OK}${JSON_TYPE}${CHUNKED}\r\n`, 'fffffffffffff\r\n'],
  ])('%s (%s)', async (_, outcome, begin, piece) => {
    const serve = (socket: Socket): void => {
      socket.write(begin);
      pour(socket, piece);
    };
    const door = await doorTo(serve, { firstByteMs: 1_000 });
    const response = await door.post(CHAT, chat());
    expect([response.status, response.headers.get('x-sluice-backend')]).toEqual([200, 'good']);
    expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'bad', outcome })).toBe(1);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });
});

test('a head that comes byte by byte has no more time than any other', async () => {
  const serve = (socket: Socket): void => {
    const head = `${OK}x: ${'y'.repeat(10_000)}`;
    let at = 0;
    const timer = setInterval(() => socket.write(head[at++] as string), 20);
    socket.once('close', () => clearInterval(timer));
  };
  const door = await doorTo(serve, { firstByteMs: 300 });
  expect((await door.post(CHAT, chat())).headers.get('x-sluice-backend')).toBe('good');
  expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'bad', outcome: 'timeout' })).toBe(1);
});

describe('a stream without content', () => {
  test.each([
    ['comments', ': ping\n\n'],
    ['pings', 'event: ping\ndata: {}\n\n'],
    ['empty lines', '\n'],
  ])('of %s for ever ends with timeouts.request', async (_, piece) => {
    const serve = (socket: Socket): void => {
      socket.write(`${OK}${EVENTS}\r\n`);
      pour(socket, piece, 20);
    };
    const door = await doorTo(serve, { requestMs: 400, idleMs: 200 });
    expect((await door.post(CHAT, chat('chat', { stream: true }))).status).toBe(504);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });

  test('is given to its client once it is more than is held', async () => {
    const serve = (socket: Socket): void => {
      socket.write(`${OK}${EVENTS}\r\n`);
      pour(socket, `: ${'x'.repeat(1_000)}\n`);
    };
    const door = await doorTo(serve, {});
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat('chat', { stream: true })));
    await client.until('HTTP/1.1 200');
    client.socket.destroy();
    await eventually('it is let go', async () => (await door.pool()).inFlight === 0);
  });
});

test('an answer of exactly what is held is judged, one byte more passes as it comes', async () => {
  const wrong = (bytes: number): string => `{"error":"${'x'.repeat(bytes - 12)}"}`;
  let bytes = 256 * 1024;
  const serve = (socket: Socket): void => {
    const answer = (): boolean =>
      socket.write(`${OK}${JSON_TYPE}${CHUNKED}\r\n${bytes.toString(16)}\r\n${wrong(bytes)}\r\n0\r\n\r\n`);
    socket.on('data', answer);
    answer();
  };
  const door = await doorTo(serve, {});
  expect((await door.post(CHAT, chat())).headers.get('x-sluice-backend')).toBe('good');
  bytes += 1;
  const passed = await door.post(CHAT, chat());
  expect(passed.headers.get('x-sluice-backend')).toBe('bad');
  expect(await passed.text()).toBe(wrong(bytes));
});
