import { describe, expect, test } from 'vitest';
import { eventually } from '../../../support/eventually.ts';
import { ask, connectionsTo, get, ok, post, settled, start, startServer } from './scripted-server.ts';

/** Time enough for what is in the kernel to be read, if anyone reads. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
}

const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const STAGES: [string, string, string[]][] = [
  ['before any byte', '', []],
  ['in the status line', 'HTTP/1.1 2', []],
  ['in the head', 'HTTP/1.1 200 OK\r\na: b', []],
  ['after 100 Continue', 'HTTP/1.1 100 Continue\r\n\r\n', []],
  ['after the head', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n', ['head']],
  ['in a body of given length', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab', ['head', 'data']],
  ['in a chunk', `${CHUNKED}3\r\nab`, ['head', 'data']],
  ['between chunks', `${CHUNKED}2\r\nab\r\n`, ['head', 'data']],
  ['before the empty line after the last chunk', `${CHUNKED}2\r\nab\r\n0\r\n`, ['head', 'data']],
];

describe('an answer whose server', () => {
  test.each(STAGES)('ends %s is cut', async (_, bytes, told) => {
    const server = await startServer((socket) => socket.end(bytes));
    const connections = connectionsTo(server.url);
    const { error, sending, told: all } = await start(connections).over;
    expect(error?.code).toBe('ERR_UPSTREAM_CUT');
    expect(all).toEqual([...told, 'error']);
    expect(sending?.answerBegan).toBe(bytes !== '');
    await eventually('it is closed', () => server.open() === 0);
  });

  test.each(STAGES)('resets %s fails with ECONNRESET', async (_, bytes, told) => {
    const server = await startServer((socket) => {
      if (bytes === '') socket.resetAndDestroy();
      else socket.write(bytes);
    });
    const call = start(connectionsTo(server.url));
    if (bytes !== '') {
      await eventually('it has come', () => call.sending.answerBegan);
      server.sockets[0]?.resetAndDestroy();
    }
    const { error, told: all } = await call.over;
    expect(error?.code).toBe('ECONNRESET');
    expect(all).toEqual([...told, 'error']);
  });

  test('gives no length ends with its connection, but not with a reset', async () => {
    const head = 'HTTP/1.1 200 OK\r\n\r\nabc';
    const server = await startServer((socket) => socket.write(head));
    const connections = connectionsTo(server.url);
    const [whole, cut] = [start(connections), start(connections)];
    await eventually('both have come', () => whole.text === 'abc' && cut.text === 'abc');
    expect(whole.isOver).toBe(false);
    server.sockets[0]?.end('def');
    server.sockets[1]?.resetAndDestroy();
    const ends = await Promise.all([whole.over, cut.over]);
    expect(ends.map(({ text, error }) => [text, error?.code]).toSorted()).toEqual([
      ['abc', 'ECONNRESET'],
      ['abcdef', undefined],
    ]);
  });

  test('ends while it takes no more of the request is cut at once', async () => {
    const server = await startServer((socket) => {
      socket.pause();
      socket.end();
    });
    const call = start(connectionsTo(server.url), post(Buffer.alloc(32 * 1024 * 1024)));
    expect((await call.over).error?.code).toBe('ERR_UPSTREAM_CUT');
  });

  test('breaks the protocol fails at once and is left', async () => {
    const server = await startServer((socket) => socket.write('HTTP/1.1 200 OK\r\na : b\r\n\r\n'));
    expect(await ask(connectionsTo(server.url))).toBe('ERR_UPSTREAM_MALFORMED');
    await eventually('it is closed', () => server.open() === 0);
  });

  test('closes a kept connection under a new call tells so by an error, before any byte of an answer', async () => {
    const server = await startServer((socket, text) => {
      if (text.split('\r\n\r\n').length > 2) socket.destroy();
      else socket.write(ok('x'));
    });
    const connections = connectionsTo(server.url);
    await ask(connections);
    const { error, sending } = await start(connections).over;
    expect(['ERR_UPSTREAM_CUT', 'ECONNRESET', 'EPIPE']).toContain(error?.code);
    expect(sending).toMatchObject({ isReused: true, answerBegan: false });
  });
});

describe('a call that is aborted', () => {
  test.each([
    ['before the answer', ''],
    ['in its head', 'HTTP/1.1 2'],
    ['in its body', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na'],
  ])('%s closes its connection and is told nothing more', async (_, bytes) => {
    const server = await startServer((socket) => socket.write(bytes));
    const call = start(connectionsTo(server.url));
    await eventually('it has come', () => (bytes === '' ? server.received[0] : call.sending.answerBegan));
    const told = [...call.told];
    call.sending.abort();
    call.sending.abort();
    await eventually('it is closed', () => server.open() === 0);
    expect(call.told).toEqual(told);
  });

  test('from within its own head or body is told nothing more, though more was read', async () => {
    const server = await startServer((socket) => socket.write(`${CHUNKED}1\r\na\r\n1\r\nb\r\n0\r\n\r\n`));
    const connections = connectionsTo(server.url);
    const told: string[] = [];
    const tell = (what: string, last: boolean) => () => {
      told.push(what);
      if (last) sending.abort();
    };
    let sending = connections.send(get(), {
      onHead: tell('head', true),
      onData: tell('data', false),
      onEnd: tell('end', false),
      onError: tell('error', false),
    });
    await eventually('it is closed', () => server.sockets.length === 1 && server.open() === 0);
    sending = connections.send(get(), {
      onHead: tell('head', false),
      onData: tell('data', true),
      onEnd: tell('end', false),
      onError: tell('error', false),
    });
    await eventually('it is closed', () => server.sockets.length === 2 && server.open() === 0);
    expect(told).toEqual(['head', 'head', 'data']);
  });

  test('after its end leaves the connection to the call that has it now', async () => {
    const waiting: (() => void)[] = [];
    const server = await startServer((socket) => waiting.push(() => socket.write(ok('x'))));
    const connections = connectionsTo(server.url);
    const first = start(connections);
    await eventually('it has come', () => waiting.pop()?.() === undefined && first.isOver);
    const second = start(connections);
    first.sending.abort();
    first.sending.pause();
    await eventually('it has come', () => waiting.pop()?.() === undefined && second.isOver);
    expect(second).toMatchObject({ text: 'x', error: undefined });
    expect(second.sending.isReused).toBe(true);
  });
});

describe('a call that is paused', () => {
  test('gets no byte and no end until it goes on, however much has come', async () => {
    const server = await startServer((socket) => socket.write(CHUNKED));
    const call = start(connectionsTo(server.url));
    const more = call.onData.bind(call);
    call.onData = (chunk) => {
      more(chunk);
      call.sending.pause();
    };
    await eventually('the head has come', () => call.status === 200);
    server.sockets[0]?.write('1\r\na\r\n');
    await eventually('the first byte', () => call.text === 'a');
    for (const [chunk, text] of [
      ['1\r\nb\r\n', 'ab'],
      ['1\r\nc\r\n0\r\n\r\n', 'abc'],
    ] as const) {
      server.sockets[0]?.write(chunk);
      await turns();
      expect(call).toMatchObject({ text: text.slice(0, -1), isOver: false });
      call.sending.resume();
      await eventually('the next byte', () => call.text === text);
    }
    await turns();
    expect(call.isOver).toBe(false);
    call.sending.resume();
    expect(await call.over).toMatchObject({ text: 'abc', error: undefined });
  });

  test('and goes on within the same byte gets the rest, each once and in order, and keeps no spoilt connection', async () => {
    const server = await startServer((socket) => socket.write(`${ok('abc')}HTTP/1.1 200 OK`));
    const call = start(connectionsTo(server.url));
    const take = call.onData.bind(call);
    call.onData = (chunk) => {
      take(chunk);
      call.sending.pause();
      call.sending.resume();
      call.told.push('taken');
    };
    expect((await call.over).told).toEqual(['head', 'data', 'taken', 'end']);
    await eventually('it is closed', () => server.open() === 0);
  });

  test('before it is connected, and again in its head, is told all when it goes on', async () => {
    const server = await startServer((socket) => socket.write(ok('hello')));
    const call = start(connectionsTo(server.url));
    call.sending.pause();
    await eventually('the request has come', () => server.received[0]);
    await turns();
    expect(call.told).toEqual([]);
    call.onHead = () => call.sending.pause();
    call.sending.resume();
    await eventually('the answer has begun', () => call.sending.answerBegan);
    expect(call.told).toEqual([]);
    call.sending.resume();
    expect(await call.over).toMatchObject({ text: 'hello', told: ['data', 'end'] });
  });

  test('makes the server wait', async () => {
    const block = Buffer.alloc(64 * 1024, 'x');
    let taken = 0;
    const server = await startServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n');
      const more = (): void => {
        while (taken < 67_108_864) {
          taken += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.on('drain', more);
      more();
    });
    const call = start(connectionsTo(server.url));
    call.onHead = () => call.sending.pause();
    call.onData = (chunk) => {
      call.chunks += chunk.length;
    };
    await settled(() => taken);
    expect(taken).toBeLessThan(12_000_000);
    expect(call.chunks).toBe(0);
    call.sending.resume();
    await call.over;
    expect(call.chunks).toBe(67_108_864);
  });

  test.each([
    ['that is whole', ok('ab'), undefined],
    ['that ends with its connection', 'HTTP/1.1 200 OK\r\n\r\nab', undefined],
    ['that is cut', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab', 'ERR_UPSTREAM_CUT'],
  ])('and whose connection ends meanwhile gets first what came of an answer %s', async (_, answer, code) => {
    const server = await startServer((socket) => socket.end(answer));
    const call = start(connectionsTo(server.url));
    call.onHead = () => call.sending.pause();
    await eventually('the answer has begun', () => call.sending.answerBegan);
    await turns();
    expect(call.isOver).toBe(false);
    call.sending.resume();
    const { text, error } = await call.over;
    expect([text, error?.code]).toEqual(['ab', code]);
  });

  test('and is aborted closes its connection', async () => {
    const server = await startServer((socket) => socket.write(`${CHUNKED}1\r\na\r\n`));
    const call = start(connectionsTo(server.url), post(Buffer.from('x')));
    await eventually('a byte has come', () => call.text === 'a');
    call.sending.pause();
    call.sending.abort();
    call.sending.resume();
    await eventually('it is closed', () => server.open() === 0);
    expect(call.told).toEqual(['head', 'data']);
  });
});
