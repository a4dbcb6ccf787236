import { type ClientHttp2Stream, constants, type ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { SESSION_TIMES, type SessionTimes } from '../../../proxy/grpc/session.ts';
import { createSessions, type Sessions } from '../../../proxy/grpc/sessions.ts';
import { guardedLookup } from '../../../proxy/upstream/guarded-lookup.ts';
import { selfSigned } from '../../support/certificate.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/ports.ts';
import { type Peer, settingsOf, startBlackHole, startPeer } from './peers.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function sessionsOf(origin: string, times: Partial<SessionTimes> = {}, more = {}): Sessions {
  const sessions = createSessions(settingsOf(origin, more), { times: { ...SESSION_TIMES, ...times } });
  cleanups.push(sessions.close);
  return sessions;
}

async function peerOf(onStream: (stream: ServerHttp2Stream) => void, options = {}): Promise<Peer> {
  const peer = await startPeer(onStream, options);
  cleanups.push(peer.close);
  return peer;
}

const HEADERS = [':method', 'POST', ':path', '/x', 'x-twice', 'a', 'x-twice', 'b'];

function open(sessions: Sessions): Promise<ClientHttp2Stream> {
  const stream = sessions.openStream(HEADERS);
  if (stream !== undefined) return Promise.resolve(stream);
  return new Promise((resolve, reject) => {
    sessions.wait((error) =>
      error === undefined ? resolve(sessions.openStream(HEADERS) as ClientHttp2Stream) : reject(error),
    );
  });
}

/** The bytes of an answer, or how the stream ended instead. */
function finish(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve(stream.rstCode === 0 ? text : `reset ${stream.rstCode}`));
    stream.end();
  });
}

const echo = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

test('connects with the first call, then opens streams at once on the connection it has', async () => {
  const peer = await peerOf(echo);
  const sessions = sessionsOf(peer.origin);
  expect(peer.accepted()).toBe(0);
  expect(sessions.openStream(HEADERS)).toBeUndefined();
  const first = await open(sessions);
  expect(first.sentHeaders['x-twice']).toEqual(['a', 'b']);
  expect(await finish(first)).toBe('ok');
  const second = sessions.openStream(HEADERS);
  expect(second).toBeDefined();
  expect(await finish(second as ClientHttp2Stream)).toBe('ok');
  expect(peer.accepted()).toBe(1);
});

test('64 first calls at once are all answered, over one connection', async () => {
  const peer = await peerOf(echo);
  const sessions = sessionsOf(peer.origin);
  const answers = await Promise.all(Array.from({ length: 64 }, async () => finish(await open(sessions))));
  expect(answers).toEqual(Array(64).fill('ok'));
  expect(peer.accepted()).toBe(1);
});

test('keeps to the streams that the remote lets be open, on at most four connections; the rest wait their turn', async () => {
  const streams: ServerHttp2Stream[] = [];
  let most = 0;
  const peer = await peerOf(
    (stream) => {
      streams.push(stream);
      most = Math.max(most, streams.length);
    },
    { maxStreams: 2 },
  );
  const sessions = sessionsOf(peer.origin);
  const answers = Array.from({ length: 30 }, async () => finish(await open(sessions)));
  await eventually('eight streams', () => streams.length === 8);
  expect(peer.accepted()).toBe(4);
  const timer = setInterval(() => streams.splice(0).forEach(echo), 5);
  expect(await Promise.all(answers)).toEqual(Array(30).fill('ok'));
  clearInterval(timer);
  expect(peer.accepted()).toBe(4);
  expect(most).toBe(8);
});

test('a call that no longer wants to wait gets no stream', async () => {
  const peer = await peerOf(echo);
  const sessions = sessionsOf(peer.origin);
  let called = false;
  sessions.wait(() => {
    called = true;
  })();
  await finish(await open(sessions));
  expect(called).toBe(false);
});

test('a refused connection fails all who wait, and the next call connects anew', async () => {
  const port = await freePort();
  const sessions = sessionsOf(`http://127.0.0.1:${port}`);
  const failed = await Promise.allSettled(Array.from({ length: 5 }, () => open(sessions)));
  expect(failed.map((each) => (each as PromiseRejectedResult).reason.code)).toEqual(Array(5).fill('ECONNREFUSED'));
  await peerOf(echo, { port });
  expect(await finish(await open(sessions))).toBe('ok');
});

test('a peer that accepts and says nothing, and one that speaks HTTP/1, are given up', async () => {
  for (const greeting of ['', 'HTTP/1.1 400 Bad Request\r\n\r\n']) {
    const server = createServer((socket) => socket.write(greeting));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await expect(open(sessionsOf(`http://127.0.0.1:${port}`, {}, { connectMs: 150 }))).rejects.toThrow();
    server.close();
  }
});

test('a name that must not be called is refused at the lookup', async () => {
  const peer = await peerOf(echo);
  const lookup = guardedLookup(() => 'is loopback');
  const sessions = sessionsOf(`http://localhost:${peer.port}`, {}, { lookup });
  await expect(open(sessions)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_ADDRESS_REFUSED' });
});

test('after GOAWAY open streams end as they would, and new ones go over a new connection', async () => {
  const streams: ServerHttp2Stream[] = [];
  const peer = await peerOf((stream) => streams.push(stream));
  const sessions = sessionsOf(peer.origin);
  const old = await open(sessions);
  const oldAnswer = finish(old);
  await eventually('the first stream', () => streams.length === 1);
  for (const session of peer.sessions) session.close();
  await eventually('the old connection is not used', () => sessions.openStream(HEADERS) === undefined);
  const newAnswer = finish(await open(sessions));
  await eventually('the second stream', () => streams.length === 2);
  expect(peer.accepted()).toBe(2);
  streams.forEach(echo);
  expect(await Promise.all([oldAnswer, newAnswer])).toEqual(['ok', 'ok']);
});

test.each([
  ['without a fault', constants.NGHTTP2_NO_ERROR],
  ['for a fault', constants.NGHTTP2_INTERNAL_ERROR],
])('streams that a GOAWAY %s has not seen end as REFUSED_STREAM: they may be sent again', async (_, code) => {
  const seen: ServerHttp2Stream[] = [];
  const peer = await peerOf((stream) => seen.push(stream));
  const sessions = sessionsOf(peer.origin);
  const streams = [await open(sessions), await open(sessions)];
  const ends = streams.map(finish);
  await eventually('both streams', () => seen.length === 2);
  for (const session of peer.sessions) session.goaway(code, 1);
  expect(await ends[1]).toBe(`reset ${constants.NGHTTP2_REFUSED_STREAM}`);
  if (code === constants.NGHTTP2_NO_ERROR) {
    echo(seen[0] as ServerHttp2Stream);
    expect(await ends[0]).toBe('ok');
  } else expect(await ends[0]).not.toBe(`reset ${constants.NGHTTP2_REFUSED_STREAM}`);
});

test('after an upstream restart the next call succeeds within a second', async () => {
  const port = await freePort();
  const first = await startPeer(echo, { port });
  const sessions = sessionsOf(first.origin);
  await finish(await open(sessions));
  await first.close();
  await eventually('the lost connection is noticed', () => sessions.openStream(HEADERS) === undefined);
  await peerOf(echo, { port });
  const before = performance.now();
  expect(await finish(await open(sessions))).toBe('ok');
  expect(performance.now() - before).toBeLessThan(1_000);
});

test('a connection whose other end vanished is found by a ping; its calls end and the next has a new one', async () => {
  const peer = await peerOf(() => {});
  const hole = await startBlackHole(peer.port);
  cleanups.push(hole.close);
  const sessions = sessionsOf(hole.origin, { pingMs: 50, pingTimeoutMs: 50 });
  const end = finish(await open(sessions));
  hole.swallow();
  expect(await end).toMatch(/^reset/);
  expect(sessions.openStream(HEADERS)).toBeUndefined();
});

test('a quiet connection that answers pings stays, until no call has used it for long', async () => {
  const peer = await peerOf(echo);
  const sessions = sessionsOf(peer.origin, { pingMs: 20, pingTimeoutMs: 1_000, idleMs: 300 });
  let pings = 0;
  await finish(await open(sessions));
  for (const session of peer.sessions) session.on('ping', () => (pings += 1));
  await eventually('pings', () => pings > 3);
  expect(peer.sessions.size).toBe(1);
  await eventually('the idle connection is closed', () => peer.sessions.size === 0);
});

test('TLS: the authority given is trusted, another is not, and a certificate for the client is shown', async () => {
  const pair = selfSigned('tei.test');
  const peer = await peerOf(echo, { tls: pair });
  const trusting = sessionsOf(peer.origin, {}, { ca: pair.cert, serverName: 'tei.test' });
  expect(await finish(await open(trusting))).toBe('ok');
  await expect(open(sessionsOf(peer.origin))).rejects.toThrow();
  await expect(open(sessionsOf(peer.origin, {}, { ca: pair.cert, serverName: 'other.test' }))).rejects.toThrow();
});

test('20 MB come through', async () => {
  const peer = await peerOf((stream) => {
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(20_000_000, 'x'));
  });
  const text = await finish(await open(sessionsOf(peer.origin)));
  expect(text.length).toBe(20_000_000);
});

test('closing lets open streams end and takes no new ones', async () => {
  const streams: ServerHttp2Stream[] = [];
  const peer = await peerOf((stream) => streams.push(stream));
  const sessions = sessionsOf(peer.origin);
  const answer = finish(await open(sessions));
  await eventually('the stream', () => streams.length === 1);
  sessions.close();
  await expect(open(sessions)).rejects.toThrow('the endpoint is gone');
  streams.forEach(echo);
  expect(await answer).toBe('ok');
  await eventually('its connection is closed', () => peer.sessions.size === 0);
});
