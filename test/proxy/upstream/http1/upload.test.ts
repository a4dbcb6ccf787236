import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { StreamedBody } from '../../../../proxy/upstream/http1/connection.ts';
import { eventually } from '../../../support/eventually.ts';
import { ask, connectionsTo, ok, post, settled, start, startServer } from './scripted-server.ts';

function streamed(source: Readable, length?: number): StreamedBody {
  return { started: () => source.readableDidRead, cameAt: () => 0, length, open: () => source };
}

/** Bytes without end, as fast as they are taken; `given`: how many so far. */
function endless(): { source: Readable; given: () => number } {
  const block = Buffer.alloc(64 * 1024, 'x');
  let given = 0;
  const source = new Readable({
    read() {
      given += block.length;
      this.push(block);
    },
  });
  return { source, given: () => given };
}

/** Answers each request whose bytes end so. */
const answeringAt = (end: string) =>
  startServer((socket, text) => {
    if (text.endsWith(end)) socket.write(ok('got it'));
  });

describe('a body in one piece', () => {
  test.each([1, 8 * 1024, 8 * 1024 + 1, 3_000_000])('of %i bytes arrives as it is', async (size) => {
    const server = await startServer((socket, text) => {
      if (text.length - text.indexOf('\r\n\r\n') - 4 === size) socket.write(ok('got it'));
    });
    const body = Buffer.from(Uint8Array.from({ length: size }, (_, at) => at % 251));
    const connections = connectionsTo(server.url);
    expect(await ask(connections, post(body))).toBe('200 got it');
    const [head = '', ...rest] = (server.received[0] ?? '').split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`content-length: ${size}$`));
    expect(Buffer.from(rest.join('\r\n\r\n'), 'latin1').equals(body)).toBe(true);
    server.received[0] = '';
    expect((await start(connections, post(body)).over).sending?.isReused).toBe(true);
  });

  test('that the server does not want to its end is left there, and the answer counts', async () => {
    const server = await startServer((socket) => {
      socket.pause();
      socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig');
    });
    const call = start(connectionsTo(server.url), post(Buffer.alloc(32 * 1024 * 1024)));
    expect(await call.over).toMatchObject({ status: 413, text: 'big', error: undefined });
    server.sockets[0]?.resume();
    await eventually('it is closed', () => server.open() === 0);
  });
});

describe('a streamed body', () => {
  test('of known length goes with it, and the connection is kept', async () => {
    const server = await answeringAt('abcdef');
    const connections = connectionsTo(server.url);
    const source = Readable.from([Buffer.from('abc'), Buffer.alloc(0), Buffer.from('def')], { objectMode: false });
    expect(await ask(connections, post(streamed(source, 6)))).toBe('200 got it');
    expect(server.received[0]).toMatch(/\r\ncontent-length: 6\r\n\r\nabcdef$/);
    expect((await start(connections, post(Buffer.from('abcdef'))).over).sending?.isReused).toBe(true);
  });

  test('of unknown length goes in chunks, and the connection is kept', async () => {
    const server = await answeringAt('0\r\n\r\n');
    const connections = connectionsTo(server.url);
    const long = 'x'.repeat(10_000);
    const chunks = ['abc', '', long, 'd'].map((text) => Buffer.from(text));
    // Of objects: it lets an empty chunk pass, which would end the body.
    const source = new Readable({ objectMode: true, read() {} });
    const call = start(connections, post(streamed(source)));
    for (const chunk of chunks) {
      source.push(chunk);
      await new Promise(setImmediate);
    }
    source.push(null);
    expect((await call.over).text).toBe('got it');
    const [, sent] = (server.received[0] ?? '').split('transfer-encoding: chunked\r\n\r\n');
    expect(sent).toBe(`3\r\nabc\r\n2710\r\n${long}\r\n1\r\nd\r\n0\r\n\r\n`);
    const again = start(connections, post(streamed(Readable.from([Buffer.from('z')]))));
    expect((await again.over).sending?.isReused).toBe(true);
  });

  test.each([
    ['shorter', 'ab'],
    ['longer', 'abcd'],
  ])('that is %s than it said fails, and its connection is closed', async (_, text) => {
    const server = await answeringAt('abc');
    const source = Readable.from([Buffer.from(text)]);
    expect(await ask(connectionsTo(server.url), post(streamed(source, 3)))).toBe('ERR_UPSTREAM_BODY_LENGTH');
    await eventually('it is closed', () => server.sockets.length === 1 && server.open() === 0);
    expect(server.received[0]).not.toContain('abcd');
  });

  test('that breaks fails with its own error, and its connection is closed', async () => {
    const server = await answeringAt('never');
    const source = new Readable({ read() {} });
    const call = start(connectionsTo(server.url), post(streamed(source)));
    source.push(Buffer.from('abc'));
    await eventually('it has begun', () => server.received[0]?.includes('abc'));
    source.destroy(Object.assign(new Error('the client left'), { code: 'ELEFT' }));
    expect((await call.over).error).toMatchObject({ code: 'ELEFT' });
    await eventually('it is closed', () => server.open() === 0);
  });

  test('that is let go before its end, without an error, fails too', async () => {
    const server = await answeringAt('never');
    const source = new Readable({ read() {} });
    const call = start(connectionsTo(server.url), post(streamed(source)));
    await eventually('it has begun', () => server.received[0]);
    source.destroy();
    expect((await call.over).error?.code).toBe('ERR_UPSTREAM_BODY_LENGTH');
  });

  test('waits for a server that does not read', async () => {
    let reads = false;
    const server = await startServer((socket) => {
      if (!reads) socket.pause();
    });
    const { source, given } = endless();
    const call = start(connectionsTo(server.url), post(streamed(source)));
    const before = await settled(given);
    expect(given()).toBeLessThan(20_000_000);
    reads = true;
    server.sockets[0]?.resume();
    await eventually('it goes on', () => given() > before + 1_000_000);
    call.sending.abort();
    await eventually('the source is let go', () => source.destroyed);
  });

  test.each([
    ['the answer comes early', 'HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig', '413 big'],
    ['the answer is malformed', 'HTTP/3\r\n', 'ERR_UPSTREAM_MALFORMED'],
  ])('is let go when %s', async (_, answer, expected) => {
    const server = await startServer((socket, text) => {
      if (text.length < 100_000) socket.write(answer);
    });
    const { source } = endless();
    expect(await ask(connectionsTo(server.url), post(streamed(source)))).toBe(expected);
    expect(source.destroyed).toBe(true);
    await eventually('it is closed', () => server.open() === 0);
  });

  test('is let go when the server resets', async () => {
    const server = await startServer((socket) => socket.resetAndDestroy());
    const { source } = endless();
    expect(await ask(connectionsTo(server.url), post(streamed(source)))).toMatch(/^(ECONNRESET|EPIPE)$/);
    expect(source.destroyed).toBe(true);
  });
});
