import type { LookupAddress } from 'node:dns';
import { createServer, type LookupFunction } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createConnections, sameSettings } from '../../../../proxy/upstream/http1/connections.ts';
import { eventually } from '../../../support/eventually.ts';
import { freePort } from '../../../support/ports.ts';
import { ask, connectionsTo, get, noLookup, ok, post, start, startServer } from './scripted-server.ts';

/** Answers each request that has no body. */
const answering = (answer: string) => startServer((socket) => socket.write(answer, 'latin1'));

describe('a connection', () => {
  test('carries one call after the other, as they were sent', async () => {
    const server = await startServer((socket, text) => socket.write(ok(String(text.split('\r\n\r\n').length - 1))));
    const connections = connectionsTo(server.url);
    const calls = [start(connections, get('/a'))];
    await calls[0]?.over;
    calls.push(start(connections, get('/b')));
    await calls[1]?.over;
    expect(calls.map(({ text, sending }) => [text, sending.isReused])).toEqual([
      ['1', false],
      ['2', true],
    ]);
    const host = `host: 127.0.0.1:${server.port}\r\n\r\n`;
    expect(server.received).toEqual([`GET /a HTTP/1.1\r\n${host}GET /b HTTP/1.1\r\n${host}`]);
  });

  test('can be used again from within the end of its call', async () => {
    const server = await answering(`HTTP/1.1 100 Continue\r\n\r\n${ok('x')}`);
    const connections = connectionsTo(server.url);
    const { promise, resolve } = Promise.withResolvers<string>();
    let left = 50;
    const again = (): void => {
      left -= 1;
      if (left < 0) resolve('done');
      else {
        connections.send(get(), {
          onHead: () => undefined,
          onData: () => undefined,
          onEnd: again,
          onError: (error) => resolve(error.message),
        });
      }
    };
    again();
    expect(await promise).toBe('done');
    expect(server.sockets).toHaveLength(1);
  });

  test('is for one call at a time, and the one used last is used next', async () => {
    const waiting: (() => void)[] = [];
    const server = await startServer((socket) => waiting.push(() => socket.write(ok('x'))));
    const connections = connectionsTo(server.url);
    const calls = [start(connections), start(connections)];
    await eventually('both have come', () => waiting.length === 2);
    for (const answer of waiting.splice(0)) {
      answer();
      await Promise.race(calls.filter(({ isOver }) => !isOver).map(({ over }) => over));
    }
    const last = server.received.length - 1;
    const before = server.received.map((text) => text.length);
    start(connections);
    await eventually('the third has come', () => waiting.length === 1);
    expect(server.received.map((text, at) => text.length > (before[at] ?? 0))).toEqual([last === 0, last === 1]);
    expect(server.sockets).toHaveLength(2);
  });

  test('that is kept is not used for a fresh call', async () => {
    const server = await answering(ok('x'));
    const connections = connectionsTo(server.url);
    await ask(connections);
    const fresh = start(connections, get(), true);
    expect((await fresh.over).text).toBe('x');
    expect(fresh.sending.isReused).toBe(false);
    expect(server.sockets).toHaveLength(2);
  });

  test.each([
    ['says so', ok('x', 'connection: close')],
    ['is of HTTP/1.0', ok('x').replace('1.1', '1.0')],
    ['keeps connections for no more than a second', ok('x', 'keep-alive: timeout=1')],
    ['goes on after its answer', `${ok('x')}HTTP/1.1 200 OK\r\n`],
  ])('is closed after the answer of a server that %s', async (_, answer) => {
    const server = await answering(answer);
    const connections = connectionsTo(server.url);
    expect(await ask(connections)).toBe('200 x');
    await eventually('it is closed', () => server.open() === 0);
    expect(await ask(connections)).toBe('200 x');
    expect(server.sockets).toHaveLength(2);
  });

  test.each([
    ['the end of the connection', 'end'],
    ['bytes that nobody asked for', 'poison'],
    ['a reset', 'reset'],
  ])('that is kept is given up at %s', async (_, how) => {
    const server = await answering(ok('mine'));
    const connections = connectionsTo(server.url);
    expect(await ask(connections)).toBe('200 mine');
    const [socket] = server.sockets;
    let closed = false;
    socket?.on('close', () => {
      closed = true;
    });
    if (how === 'end') socket?.end();
    else if (how === 'reset') socket?.resetAndDestroy();
    else socket?.write(ok('poison'));
    await eventually('it is closed', () => closed);
    const next = start(connections);
    expect((await next.over).text).toBe('mine');
    expect(next.sending.isReused).toBe(false);
  });

  test('that is kept is closed a second before the server would close it', async () => {
    const server = await answering(ok('x', 'Keep-Alive: timeout=2'));
    const connections = connectionsTo(server.url);
    await ask(connections);
    const begin = performance.now();
    await eventually('it is closed', () => server.open() === 0);
    expect(performance.now() - begin).toBeGreaterThan(900);
    expect(performance.now() - begin).toBeLessThan(1_900);
  });

  test('that was kept for 4 s is not used, also where the timer is late', async () => {
    const server = await answering(ok('x', 'keep-alive: timeout=600'));
    let nowMs = 1_000;
    const connections = createConnections({ origin: server.url, connectMs: 0, lookup: noLookup }, () => nowMs);
    await ask(connections);
    nowMs += 3_999;
    expect((await start(connections).over).sending?.isReused).toBe(true);
    nowMs += 4_000;
    expect((await start(connections).over).sending?.isReused).toBe(false);
    await eventually('the old one is closed', () => server.open() === 1);
    connections.close();
  });

  test('of a closed endpoint is closed when idle, or when its call is over; no new one is made', async () => {
    const waiting: (() => void)[] = [];
    const server = await startServer((socket, text) => {
      if (text.startsWith('GET /slow')) waiting.push(() => socket.write(ok('late')));
      else socket.write(ok('x'));
    });
    const connections = connectionsTo(server.url);
    const slow = start(connections, get('/slow'));
    await ask(connections, get('/quick'));
    await eventually('it has come', () => waiting.length === 1);
    connections.close();
    await eventually('the idle one is closed', () => server.open() === 1);
    expect(await ask(connections)).toBe('ERR_UPSTREAM_CLOSED');
    waiting[0]?.();
    expect((await slow.over).text).toBe('late');
    await eventually('it is closed', () => server.open() === 0);
  });

  test('to a name goes to what the lookup gives, asked at each connection', async () => {
    const server = await answering(ok('x', 'connection: close'));
    const asked: string[] = [];
    const lookup = ((name: string, _: object, callback: (error: null, found: LookupAddress[]) => void) => {
      asked.push(name);
      callback(null, [{ address: '127.0.0.1', family: 4 }]);
    }) as unknown as LookupFunction;
    const connections = connectionsTo(`http://some.name:${server.port}`, { lookup });
    expect([await ask(connections), await ask(connections)]).toEqual(['200 x', '200 x']);
    expect(asked).toEqual(['some.name', 'some.name']);
    expect(server.received[0]).toContain(`host: some.name:${server.port}\r\n`);
  });

  test('is made to an IPv6 address', async () => {
    const server = createServer((socket) => socket.on('data', () => socket.end(ok('six'))));
    await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
    const { port } = server.address() as { port: number };
    expect(await ask(connectionsTo(`http://[::1]:${port}`))).toBe('200 six');
    server.close();
  });
});

describe('connecting', () => {
  test('to nobody is refused, with the code of the first address where there are several', async () => {
    const port = await freePort();
    expect(await ask(connectionsTo(`http://127.0.0.1:${port}`))).toBe('ECONNREFUSED');
    const both = [
      { address: '127.0.0.1', family: 4 },
      { address: '127.0.0.2', family: 4 },
    ];
    const lookup = ((_: string, __: object, callback: (error: null, found: LookupAddress[]) => void) =>
      callback(null, both)) as unknown as LookupFunction;
    const { error } = await start(connectionsTo(`http://some.name:${port}`, { lookup })).over;
    expect(error).toMatchObject({ code: 'ECONNREFUSED', message: `connect ECONNREFUSED 127.0.0.1:${port}` });
  });

  test('goes on to the second address where the first refuses', async () => {
    const server = await answering(ok('x'));
    const both = [
      { address: '127.0.0.3', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ];
    const lookup = ((_: string, __: object, callback: (error: null, found: LookupAddress[]) => void) =>
      callback(null, both)) as unknown as LookupFunction;
    const connections = connectionsTo(`http://some.name:${server.port}`, { lookup });
    expect([await ask(connections), await ask(connections)]).toEqual(['200 x', '200 x']);
    expect(server.sockets).toHaveLength(1);
  });

  test('gives the error of the lookup as it is', async () => {
    expect(await ask(connectionsTo('http://no.such.name:80'))).toBe('ENOTFOUND');
  });

  test('takes no longer than connectMs, from the lookup on, and takes nothing of a streamed body', async () => {
    const never = (() => undefined) as LookupFunction;
    const begin = performance.now();
    let opened = false;
    const body = {
      started: () => opened,
      cameAt: () => 0,
      length: undefined,
      open: () => {
        opened = true;
        throw new Error('not to be opened');
      },
    };
    const connections = connectionsTo('http://some.name:80', { lookup: never, connectMs: 150 });
    expect(await ask(connections, post(body))).toBe('ERR_UPSTREAM_CONNECT_TIMEOUT');
    expect(performance.now() - begin).toBeGreaterThan(140);
    expect(performance.now() - begin).toBeLessThan(2_000);
    expect(opened).toBe(false);
  });

  test('is given up at once when its call is, and the server sees no request', async () => {
    let found: (() => void) | undefined;
    const server = await answering(ok('x'));
    const lookup = ((_: string, __: object, callback: (error: null, found: LookupAddress[]) => void) => {
      found = () => callback(null, [{ address: '127.0.0.1', family: 4 }]);
    }) as unknown as LookupFunction;
    const connections = connectionsTo(`http://some.name:${server.port}`, { lookup, connectMs: 50 });
    const early = start(connections);
    early.sending.abort();
    await eventually('the lookup is under way', () => found !== undefined);
    found?.();
    const late = start(connectionsTo(server.url));
    late.sending.abort();
    expect(await ask(connectionsTo(server.url))).toBe('200 x');
    expect(server.received.filter((text) => text !== '')).toHaveLength(1);
    expect([...early.told, ...late.told]).toEqual([]);
    await eventually('one connection is left', () => server.open() === 1);
  });

  test('with what no connection can be made with fails the call, not the caller', async () => {
    const call = start(connectionsTo('https://127.0.0.1:1', { ca: 'no PEM', cert: 'none', key: 'none' }));
    expect(call.told).toEqual([]);
    expect((await call.over).error).toBeInstanceOf(Error);
    expect(await ask(connectionsTo('http://127.0.0.1:1'), { ...get(), path: '/a\n' })).toBe('ERR_INVALID_HEADER');
  });
});

test('settings are the same where all that decides on a connection is', () => {
  const a = { origin: 'http://a:80', connectMs: 1, lookup: noLookup };
  expect(sameSettings(a, { ...a })).toBe(true);
  for (const other of [{ origin: 'http://b:80' }, { connectMs: 2 }, { ca: 'x' }, { cert: 'x' }, { key: 'x' }]) {
    expect(sameSettings(a, { ...a, ...other })).toBe(false);
  }
  expect(sameSettings(a, { ...a, serverName: 'x' })).toBe(false);
});
