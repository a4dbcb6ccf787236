import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type RawClient, rawClient } from '../http/door.ts';
import { attacked, attacker, endOf, MULTIPLEXER, open, wrapped } from './attack.ts';

const TYPES = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  more: 9,
};
const END_HEADERS = 4;

function frame(type: keyof typeof TYPES, flags: number, stream: number, payload: Buffer | number[] = []): Buffer {
  const bytes = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head[3] = TYPES[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}

/** Never indexed, nothing Huffman-coded. */
function field(name: string, value: string): Buffer {
  const text = (of: string): Buffer => Buffer.from([of.length, ...Buffer.from(of)]);
  return Buffer.concat([Buffer.from([0x10]), text(name), text(value)]);
}

const HELLO = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame('settings', 0, 0)]);
const HEAD = Buffer.concat([
  ...[field(':method', 'POST'), field(':scheme', 'http'), field(':path', `${MULTIPLEXER}/EmbedStream`)],
  field('content-type', 'application/grpc'),
]);
const OPEN = frame('headers', END_HEADERS, 1, HEAD);
const VALUE = Buffer.alloc(4);

/** Whether the door ends the connection, in what it says or by closing it. */
async function isEnded(client: RawClient): Promise<true> {
  let isClosed = false;
  void client.closed.then(() => {
    isClosed = true;
  });
  await eventually('the connection ends', () => isClosed);
  return true;
}

test('HTTP/1 is told what the port is for', async () => {
  const scene = await attacked();
  for (const request of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n\r\n{}']) {
    const client = await rawClient(scene.door.grpcPort);
    client.send(request);
    expect(await client.closed).toMatch(/^HTTP\/1\.1 400 .*This port speaks gRPC/s);
  }
  await scene.livesOn();
});

describe('a connection that breaks the protocol ends, and no other', () => {
  test.each([
    ['bytes that are no HTTP', Buffer.from('\x16\x03\x01\x02\x00 hello')],
    ['a preface cut short', Buffer.concat([HELLO.subarray(0, 16), Buffer.alloc(20)])],
    ['data on stream 0', Buffer.concat([HELLO, frame('data', 0, 0, [1])])],
    ['data on a stream that was never opened', Buffer.concat([HELLO, frame('data', 0, 5, [1])])],
    ['a stream with an even number', Buffer.concat([HELLO, frame('headers', END_HEADERS, 2, HEAD)])],
    ['a head that is no HPACK', Buffer.concat([HELLO, frame('headers', END_HEADERS, 1, Buffer.alloc(50, 0xff))])],
    ['a frame larger than was agreed', Buffer.concat([HELLO, frame('data', 0, 1, Buffer.alloc(70_000))])],
    ['a push promise', Buffer.concat([HELLO, OPEN, frame('push', END_HEADERS, 1, VALUE)])],
    ['settings of half a setting', Buffer.concat([HELLO, frame('settings', 0, 0, [0, 3, 0])])],
    ['a window of nothing more', Buffer.concat([HELLO, frame('window', 0, 0, VALUE)])],
    ['a ping of a wrong length', Buffer.concat([HELLO, frame('ping', 0, 0, [1])])],
    ['the rest of a head that never began', Buffer.concat([HELLO, frame('more', END_HEADERS, 1, HEAD)])],
    ['a reset of a stream that was never opened', Buffer.concat([HELLO, frame('reset', 0, 9, VALUE)])],
  ])('%s', async (_, bytes) => {
    const scene = await attacked();
    const client = await rawClient(scene.door.grpcPort);
    client.send(bytes);
    expect(await isEnded(client)).toBe(true);
    await scene.livesOn();
  });
});

describe('floods', () => {
  test.each([
    [
      'a head without end',
      Buffer.concat([frame('headers', 0, 1, HEAD)]),
      frame('more', 0, 1, field('x-a', 'y'.repeat(100))),
    ],
    ['pings', OPEN, frame('ping', 0, 0, Buffer.alloc(8))],
    ['settings', OPEN, frame('settings', 0, 0)],
    ['resets', OPEN, undefined],
  ])('of %s end their connection, whose client reads nothing', async (_, first, again) => {
    const scene = await attacked();
    const client = await rawClient(scene.door.grpcPort);
    client.socket.pause();
    client.send(Buffer.concat([HELLO, first]));
    const before = process.memoryUsage().rss;
    for (let sent = 0, id = 3; sent < 200_000 && !client.socket.destroyed; sent += 1_000) {
      const bytes = Array.from({ length: 1_000 }, () => {
        id += 2;
        return again ?? Buffer.concat([frame('headers', END_HEADERS, id, HEAD), frame('reset', 0, id, VALUE)]);
      });
      client.send(Buffer.concat(bytes));
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.socket.resume();
    expect(await isEnded(client)).toBe(true);
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
    await scene.livesOn();
  });

  test('of metadata end their call', async () => {
    const scene = await attacked();
    const path = `${MULTIPLEXER}/Embed`;
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`x-${index}`, 'y']));
    for (const headers of [{ 'x-large': 'x'.repeat(40_000) }, many]) {
      const session = attacker(scene);
      const fair = open(session, path, { 'x-large': 'x'.repeat(8_000) });
      fair.end(wrapped());
      // By its end both know each other's limits.
      expect(await endOf(fair)).toBe('0');
      const stream = open(session, path, headers);
      stream.end(wrapped());
      expect(await endOf(stream)).toMatch(/^reset/);
    }
    await scene.livesOn();
  });
});
