import { once } from 'node:events';
import type { AddressInfo, LookupFunction, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { selfSigned } from '../../../support/certificate.ts';
import { eventually } from '../../../support/eventually.ts';
import { ask, connectionsTo, get, ok, post, start, startServer } from './scripted-server.ts';

const server = selfSigned('llm.internal');
const client = selfSigned('client');
const other = selfSigned('other');
const ca = server.cert;

const toLoopback = ((_: string, __: object, callback: (error: null, found: object[]) => void) =>
  callback(null, [{ address: '127.0.0.1', family: 4 }])) as unknown as LookupFunction;

interface TlsServer {
  readonly port: number;
  readonly url: string;
  readonly sockets: TLSSocket[];
  /** Of each connection: whether it resumed a session. */
  readonly resumed: boolean[];
}

async function startTls(onText: (socket: TLSSocket, text: string) => void): Promise<TlsServer> {
  const sockets: TLSSocket[] = [];
  const raw: Socket[] = [];
  const resumed: boolean[] = [];
  const options = { ...server, requestCert: true, ca: client.cert, rejectUnauthorized: false };
  const tls = createServer({ ...options, ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
    sockets.push(socket);
    resumed.push(socket.isSessionReused());
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => onText(socket, bytes.toString('latin1')));
  });
  tls.on('connection', (socket: Socket) => raw.push(socket));
  tls.listen(0, '127.0.0.1');
  await once(tls, 'listening');
  onTestFinished(() => {
    for (const socket of raw) socket.destroy();
    tls.close();
  });
  const { port } = tls.address() as AddressInfo;
  return { port, url: `https://127.0.0.1:${port}`, sockets, resumed };
}

describe('TLS to an upstream', () => {
  test('carries one call after the other, and speaks of no protocol but HTTP/1.1', async () => {
    const { url, sockets } = await startTls((socket) => socket.write(ok('x')));
    const connections = connectionsTo(url, { ca });
    expect([await ask(connections), await ask(connections)]).toEqual(['200 x', '200 x']);
    expect(sockets).toHaveLength(1);
    expect(sockets[0]?.alpnProtocol).toBe('http/1.1');
  });

  test('trusts the CA that is configured and no other, and says by its code why not', async () => {
    const { url, port } = await startTls((socket) => socket.write(ok('x')));
    expect(await ask(connectionsTo(url))).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    expect(await ask(connectionsTo(url, { ca: other.cert }))).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    const elsewhere = connectionsTo(`https://else.internal:${port}`, { ca, lookup: toLoopback });
    expect(await ask(elsewhere)).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  test('asks for the name of the origin, or the one that is configured, and for none at an address', async () => {
    const { url, port, sockets } = await startTls((socket) => socket.write(ok('x')));
    const names = (): unknown[] => sockets.map((socket) => (socket as TLSSocket & { servername: unknown }).servername);
    expect(await ask(connectionsTo(url, { ca }))).toBe('200 x');
    expect(await ask(connectionsTo(`https://llm.internal:${port}`, { ca, lookup: toLoopback }))).toBe('200 x');
    expect(await ask(connectionsTo(url, { ca, serverName: 'llm.internal' }))).toBe('200 x');
    expect(await ask(connectionsTo(url, { ca, serverName: 'else.internal' }))).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect(names().slice(0, 3)).toEqual([false, 'llm.internal', 'llm.internal']);
  });

  test('shows the client certificate', async () => {
    const { url, sockets } = await startTls((socket) => socket.write(ok('x')));
    await ask(connectionsTo(url, { ca, cert: client.cert, key: client.key }));
    await ask(connectionsTo(url, { ca }));
    expect(sockets.map(({ authorized }) => authorized)).toEqual([true, false]);
  });

  test('resumes the session of an earlier connection', async () => {
    const { url, resumed } = await startTls((socket) => socket.write(ok('x', 'connection: close')));
    const connections = connectionsTo(url, { ca });
    for (let n = 0; n < 3; n += 1) expect(await ask(connections)).toBe('200 x');
    expect(resumed).toEqual([false, true, true]);
  });

  test('that is not answered ends after connectMs, and at once when its call is aborted', async () => {
    const silent = await startServer(() => undefined);
    const url = silent.url.replace('http:', 'https:');
    expect(await ask(connectionsTo(url, { connectMs: 100 }))).toBe('ERR_UPSTREAM_CONNECT_TIMEOUT');
    const call = start(connectionsTo(url));
    await eventually('the handshake has begun', () => silent.received[1]);
    call.sending.abort();
    await eventually('both are closed', () => silent.open() === 0);
    expect(call.told).toEqual([]);
  });

  test('with a server that speaks plain HTTP fails, and with one that hangs up too', async () => {
    const plain = await startServer((socket) => socket.end('HTTP/1.1 400 Bad\r\n\r\n'));
    expect(await ask(connectionsTo(plain.url.replace('http:', 'https:')))).toMatch(/^(ERR_SSL_|EPROTO)/);
    const gone = await startServer((socket) => socket.end());
    expect(await ask(connectionsTo(gone.url.replace('http:', 'https:')))).toBe('ECONNRESET');
  });

  test('brings large bodies both ways as they are, also streamed and with pauses', async () => {
    const text = Array.from({ length: 200_000 }, (_, at) => `${at};`).join('');
    let got = '';
    const { url } = await startTls((socket, piece) => {
      got += piece;
      if (got.endsWith('END')) socket.write(ok(text));
    });
    const connections = connectionsTo(url, { ca });
    const source = Readable.from([Buffer.from(text), Buffer.from('END')]);
    const body = { started: () => false, cameAt: () => 0, length: text.length + 3, open: () => source };
    const call = start(connections, post(body));
    const take = call.onData.bind(call);
    let isPaused = false;
    let early = 0;
    call.onData = (chunk) => {
      if (isPaused) early += 1;
      take(chunk);
      call.sending.pause();
      isPaused = true;
      setImmediate(() => {
        isPaused = false;
        call.sending.resume();
      });
    };
    await call.over;
    expect(early).toBe(0);
    expect(call.error).toBeUndefined();
    expect(call.text === text).toBe(true);
    expect(got.slice(got.indexOf('\r\n\r\n') + 4) === `${text}END`).toBe(true);
    got = '';
    const again = start(connections, post(Buffer.from('END')));
    expect((await again.over).sending?.isReused).toBe(true);
  });

  test.each([
    ['whole', ok('abc'), undefined],
    ['not whole', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 'ERR_UPSTREAM_CUT'],
  ])('that ends while its call is paused tells first what came of an answer that is %s', async (_, answer, code) => {
    const { url } = await startTls((socket) => socket.end(answer));
    const call = start(connectionsTo(url, { ca }));
    call.onHead = () => call.sending.pause();
    await eventually('the answer has begun', () => call.sending.answerBegan);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(call.told).toEqual([]);
    call.sending.resume();
    const { text, error } = await call.over;
    expect([text, error?.code]).toEqual(['abc', code]);
  });

  test('that ends or is reset in an answer fails the call; when idle, it is given up', async () => {
    const { url, sockets } = await startTls((socket, text) => {
      if (text.startsWith('GET /cut')) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc');
      else socket.write(ok('x'));
    });
    const connections = connectionsTo(url, { ca });
    expect(await ask(connections, get('/cut'))).toBe('ERR_UPSTREAM_CUT');
    expect(await ask(connections)).toBe('200 x');
    let closed = false;
    sockets[1]?.on('close', () => {
      closed = true;
    });
    sockets[1]?.write(ok('poison'));
    await eventually('it is closed', () => closed);
    expect(await ask(connections)).toBe('200 x');
    expect(sockets).toHaveLength(3);
  });
});
